"""A strict double of a Qdrant server: the engine of qdrant-client's local mode behind the routes that the driver uses.
Run as a program it prints its address and listens until Ctrl-C.

Bodies are checked by Qdrant's own models, which refuse unknown fields; unknown routes and parameters are refused. Like
a server in strict mode, it refuses filters on fields without an index. https://api.qdrant.tech/api-reference
"""

import socket
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from qdrant_client import AsyncQdrantClient, models
from starlette.types import Receive, Scope, Send

KEY = "a-key-of-the-double"
PARAMETERS = {"wait": "true"}


class QdrantDouble:
    """An ASGI app. `script` answers the next requests in its stead."""

    def __init__(self) -> None:
        self.url = ""
        self.script: deque[Response] = deque()
        self.indexes: defaultdict[str, set[str]] = defaultdict(set)
        self.engine = AsyncQdrantClient(":memory:")
        self._app = FastAPI(openapi_url=None, dependencies=[Depends(_authorize), Depends(_known_parameters)])
        self._app.include_router(self._router())
        self._app.add_exception_handler(HTTPException, _http_error)
        self._app.add_exception_handler(RequestValidationError, _bad_request)
        self._app.add_exception_handler(ValueError, _bad_request)  # the engine's way to refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.script:
            await self.script.popleft()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _router(self) -> APIRouter:
        router = APIRouter()
        collection = "/collections/{name}"
        router.add_api_route(f"{collection}/exists", self._exists, methods=["GET"])
        router.add_api_route(collection, self._create, methods=["PUT"])
        router.add_api_route(collection, self._info, methods=["GET"])
        router.add_api_route(collection, self._update, methods=["PATCH"])
        router.add_api_route(f"{collection}/index", self._index, methods=["PUT"])
        router.add_api_route(f"{collection}/points", self._upsert, methods=["PUT"])
        router.add_api_route(f"{collection}/points/payload", self._set_payload, methods=["POST"])
        router.add_api_route(f"{collection}/points/delete", self._delete, methods=["POST"])
        router.add_api_route(f"{collection}/points/scroll", self._scroll, methods=["POST"])
        router.add_api_route(f"{collection}/points/vectors", self._update_vectors, methods=["PUT"])
        router.add_api_route(f"{collection}/points/query", self._query, methods=["POST"])
        router.add_api_route(f"{collection}/points/count", self._count, methods=["POST"])
        return router

    async def _exists(self, name: str) -> dict[str, Any]:
        return _result(models.CollectionExistence(exists=await self.engine.collection_exists(name)))

    async def _create(self, name: str, body: models.CreateCollection) -> dict[str, Any]:
        if await self.engine.collection_exists(name):
            raise HTTPException(409, f"Collection `{name}` already exists!")
        await self.engine.create_collection(
            name, vectors_config=body.vectors, sparse_vectors_config=body.sparse_vectors
        )
        return _result(True)

    async def _info(self, name: str) -> dict[str, Any]:
        await self._require(name)
        return _result(await self.engine.get_collection(name))

    async def _update(self, name: str, body: models.UpdateCollection) -> dict[str, Any]:
        await self._require(name)
        return _result(await self.engine.update_collection(name, sparse_vectors_config=body.sparse_vectors))

    async def _scroll(self, name: str, body: models.ScrollRequest) -> dict[str, Any]:
        await self._require(name, body.filter)
        points, following = await self.engine.scroll(name, limit=body.limit or 10, offset=body.offset)
        return _result(models.ScrollResult(points=points, next_page_offset=following))

    async def _update_vectors(self, name: str, body: models.UpdateVectors) -> dict[str, Any]:
        await self._require(name)
        await self.engine.update_vectors(name, body.points)
        return _completed()

    async def _index(self, name: str, body: models.CreateFieldIndex) -> dict[str, Any]:
        await self._require(name)
        self.indexes[name].add(body.field_name)
        return _completed()

    async def _upsert(self, name: str, body: models.PointsList) -> dict[str, Any]:
        await self._require(name)
        await self.engine.upsert(name, body.points)
        return _completed()

    async def _set_payload(self, name: str, body: models.SetPayload) -> dict[str, Any]:
        await self._require(name, body.filter)
        assert body.filter is not None
        await self.engine.set_payload(name, body.payload, body.filter)
        return _completed()

    async def _delete(self, name: str, body: models.FilterSelector) -> dict[str, Any]:
        await self._require(name, body.filter)
        await self.engine.delete(name, body)
        return _completed()

    async def _query(self, name: str, body: models.QueryRequest) -> dict[str, Any]:
        await self._require(name, body.filter)
        found = await self.engine.query_points(
            name,
            body.query,
            using=body.using,
            query_filter=body.filter,
            limit=body.limit or 10,
            with_vectors=body.with_vector or False,
        )
        return _result(found)

    async def _count(self, name: str, body: Annotated[models.CountRequest, Body()]) -> dict[str, Any]:
        await self._require(name)
        return _result(await self.engine.count(name))

    async def _require(self, name: str, condition: models.Filter | None = None) -> None:
        if not await self.engine.collection_exists(name):
            raise HTTPException(404, f"Not found: Collection `{name}` doesn't exist!")
        if fields := _fields(condition) - self.indexes[name]:
            raise HTTPException(400, f"Bad request: Index required but not found for {sorted(fields)}")


@contextmanager
def serve(double: QdrantDouble) -> Iterator[None]:
    """Let it listen at `double.url`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(double, log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        double.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


def _authorize(request: Request) -> None:
    if request.headers.get("api-key") != KEY:
        raise HTTPException(401, "Must provide an API key or an Authorization bearer token")


def _known_parameters(request: Request) -> None:
    if request.query_params and dict(request.query_params) != PARAMETERS:
        raise HTTPException(400, f"this double knows only {PARAMETERS}")


def _fields(condition: models.Filter | None) -> set[str]:
    if condition is None:
        return set()
    clauses = condition.model_dump(exclude_none=True)
    assert set(clauses) <= {"must", "should"}
    conditions = [item for clause in clauses.values() for item in (clause if isinstance(clause, list) else [clause])]
    return {item["key"] for item in conditions}


def _result(value: object) -> dict[str, Any]:
    return {"result": value, "status": "ok", "time": 0.0}


def _completed() -> dict[str, Any]:
    return _result(models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED))


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"status": {"error": error.detail}, "time": 0.0}, error.status_code)


async def _bad_request(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"status": {"error": f"Bad request: {error}"}, "time": 0.0}, 400)


if __name__ == "__main__":
    double = QdrantDouble()
    with serve(double), suppress(KeyboardInterrupt):
        sys.stdout.write(f"QDRANT_URL={double.url} QDRANT_API_KEY={KEY}\n")
        sys.stdout.flush()
        threading.Event().wait()
