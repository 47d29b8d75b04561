"""Ids and names in R2R, all made from one secret UUID, the namespace of the installation.

Whoever knows the id of a document can take it over in R2R, so ids must not be guessable from source ids. Collections
carry a tag of the installation: two Nextclouds on one R2R may both have a user "alice".
"""

import uuid
from uuid import UUID

from context_chat_backend.contract import ProviderId, SourceId, UserId

USER, PROVIDER = "u", "p"
PLACES = 3


class Names:
    """Names user ids in hexadecimal: R2R cannot find a collection by a name with "/", or named ".."."""

    def __init__(self, namespace: UUID) -> None:
        self._namespace = namespace
        self._prefix = f"cc:{uuid.uuid5(namespace, 'collections').hex[:12]}:"

    def documents(self, source_id: SourceId) -> tuple[UUID, ...]:
        """The ids that a source may have in R2R: a new version is made beside the old one, and neither under an id that
        R2R may bring an earlier document back to."""
        return tuple(self._document(source_id, place) for place in range(PLACES))

    def _document(self, source_id: SourceId, place: int) -> UUID:
        return uuid.uuid5(self._namespace, f"{place}:{source_id}")

    @property
    def store(self) -> str:
        """The collection whose id tells this store from an emptied one."""
        return f"{self._prefix}store"

    def user(self, user_id: UserId) -> str:
        """The collection of what a user may read."""
        return f"{self._prefix}{USER}:{_hex(user_id)}"

    def provider(self, provider: ProviderId) -> str:
        """The collection of all documents of a provider."""
        return f"{self._prefix}{PROVIDER}:{_hex(provider)}"

    def is_ours(self, name: str) -> bool:
        """Whether this installation made a collection."""
        return name.startswith(self._prefix)

    def user_of(self, name: str) -> UserId | None:
        """The user of a collection, None for other collections."""
        user = self._decode(name, USER)
        return None if user is None else UserId(user)

    def provider_of(self, name: str) -> ProviderId | None:
        """The provider of a collection, None for other collections."""
        provider = self._decode(name, PROVIDER)
        return None if provider is None else ProviderId(provider)

    def _decode(self, name: str, kind: str) -> str | None:
        prefix = f"{self._prefix}{kind}:"
        if not name.startswith(prefix):
            return None
        return bytes.fromhex(name.removeprefix(prefix)).decode("utf-8", "surrogatepass")


def _hex(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex()
