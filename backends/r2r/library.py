"""All sources of an installation: their records, and lists of what there is."""

import csv
import json
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from itertools import groupby
from typing import Self
from uuid import UUID

from context_chat_backend.contract import ProviderId, SourceId, Stored, StoredVersion, UserId
from context_chat_backend.toolkit.collections import CollectionMap
from context_chat_backend.toolkit.concurrency import Batcher, in_batches

from .client import IDS_PER_CALL
from .names import PLACES
from .record import Installation, SourceRecord, metadata_of
from .wire import Document, Metadata, as_metadata

SOURCES_PER_CALL = IDS_PER_CALL // PLACES
LINGER = 0.005
EXPORTED = ("id", "metadata")


class Library:
    """An async context manager; enter it inside what the installation consists of."""

    def __init__(self, installation: Installation, collections: CollectionMap) -> None:
        self._installation = installation
        self._client = installation.client
        self._names = installation.names
        self._journal = installation.journal
        self._readers = installation.readers
        self._collections = collections
        self._look_ups = Batcher(self.records, size=SOURCES_PER_CALL, linger=LINGER)

    async def __aenter__(self) -> Self:
        await self._look_ups.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._look_ups.__aexit__(*exc)

    # ------------------------------------------------------------------ records

    async def record(self, source_id: SourceId) -> SourceRecord:
        """Of one source; asked for together with others that are asked for at the same time."""
        return await self._look_ups.get(source_id) or SourceRecord(self._installation, source_id, ())

    async def records(self, source_ids: Sequence[SourceId]) -> Mapping[SourceId, SourceRecord]:
        """Of each source, in one call for up to 50."""
        places = {id_: source_id for source_id in source_ids for id_ in self._names.documents(source_id)}
        found: dict[SourceId, list[Document]] = {source_id: [] for source_id in source_ids}
        for document in await self.documents(list(places)):
            found[places[document.id]].append(document)
        return {id_: SourceRecord(self._installation, id_, documents) for id_, documents in found.items()}

    async def documents(self, ids: Sequence[UUID]) -> list[Document]:
        """Those that exist, whatever their number."""
        calls = [ids[start : start + IDS_PER_CALL] for start in range(0, len(ids), IDS_PER_CALL)]
        return [document for call in calls for document in await self._client.documents(call)]

    def is_ours(self, document_id: UUID, metadata: Metadata) -> bool:
        """Whether a document counts. R2R lets others add documents to a collection; nobody else can make our ids."""
        made_here = document_id in self._names.documents(metadata.source_id)
        return made_here and not self._journal.is_given_up(document_id, metadata)

    async def tidy(self) -> None:
        """Remove given-up documents that came back, and forget uploads that nothing came of."""
        entries = sorted(await self._journal.entries(), key=lambda entry: entry.source_id)
        by_source = {id_: list(of_source) for id_, of_source in groupby(entries, lambda entry: entry.source_id)}
        for source_id, record in (await self.records(list(by_source))).items():
            await record.tidy(by_source[source_id])

    # ------------------------------------------------------------------ lists

    async def find(self, *, provider: ProviderId | None = None, user_id: UserId | None = None) -> AsyncIterator[Stored]:
        """Also sources that R2R may be working on, whoever will be able to read them: R2R does not list those."""
        uploads = await self._journal.entries(provider)
        found = {entry.source_id: entry.provider for entry in uploads if not entry.given_up}
        for name in self._collections_of(provider, user_id):
            async for metadata in self._members(name):
                if provider in {None, metadata.provider}:
                    found[metadata.source_id] = metadata.provider
        for source_id, of_provider in found.items():
            yield Stored(source_id=source_id, provider=of_provider)

    def _collections_of(self, provider: ProviderId | None, user_id: UserId | None) -> list[str]:
        if user_id is not None:
            return [self._names.user(user_id)]
        if provider is not None:
            return [self._names.provider(provider)]
        return [self._names.provider(each) for each in self.providers]

    @property
    def providers(self) -> list[ProviderId]:
        """Those that this gateway has met."""
        found = map(self._names.provider_of, self._collections.names)
        return [provider for provider in found if provider is not None]

    async def _members(self, name: str) -> AsyncIterator[Metadata]:
        collection_id = await self._collections.find(name)
        offset = 0
        while collection_id is not None and (page := await self._client.members(UUID(collection_id), offset)):
            offset += len(page)
            for document in page:
                if (metadata := document.own_metadata) is not None and self.is_ours(document.id, metadata):
                    yield metadata

    async def count(self, provider: ProviderId) -> int:
        """How many documents R2R counts of a provider."""
        id_ = await self._collections.find(self._names.provider(provider))
        collection = None if id_ is None else await self._client.collection(UUID(id_))
        return 0 if collection is None else max(0, collection.document_count)

    async def inventory(
        self, source_ids: Set[SourceId] | None = None, *, skip: int = 0, bulk: bool = False
    ) -> AsyncIterator[StoredVersion]:
        """Lists say what there may be; each source is then looked up, since it may have several documents."""
        await self._readers.learn_all()
        async for batch in in_batches(self._listed_ids(source_ids, skip, bulk=bulk), SOURCES_PER_CALL):
            for record in (await self.records(batch)).values():
                if (document := record.current) is not None and not await record.is_doubted(document):
                    yield await self._stored_version(document)

    async def _stored_version(self, document: Document) -> StoredVersion:
        metadata = metadata_of(document)
        return StoredVersion(
            source_id=metadata.source_id,
            provider=metadata.provider,
            title=metadata.cc_title,
            mime_type=metadata.cc_type,
            modified=metadata.modified,
            sha256=metadata.sha256,
            user_ids=await self._readers.of(document),
        )

    async def _listed_ids(self, source_ids: Set[SourceId] | None, skip: int, *, bulk: bool) -> AsyncIterator[SourceId]:
        if source_ids is not None:
            for source_id in sorted(source_ids)[skip:]:
                yield source_id
            return
        async for document_id, metadata in self._exported(skip) if bulk else self._listed(skip):
            if metadata is not None and self.is_ours(document_id, metadata):
                yield metadata.source_id

    async def _listed(self, skip: int) -> AsyncIterator[tuple[UUID, Metadata | None]]:
        while page := await self._client.all_documents(skip):
            skip += len(page)
            for document in page:
                yield document.id, document.own_metadata

    async def _exported(self, skip: int) -> AsyncIterator[tuple[UUID, Metadata | None]]:
        async for line in self._client.export(EXPORTED):
            if skip > 0:
                skip -= 1
                continue
            for document_id, metadata in csv.reader([line]):
                yield UUID(document_id), as_metadata(json.loads(metadata))
