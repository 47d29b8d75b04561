"""The double on a real socket, because Pinecone's SDK brings its own HTTP client."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from anyio.from_thread import start_blocking_portal
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tests.doubles.pinecone.server import PineconeDouble


class Connection(HttpToolsProtocol):
    """Lets the app break the connection that a request came by: ASGI has no message for that."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


@contextmanager
def pinecone_server() -> Iterator[PineconeDouble]:
    """The double on a socket, served by a thread until the block ends; `url` is its address.

    uvicorn's own server is left out: it takes 0.2 seconds to stop, and there are many tests.
    """
    double = PineconeDouble()
    config = uvicorn.Config(double, log_config=None, ws="none", lifespan="off")
    config.load()
    state = ServerState()
    with start_blocking_portal() as portal:
        server = portal.call(_listen, config, state)
        double.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield double
        finally:
            portal.call(_close, server, state)


async def _listen(config: uvicorn.Config, state: ServerState) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)


async def _close(server: asyncio.Server, state: ServerState) -> None:
    server.close()
    for connection in [*state.connections]:
        if isinstance(connection, Connection):
            connection.transport.abort()
    await server.wait_closed()
