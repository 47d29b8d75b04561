"""Access changes and deletions, as both front ends hand them to the service."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from ..contract import AccessOp, ProviderId, Source, SourceId, UserId


@dataclass(frozen=True, slots=True)
class DeleteSources:
    """Remove sources."""

    source_ids: frozenset[SourceId]


@dataclass(frozen=True, slots=True)
class DeleteProvider:
    """Remove every source of a provider."""

    provider: ProviderId


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """Remove a reader everywhere."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class UpdateAccess:
    """Add or remove readers of a source."""

    op: AccessOp
    user_ids: frozenset[UserId]
    source_id: SourceId


@dataclass(frozen=True, slots=True)
class UpdateProviderAccess:
    """Add or remove readers of every source of a provider."""

    op: AccessOp
    user_ids: frozenset[UserId]
    provider: ProviderId


@dataclass(frozen=True, slots=True)
class SetAccess:
    """Make the readers of a source exactly these."""

    user_ids: frozenset[UserId]
    source_id: SourceId


Action = DeleteSources | DeleteProvider | DeleteUser | UpdateAccess | UpdateProviderAccess | SetAccess


@dataclass(frozen=True, slots=True)
class Reach:
    """What an operation may touch; two operations whose reaches meet must keep their order."""

    sources: frozenset[SourceId] = frozenset()
    providers: frozenset[ProviderId] = frozenset()
    """Every source of these."""
    everywhere: frozenset[UserId] = frozenset()
    """These users in every source."""
    users: frozenset[UserId] = frozenset()
    """Users that the operation names."""
    adds: bool = False
    """Whether sources may get readers by it."""

    @property
    def providers_of_sources(self) -> frozenset[ProviderId]:
        """Of the sources that are named one by one."""
        return frozenset(map(provider_of, self.sources))

    def those_of(self, source_ids: Collection[SourceId]) -> frozenset[SourceId]:
        """The ones among these sources that it may touch."""
        if self.everywhere:
            return frozenset(source_ids)
        return frozenset(id_ for id_ in source_ids if id_ in self.sources or provider_of(id_) in self.providers)

    def overlaps(self, other: "Reach") -> bool:
        """Whether both may touch the same source."""
        return bool(
            self.everywhere
            or other.everywhere
            or not self.sources.isdisjoint(other.sources)
            or not self.providers.isdisjoint(other.providers)
            or (self.providers and not self.providers.isdisjoint(other.providers_of_sources))
            or (other.providers and not other.providers.isdisjoint(self.providers_of_sources))
        )


def provider_of(source_id: SourceId) -> ProviderId:
    """The provider in front of the item id; used to find conflicts only, never to address a source."""
    return ProviderId(source_id.partition(": ")[0])


def reach_of(action: Action) -> Reach:
    """The sources, providers and users that an action may touch."""
    match action:
        case DeleteSources(source_ids):
            return Reach(sources=source_ids)
        case DeleteProvider(provider):
            return Reach(providers=frozenset({provider}))
        case DeleteUser(user_id):
            return Reach(everywhere=frozenset({user_id}), users=frozenset({user_id}))
        case UpdateAccess(op, user_ids, source_id):
            return Reach(sources=frozenset({source_id}), users=user_ids, adds=op is AccessOp.ALLOW)
        case SetAccess(user_ids, source_id):
            return Reach(sources=frozenset({source_id}), users=user_ids, adds=True)
        case UpdateProviderAccess(op, user_ids, provider):
            return Reach(providers=frozenset({provider}), users=user_ids, adds=op is AccessOp.ALLOW)


def key_of(action: Action) -> str:
    """Equal for equal actions, whatever the order of their ids."""
    parts = [type(action).__name__]
    for name in action.__slots__:
        value = getattr(action, name)
        parts.append(repr(sorted(value)) if isinstance(value, frozenset) else repr(str(value)))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def as_after(source: Source, actions: Iterable[Action]) -> Source | None:
    """A source as these actions would have left it, had it been stored before them; None if deleted."""
    readers = source.user_ids
    for action in actions:
        match action:
            case DeleteSources(source_ids) if source.id in source_ids:
                return None
            case DeleteProvider(provider) if provider == source.provider:
                return None
            case SetAccess(user_ids, source_id) if source_id == source.id:
                readers = user_ids
            case UpdateAccess(op, user_ids, source_id) if source_id == source.id:
                readers = readers | user_ids if op is AccessOp.ALLOW else readers - user_ids
            case UpdateProviderAccess(op, user_ids, provider) if provider == source.provider:
                readers = readers | user_ids if op is AccessOp.ALLOW else readers - user_ids
            case DeleteUser(user_id):
                readers -= {user_id}
    return replace(source, user_ids=readers)
