"""R2R's HTTP API: one method per call, foreign errors translated. The facts behind it are in README.md."""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel

from context_chat_backend.contract import Misconfigured, Unavailable
from context_chat_backend.toolkit.http import json_model, translate_errors

from .auth import make_auth
from .errors import Exists, Failed, Missing, Refused, error_type, refuse_foreign_404
from .settings import R2RSettings
from .wire import (
    Account,
    Chunk,
    Collection,
    Configuration,
    Document,
    Generated,
    Page,
    Results,
    SearchResults,
    ServerSettings,
)

M = TypeVar("M", bound=BaseModel)

PAGE = 1000
"""The most entries that one answer holds."""
IDS_PER_CALL = 150
"""Proxies usually stop at addresses of 8 kB."""
KEEP_ALIVE = 4.0
"""Seconds. R2R closes idle connections after 5, and a request on one that is being closed is lost."""
CONNECT_SECONDS = 10.0
ASK_AGAIN = 60.0
"""Seconds until it is worth asking again for a document that R2R is working on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document to upload."""

    id: UUID
    file_name: str
    mime_type: str
    content: Path | bytes
    metadata: Mapping[str, Any]
    collection_id: UUID
    """R2R applies only the first id of this field, and later than those in the metadata."""


class R2RClient:
    """An async context manager; safe for any number of tasks. Raises `DriverError`s only, and never `NotFound`."""

    def __init__(self, settings: R2RSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        base_url = f"{settings.base_url}/v3/"
        self._http = httpx.AsyncClient(
            base_url=base_url,
            auth=make_auth(settings, f"{base_url}users/login"),
            timeout=httpx.Timeout(settings.http_timeout, connect=CONNECT_SECONDS),
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE),
            event_hooks={"response": [refuse_foreign_404]},
            transport=transport,
        )
        self.clock_ahead = 0.0
        """Seconds by which R2R's clock is ahead of ours, as its last answer told."""

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._http.aclose()

    # ------------------------------------------------------------------ documents

    async def documents(self, ids: Sequence[UUID]) -> list[Document]:
        """Those of these documents that exist, whatever their number."""
        return (await self._get("documents", Page[Document], ids=[str(id_) for id_ in ids], limit=PAGE)).results

    async def all_documents(self, offset: int) -> list[Document]:
        """A page of everything, newest first."""
        return (await self._get("documents", Page[Document], offset=offset, limit=PAGE)).results

    async def upload(self, document: NewDocument) -> None:
        """Make a document. Without a queue it is final when this returns.

        Raises `Refused` where R2R does not read this form of the document, `Failed` where it may have been unable to,
        and `Exists`.
        """
        settings = self._settings
        fields = {
            "id": str(document.id),
            "metadata": json.dumps(document.metadata),
            "collection_ids": json.dumps([str(document.collection_id)]),
            "ingestion_mode": settings.ingestion_mode,
            "run_with_orchestration": str(settings.run_with_orchestration).lower(),
        }
        async with AsyncExitStack() as stack:
            content = document.content
            file = stack.enter_context(content.open("rb")) if isinstance(content, Path) else content
            files = {"file": (document.file_name, file, document.mime_type)}
            with translate_errors(rejected={413, 415}, unavailable={400, 403}):
                response = await self._http.post("documents", data=fields, files=files)
                await self._raise_upload_errors(response)
        json_model(response, Results[dict[str, Any]])  # a page of something in between comes with 200, too

    async def _raise_upload_errors(self, response: httpx.Response) -> None:
        if response.status_code in {httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNSUPPORTED_MEDIA_TYPE}:
            raise Refused(
                f"R2R answered {response.status_code}: too large for its type, or a type that it does not read"
            )
        if response.status_code == httpx.codes.CONFLICT:
            raise Exists("R2R has this document already, or is working on it", retry_after=ASK_AGAIN)
        kind = error_type(response)
        if kind == "R2RDocumentProcessingError":
            raise Refused("R2R cannot read the document")
        if kind and response.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.INTERNAL_SERVER_ERROR}:
            # one answer for JSON that its parser refuses, and for models that are away
            raise Failed(f"R2R answered {response.status_code} to an upload ({kind})")
        await self._raise_for_status(response)

    async def delete_document(self, id_: UUID) -> None:
        """Remove a document and its chunks; an unknown one is fine."""
        response = await self._send("DELETE", f"documents/{id_}", accept={404, 500})
        if response.status_code != httpx.codes.INTERNAL_SERVER_ERROR:
            return
        if error_type(response) != "KeyError":
            await self._raise_for_status(response)
        # R2R 3.6.6 cannot delete a document of exactly 1000 chunks; with one less it answers 404 and does it
        await self._delete_one_chunk(id_)
        await self._send("DELETE", f"documents/{id_}", accept={404})

    async def _delete_one_chunk(self, id_: UUID) -> None:
        response = await self._send("GET", f"documents/{id_}/chunks", params={"limit": 1}, accept={404})
        if response.is_success:
            for chunk in json_model(response, Page[_ChunkId]).results:
                await self._send("DELETE", f"chunks/{chunk.id}", accept={404})

    async def has_chunks(self, id_: UUID) -> bool:
        """Whether there is anything to be found of a document."""
        response = await self._send("GET", f"documents/{id_}/chunks", params={"limit": 1}, accept={404})
        return response.is_success and bool(json_model(response, Page[_ChunkId]).results)

    async def patch_metadata(self, id_: UUID, values: Mapping[str, Any]) -> None:
        """Merge into the metadata of a document; its chunks keep theirs. Raises `Missing`."""
        await self._send("PATCH", f"documents/{id_}/metadata", json=[{name: value} for name, value in values.items()])

    async def export(self, columns: Sequence[str]) -> AsyncIterator[str]:
        """Lines of a CSV table of all documents. For superusers."""
        body = {"columns": list(columns), "include_header": False}
        with translate_errors():
            async with self._http.stream("POST", "documents/export", json=body) as response:
                await self._raise_for_status(response)
                rest = ""
                async for text in response.aiter_text():
                    # not `aiter_lines`: it also ends lines at characters that R2R leaves in titles as they are
                    *lines, rest = (rest + text).split("\n")
                    for line in lines:
                        yield line
                if rest:
                    yield rest

    # ------------------------------------------------------------------ collections

    async def create_collection(self, name: str) -> UUID | None:
        """The id of a new collection, None where there is one of this name."""
        response = await self._send("POST", "collections", json={"name": name}, accept={400, 409})
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise Misconfigured(
                "R2R refuses another collection: raise default_max_collections_per_user in its configuration "
                "(one is needed per user and per provider, and two more)"
            )
        return None if response.is_error else json_model(response, Results[Collection]).results.id

    async def find_collection(self, name: str) -> UUID | None:
        """The id of a collection of this account by its name."""
        response = await self._send("GET", f"collections/name/{name}", accept={404})
        return None if response.is_error else json_model(response, Results[Collection]).results.id

    async def collection(self, id_: UUID) -> Collection | None:
        """A collection, None where there is none."""
        response = await self._send("GET", f"collections/{id_}", accept={404})
        return None if response.is_error else json_model(response, Results[Collection]).results

    async def collections(self, offset: int) -> list[Collection]:
        """A page of this account's collections, newest first."""
        page = await self._get("collections", Page[Collection], offset=offset, limit=PAGE, owner_only=True)
        return page.results

    async def collections_by_id(self, ids: Sequence[UUID]) -> list[Collection]:
        """Those of these collections that exist."""
        return (await self._get("collections", Page[Collection], ids=[str(id_) for id_ in ids], limit=PAGE)).results

    async def members(self, collection_id: UUID, offset: int) -> list[Document]:
        """A page of the documents of a collection; they show no other collection. Empty for an unknown one."""
        path = f"collections/{collection_id}/documents"
        response = await self._send("GET", path, params={"offset": offset, "limit": PAGE}, accept={404})
        return [] if response.is_error else json_model(response, Page[Document]).results

    async def add_member(self, collection_id: UUID, document_id: UUID) -> None:
        """Put a document into a collection; it may be in it already. Raises `Missing` if one of them does not exist."""
        path = f"collections/{collection_id}/documents/{document_id}"
        await self._send("POST", path, accept={409})

    async def remove_member(self, collection_id: UUID, document_id: UUID) -> None:
        """Take a document out of a collection; it need not be in it."""
        await self._send("DELETE", f"collections/{collection_id}/documents/{document_id}", accept={404})

    async def reset_graph(self, collection_id: UUID) -> None:
        """Empty the graph of a collection; one that does not exist, to which R2R answers 403, is fine."""
        await self._send("POST", f"graphs/{collection_id}/reset", accept={403, 404})

    # ------------------------------------------------------------------ retrieval

    async def search(self, query: str, settings: Mapping[str, Any]) -> list[Chunk]:
        """Chunks, best first."""
        body = {"query": query, "search_mode": "custom", "search_settings": settings}
        response = await self._send("POST", "retrieval/search", json=body, unavailable={400})
        return json_model(response, Results[SearchResults]).results.chunk_search_results

    async def generate(self, query: str, settings: Mapping[str, Any]) -> Generated:
        """An answer of a language model and the chunks that it was given."""
        body = {
            "query": query,
            "search_mode": "custom",
            "search_settings": settings,
            "rag_generation_config": {"stream": False},
        }
        response = await self._send("POST", "retrieval/rag", json=body, unavailable={400})
        return json_model(response, Results[Generated]).results

    async def embed(self, text: str) -> None:
        """Have R2R ask its embedding model."""
        await self._send("POST", "retrieval/embedding", json=text, unavailable={400})

    # ------------------------------------------------------------------ the server

    async def account(self) -> Account:
        """Whose requests these are."""
        return (await self._get("users/me", Results[Account])).results

    async def configuration(self) -> Configuration:
        """Parts of the server's settings. For superusers."""
        return (await self._get("system/settings", Results[ServerSettings])).results.config

    async def vector_indices(self) -> list[str]:
        """Definitions of the indices on the table of chunks."""
        indices = (await self._get("indices", Results[_Indices])).results.indices
        return [entry.index.definition for entry in indices]

    # ------------------------------------------------------------------ requests

    async def _get(self, path: str, model: type[M], **params: Any) -> M:
        return json_model(await self._send("GET", path, params=params), model)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        accept: frozenset[int] | set[int] = frozenset(),
        unavailable: frozenset[int] | set[int] = frozenset(),
        **request: Any,
    ) -> httpx.Response:
        """A response that is a success or has one of the accepted statuses. Raises `Missing` for R2R's own 404."""
        with translate_errors(unavailable=unavailable):
            response = await self._http.request(method, path, **request)
            self._note_clock(response)
            if response.status_code not in accept:
                await self._raise_for_status(response)
        return response

    async def _raise_for_status(self, response: httpx.Response) -> None:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            await self._raise_unauthorized()
        if response.status_code == httpx.codes.NOT_FOUND:
            raise Missing(f"R2R does not know what {response.request.method} {response.request.url.path} names")
        response.raise_for_status()

    async def _raise_unauthorized(self) -> None:
        """R2R answers 401 also when its model provider refuses R2R's own key."""
        if (await self._http.get("users/me")).is_success:
            raise Unavailable("R2R's model provider refuses the key of R2R")
        raise Misconfigured(
            f"R2R refuses what {self._settings.credentials} says"
            if self._settings.credentials
            else "R2R asks for credentials: set R2R_USER and R2R_PASSWORD"
        )

    def _note_clock(self, response: httpx.Response) -> None:
        try:
            date = parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            return
        self.clock_ahead = date.timestamp() - time.time()


class _ChunkId(BaseModel):
    id: UUID


class _Index(BaseModel):
    definition: str = ""


class _NamedIndex(BaseModel):
    index: _Index


class _Indices(BaseModel):
    indices: list[_NamedIndex]
