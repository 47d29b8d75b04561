"""From an upload to chunks. R2R keeps the document in memory meanwhile and writes the whole row again at the end."""

import io
import json
import re
import zipfile
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from starlette.responses import JSONResponse, Response

from tests.doubles.r2r.errors import Refusal, failed, refused, wrong_driver
from tests.doubles.r2r.providers import Providers
from tests.doubles.r2r.schemas import IngestionConfig, NewDocument
from tests.doubles.r2r.store import Account, Chunk, Clock, Document, Status, Store, default_collection

MEGABYTE = 1_000_000
MAX_SIZES = (
    dict.fromkeys(("txt", "md", "tsv"), 2 * MEGABYTE)
    | dict.fromkeys(
        ("csv", "html", "odt", "eml", "msg", "p7s", "bmp", "heic", "jpeg", "jpg", "png", "tiff", "rtf", "rst", "org"),
        5 * MEGABYTE,
    )
    | dict.fromkeys(("doc", "docx", "xls", "xlsx", "epub"), 10 * MEGABYTE)
    | dict.fromkeys(("ppt", "pptx"), 20 * MEGABYTE)
    | {"pdf": 30 * MEGABYTE}
)
DEFAULT_MAX_SIZE = 33_554_432
"""For accepted types that have no limit of their own."""
PLAIN_TYPES = frozenset({"txt", "md", "tsv", "csv", "html", "htm", "json", "py", "js", "css", "ts", "org"})
BINARY_MAGIC = {
    "pdf": b"%PDF-",
    "rtf": b"{\\rtf",
    **dict.fromkeys(("docx", "pptx", "xlsx", "odt", "epub"), b"PK"),
    **dict.fromkeys(("doc", "ppt", "xls", "msg"), b"\xd0\xcf\x11\xe0"),
}
OLE_STREAMS = {"doc": "WordDocument", "ppt": "PowerPoint Document"}
"""Without these R2R's parsers do not know the file for one of theirs."""
MAIN_PART = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
"""Strict documents have another one, which R2R's parsers do not look for."""
UNMODELLED_TYPES = frozenset({"mp3", "eml", "p7s", "bmp", "heic", "jpeg", "png", "tiff", "jpg", "svg", "gif", "rst"})
"""R2R accepts them and does things with them that this double does not imitate."""
STORAGE_BATCH = 128


@dataclass
class Ingestion:
    document: Document
    """R2R's copy: what others change in the row meanwhile, it does not know."""
    texts: list[str] | bytes
    collection_ids: list[UUID]
    """From the form field."""
    config: IngestionConfig
    summarises: bool
    answer: Response | None = None
    """None while it runs."""
    killed: bool = False
    problem: Refusal | None = field(default=None)


class Ingestor:
    def __init__(self, store: Store, clock: Clock, providers: Providers) -> None:
        self._store = store
        self._clock = clock
        self._providers = providers

    # ------------------------------------------------------------------ accepting

    def accept(self, account: Account, form: NewDocument) -> Ingestion:
        """Checks an upload in R2R's order and writes its first row."""
        inputs = [each for each in (form.file, form.raw_text, form.chunks) if each]
        if form.file is None and not inputs:
            raise refused(422, "Either a `file`, `raw_text`, or `chunks` must be provided.")
        if len(inputs) > 1:
            raise refused(422, "Only one of `file`, `raw_text`, or `chunks` may be provided.")
        if "title" in form.metadata:
            raise wrong_driver("title replaces the file name, and so decides the type", "body", "metadata", "title")
        ingestion = self._from_chunks(account, form) if form.chunks else self._from_file(account, form)
        self._store.write(ingestion.document)
        ingestion.document.updated = self._clock.now()
        return ingestion

    def _from_chunks(self, account: Account, form: NewDocument) -> Ingestion:
        assert form.chunks
        id_ = form.id or _hashed(account, "".join(form.chunks))
        existing = self._store.documents.get(id_)
        if existing is not None and existing.owner_id == account.id and existing.status != "failed":
            message = f"Document {id_} was already ingested and is not in a failed state."
            raise failed("create_document", f"500: Error during chunk ingestion: {message}", "HTTPException")
        size = sum(len(each.encode()) for each in form.chunks)
        document = self._document(account, form, id_, title=f"Ingested Chunks - {id_}", document_type="txt", size=size)
        return Ingestion(document, form.chunks, form.collection_ids or [], form.ingestion_config, summarises=False)

    def _from_file(self, account: Account, form: NewDocument) -> Ingestion:
        if form.file is not None:
            name, content = form.file.filename, form.file.content
            size, extension = len(content), name.rsplit(".", 1)[-1]
            limit = MAX_SIZES.get(extension.lower(), DEFAULT_MAX_SIZE)
            if size > limit:
                raise refused(413, f"File size exceeds maximum of {limit} bytes for extension '{extension}'.")
        else:
            assert form.raw_text
            name, content, extension, size = "N/A", form.raw_text.encode(), "txt", len(form.raw_text)
        id_ = form.id or _hashed(account, name if form.file else content.decode())
        document = self._document(account, form, id_, title=name, document_type=_document_type(extension), size=size)
        self._check_free(account, id_)
        config = form.ingestion_config
        summarises = form.ingestion_mode != "fast" and not config.skip_document_summary
        return Ingestion(document, content, form.collection_ids or [], config, summarises)

    def _check_free(self, account: Account, id_: UUID) -> None:
        existing = self._store.documents.get(id_)
        if existing is None or existing.owner_id != account.id or existing.status == "failed":
            return
        if existing.status == "success":
            hint = "Submit a DELETE request to `/documents/{document_id}` to delete this document"
            raise refused(409, f"Document {id_} already exists. {hint} and allow for re-ingestion.")
        raise refused(409, f"Document {id_} is currently ingesting with status {existing.status}.")

    def _document(
        self, account: Account, form: NewDocument, id_: UUID, *, title: str, document_type: str, size: int
    ) -> Document:
        metadata = {**form.metadata, "version": "v0"}
        if _has_nul(metadata):
            raise _not_stored("unsupported Unicode escape sequence\nDETAIL:  \\u0000 cannot be converted to text.")
        try:
            collection_ids = [UUID(each) for each in metadata.get("collection_ids", [])]
        except (ValueError, AttributeError, TypeError) as error:
            raise _not_stored("1 validation error for DocumentResponse\ncollection_ids.0") from error
        now = self._clock.now()
        return Document(
            id_, account.id, collection_ids, document_type, metadata, title, size, "parsing", now, updated=now
        )

    # ------------------------------------------------------------------ running

    def start(self, ingestion: Ingestion) -> None:
        self._write(ingestion, "embedding")

    def finish(self, ingestion: Ingestion) -> None:
        """Sets the answer. Whatever happened to the row since `accept` is undone."""
        message = "Document created and ingested successfully."
        body = {"results": {"message": message, "task_id": None, "document_id": str(ingestion.document.id)}}
        try:
            self._ingest(ingestion)
            ingestion.answer = JSONResponse(body, 202)
        except Refusal as problem:
            ingestion.document.metadata["failure"] = problem.message
            self._write(ingestion, "failed")
            ingestion.problem, ingestion.answer = problem, problem.response

    def _ingest(self, ingestion: Ingestion) -> None:
        document, is_file = ingestion.document, isinstance(ingestion.texts, bytes)
        texts = _parse(document.document_type, ingestion) if isinstance(ingestion.texts, bytes) else ingestion.texts
        document.total_tokens = sum(max(1, len(text) // 4) for text in texts) if is_file else 0
        if ingestion.summarises:
            self._providers.check_chat(f"summary of {document.id}", "create_document", "Error during ingestion: ")
            document.summary = f"The document contains {' '.join(texts)[:40]}."
            document.summary_embedding = self._providers.vector(document.summary)
        if texts:
            self._providers.check_embeddings_of_upload()
        self._store_chunks(ingestion, texts, is_file)
        self._write(ingestion, "success")
        self._assign(ingestion, is_file)

    def _store_chunks(self, ingestion: Ingestion, texts: list[str], is_file: bool) -> None:
        """A batch with a NUL byte in it is lost without a word."""
        document = ingestion.document
        collection_ids = document.collection_ids if is_file else ingestion.collection_ids
        for start in range(0, len(texts), STORAGE_BATCH):
            batch = texts[start : start + STORAGE_BATCH]
            if any("\0" in text for text in batch):
                continue
            for order, text in enumerate(batch, start):
                extra = {"chunk_order": order, "document_type": document.document_type} if is_file else {}
                id_ = uuid5(document.id, f"chunk {order}")
                metadata = document.metadata | extra
                self._store.chunks[id_] = Chunk(id_, document.id, document.owner_id, [*collection_ids], text, metadata)

    def _assign(self, ingestion: Ingestion, is_file: bool) -> None:
        """Only the first id of a file's form field is ever applied, and an id that the metadata names too is an error
        that nobody sees. https://github.com/SciPhi-AI/R2R, v3.6.6, simple ingestion workflow
        """
        document = ingestion.document
        owner = next(each for each in self._store.accounts if each.id == document.owner_id)
        if not ingestion.collection_ids:
            wanted = [default_collection(owner.id)]
        else:
            wanted = ingestion.collection_ids[:1] if is_file else ingestion.collection_ids
        for collection_id in wanted:
            if collection_id not in self._store.collections:
                self._create_unknown(owner, collection_id, "My Collection" if is_file else document.title)
            try:
                self._store.assign(document.id, collection_id)
            except Refusal:
                return

    def _create_unknown(self, owner: Account, collection_id: UUID, name: str) -> None:
        """Works once per account and name."""
        if self._store.collection_of(owner.id, name) is None:
            self._store.create_collection(owner, name, "A collection started during ingestion", collection_id)

    def _write(self, ingestion: Ingestion, status: Status) -> None:
        ingestion.document = replace(ingestion.document, status=status)
        self._store.write(ingestion.document)


def _document_type(extension: str) -> str:
    extension = extension.lower()
    if extension in UNMODELLED_TYPES:
        raise wrong_driver(f"the double does not imitate what R2R does with {extension}", "body", "file")
    if extension not in PLAIN_TYPES and extension not in BINARY_MAGIC:
        raise refused(415, f"'{extension}' is not a valid DocumentType.")
    return extension


def _parse(document_type: str, ingestion: Ingestion) -> list[str]:
    """Text as it is. Of every other format the printable Latin-1 characters: no parser is imitated."""
    content = ingestion.texts
    assert isinstance(content, bytes)
    if document_type == "ts":
        return []  # R2R takes it for a video
    if document_type == "epub":
        return []  # R2R opens the book and then does not find its pages
    text = _plain(document_type, content) if document_type in PLAIN_TYPES else _printable(document_type, content)
    return _split(text, ingestion.config.chunk_size)


def _plain(document_type: str, content: bytes) -> str:
    try:
        text = content.decode()
        if document_type == "json":
            json.loads(text)
    except json.JSONDecodeError as error:
        raise refused(400, f"Failed to parse JSON data, likely due to invalid JSON: {error}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise _unparsed(str(error)) from error
    return text


def _printable(document_type: str, content: bytes) -> str:
    if not content.startswith(BINARY_MAGIC[document_type]):
        raise _unparsed("Stream has ended unexpectedly")
    if document_type in OLE_STREAMS and OLE_STREAMS[document_type].encode("utf-16-le") not in content:
        raise _unparsed("cannot access local variable 'ole' where it is not associated with a value")
    if document_type in {"docx", "pptx"} and MAIN_PART not in _relationships(content):
        raise _unparsed(f"no relationship of type '{MAIN_PART.decode()}' in collection")
    return re.sub(r"[^\x20-\x7e\xa0-\xff]+", " ", content.decode("latin-1"))


def _relationships(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            return package.read("_rels/.rels")
    except (zipfile.BadZipFile, KeyError) as error:
        raise _unparsed(str(error)) from error


def _split(text: str, size: int) -> list[str]:
    """At white space where there is any; words that are longer than a chunk are cut."""
    pieces = re.findall(rf"\S[\s\S]{{0,{size - 1}}}(?!\S)|\S{{1,{size}}}", text)
    return [piece.rstrip() for piece in pieces]


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _hashed(account: Account, text: str) -> UUID:
    """R2R's idea of an id: of the file's name, or of the text."""
    return uuid5(NAMESPACE_DNS, f"{text}-{account.id}")


def _unparsed(reason: str) -> Refusal:
    return refused(500, f"Error parsing document: {reason}", "R2RDocumentProcessingError")


def _not_stored(reason: str) -> Refusal:
    return failed("create_document", f"500: Error during ingestion: {reason}", "HTTPException")


def render(document: Document, clock: Clock, **changed: Any) -> dict[str, Any]:
    """A document as R2R shows it."""
    return {
        "id": str(document.id),
        "collection_ids": [str(each) for each in document.collection_ids],
        "owner_id": str(document.owner_id),
        "document_type": document.document_type,
        "metadata": document.metadata,
        "title": document.title,
        "version": "v0",
        "size_in_bytes": document.size,
        "ingestion_status": document.status,
        "extraction_status": "pending",
        "created_at": clock.show(document.created),
        "updated_at": clock.show(document.updated),
        "ingestion_attempt_number": None,
        "summary": document.summary,
        "summary_embedding": document.summary_embedding,
        "total_tokens": document.total_tokens,
        "chunks": None,
        **changed,
    }
