"""Bringing one version of a source into R2R, and making sure that searches find it."""

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

import anyio
from anyio import to_thread

from context_chat_backend.contract import BeyondReader, Rejected, Source, Unavailable
from context_chat_backend.toolkit.concurrency import Batcher
from context_chat_backend.toolkit.indexing.extract.extractor import Extractor

from .access import Readers
from .client import ASK_AGAIN, IDS_PER_CALL, NewDocument, R2RClient
from .errors import Failed, FailedAt, Refused
from .formats import EXTENSIONS, READ_BY_A_MODEL, READ_WITHOUT_A_MODEL, extensions_of, goes_as_it_is, readable_as
from .library import LINGER
from .record import SourceRecord
from .retrieval import documents_only
from .settings import R2RSettings
from .wire import Document, storable

PATIENCE = 0.5
"""Seconds that a look at a new document waits for those whose upload is under way, so that one call serves all."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
METADATA_READERS = 20_000
"""R2R takes a megabyte of metadata; readers beyond these are added afterwards."""
MOST_HITS = 1000

Look = Callable[[UUID], Awaitable[Document | None]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Form:
    """A way to send a document."""

    name: str
    mime_type: str
    content: Path | bytes
    has_text: bool
    """It is known to hold text: if R2R has nothing to find in it, that is R2R's fault."""


class Uploads:
    """An async context manager; enter it inside the entered client."""

    def __init__(self, client: R2RClient, readers: Readers, extractor: Extractor, settings: R2RSettings) -> None:
        self._client = client
        self._readers = readers
        self._extractor = extractor
        self._settings = settings
        self._looks = Batcher(self._look, size=IDS_PER_CALL, linger=LINGER, patience=PATIENCE)
        self._searches = Batcher(self._search, size=IDS_PER_CALL, linger=LINGER)
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self._looks)
        await self._resources.enter_async_context(self._searches)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._resources.aclose()

    async def upload(self, source: Source, record: SourceRecord, document_id: UUID) -> None:
        """Make a document of a source under a free id; searches find it when this returns.

        Raises `Rejected` when R2R takes it in no form, or when there is no text. A document that is of no use is
        removed; one that R2R may be working on stays in the record.
        """
        try:
            await self._upload_in_some_form(source, record, document_id)
        except Rejected:
            await record.discard(document_id)
            raise

    async def _upload_in_some_form(self, source: Source, record: SourceRecord, document_id: UUID) -> None:
        if not extensions_of(source.title, source.mime_type).isdisjoint(self._settings.exclude_exts):
            raise Rejected("its extension is in R2R_EXCLUDE_EXTS")
        path = await source.content.path()
        original = await _original(source, path) if self._settings.upload == "original" else None
        if original is None:
            return await self._upload_text(source, record, document_id, path)
        try:
            await self._upload(source, record, document_id, original)
        except Refused as error:
            log.info("%s is not taken as %s: %s", source.id, original.name, error)
            await self._upload_text(source, record, document_id, path, refused=error)

    async def _upload_text(
        self, source: Source, record: SourceRecord, document_id: UUID, path: Path, *, refused: Refused | None = None
    ) -> None:
        """What the gateway reads, where R2R was not to read the original, or has refused it."""
        try:
            form = await self._text(source, path)
            if refused is not None:
                await self._client.delete_document(document_id)
            await self._upload(source, record, document_id, form)
        except Rejected as error:
            if isinstance(error, FailedAt) or isinstance(refused, FailedAt):
                await record.blame(document_id, str(error))
            if isinstance(error, Refused) or refused is not None:
                await self._client.delete_document(document_id)
            reason = str(error) if refused is None else f"{refused}; as text: {error}"
            if isinstance(error, BeyondReader):
                raise BeyondReader(reason, reader=error.reader) from error
            raise Rejected(reason) from error

    async def finds(self, document: Document) -> bool:
        """Whether searches find a document: R2R calls it a success even when it could not store its chunks."""
        return bool(await self._searches.get(document.id)) or await self._client.has_chunks(document.id)

    # ------------------------------------------------------------------ forms

    async def _text(self, source: Source, path: Path) -> Form:
        text = await self._extractor.text(path, readable_as(source.mime_type))
        limit = self._settings.max_text_bytes
        data = text[: limit + 1].encode("utf-8", "replace")
        if len(data) > limit:
            # as with the extractor's own limit: rejecting would hide all of the document, cutting hides its end
            log.warning("only the first %d bytes of the text of %s are indexed (R2R_MAX_TEXT_BYTES)", limit, source.id)
            data = data[:limit].decode("utf-8", "ignore").encode()
        return Form("content.txt", "text/plain", data, has_text=True)

    # ------------------------------------------------------------------ one try

    async def _upload(self, source: Source, record: SourceRecord, document_id: UUID, form: Form) -> None:
        with self._looks.expecting() as look:
            document = await self._new_document(source, document_id, form)
            try:
                await self._send(record, document, form, look)
            except Refused:
                if self._is_read_by_a_model(source):
                    await record.blame(document_id, "R2R could not read it, perhaps because of its model")
                raise
            made = await look(document_id)
        made = await self._final(document_id, made)
        await self._check(source, record, made, form)
        await record.vouch_for(made)

    async def _send(self, record: SourceRecord, document: NewDocument, form: Form, look: Look) -> None:
        """Raises `Refused` where R2R says so, or where the document itself tells that R2R could not read it."""
        try:
            async with record.sending(document):
                await self._client.upload(document)
        except Failed as error:
            made = await look(document.id)
            if made is None or not made.failed_to_be_read:
                raise
            # nothing in plain text is hard to read
            kind = FailedAt if form.has_text else Refused
            raise kind("R2R cannot read the document") from error

    async def _new_document(self, source: Source, document_id: UUID, form: Form) -> NewDocument:
        provider, readers = await self._readers.collections_of(source)
        return NewDocument(
            id=document_id,
            file_name=form.name,
            mime_type=form.mime_type,
            content=form.content,
            # see `wire.Metadata`
            metadata={
                "source_id": source.id,
                "provider": source.provider,
                "sha256": await source.content.sha256(),
                "modified": source.modified,
                "cc_title": storable(source.title),
                "cc_type": source.mime_type,
                "cc_upload": uuid.uuid4().hex,
                "collection_ids": [str(id_) for id_ in readers[:METADATA_READERS]],
            },
            collection_id=provider,
        )

    def _is_read_by_a_model(self, source: Source) -> bool:
        """Perhaps; then a failure may be the model's."""
        asks_models = self._settings.ingestion_mode != "fast" and source.mime_type not in READ_WITHOUT_A_MODEL
        return asks_models or source.mime_type in READ_BY_A_MODEL

    async def _final(self, document_id: UUID, made: Document | None) -> Document:
        """The document once R2R has finished it, which is at once unless it has a queue."""
        pause = FIRST_PAUSE
        with anyio.move_on_after(self._settings.http_timeout):
            while made is not None and not made.is_final:
                await anyio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                made = await self._looks.get(document_id)
        if made is None:
            raise Unavailable("R2R does not have the document that it took")
        if not made.is_final:
            raise Unavailable(f"R2R is still at work on it ({made.ingestion_status})", retry_after=ASK_AGAIN)
        return made

    async def _check(self, source: Source, record: SourceRecord, made: Document, form: Form) -> None:
        if made.failed_to_be_read and not self._is_read_by_a_model(source):
            raise FailedAt("R2R cannot read the document")
        if not made.is_searchable:
            await record.blame(made.id, "R2R could not ingest it")
            raise Refused("R2R could not ingest it")
        if made.total_tokens == 0 and not form.has_text:
            raise Refused("R2R finds no text in it")
        await self._readers.set(made, source.provider, source.user_ids)
        if await self.finds(made):
            return
        if form.has_text:
            await self._client.delete_document(made.id)
            raise Unavailable("R2R stored nothing of the document; is its embedding model the right one?")
        raise Refused("R2R stored nothing that could be found")

    # ------------------------------------------------------------------ looks for several at once

    async def _look(self, ids: Sequence[UUID]) -> Mapping[UUID, Document]:
        return {document.id: document for document in await self._client.documents(ids)}

    async def _search(self, ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """Documents of which a search finds something. Those with many chunks may hide others."""
        limit = min(MOST_HITS, 10 * len(ids))
        chunks = await self._client.search("document", documents_only(ids, limit))
        return {chunk.document_id: True for chunk in chunks}


async def _original(source: Source, path: Path) -> Form | None:
    extension = EXTENSIONS.get(source.mime_type)
    if extension is None or not await to_thread.run_sync(goes_as_it_is, source.mime_type, path):
        return None
    return Form(f"content.{extension}", source.mime_type, path, has_text=False)
