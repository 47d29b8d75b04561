"""Stands for a server that refuses, hangs or answers with a number: real gRPC, and nothing of Milvus behind it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2

SECRET = "words of a document"
CONNECT = "/milvus.proto.milvus.MilvusService/Connect"

PAUSE = 0.05

Answer = Callable[[str, grpc.ServicerContext], bytes]


def refusing(code: grpc.StatusCode) -> Answer:
    """Everything, even to connect."""

    def answer(method: str, context: grpc.ServicerContext) -> bytes:
        context.abort(code, SECRET)
        return b""

    return answer


def numbered(number: int) -> Answer:
    """What Milvus itself answers when something goes wrong."""

    def answer(method: str, context: grpc.ServicerContext) -> bytes:
        status = common_pb2.Status(code=number, error_code=1, reason=SECRET)
        return bytes(milvus_pb2.DescribeCollectionResponse(status=status).SerializeToString())

    return connected(answer)


def garbled(method: str, context: grpc.ServicerContext) -> bytes:
    """No message of any kind."""
    return f"<html>{SECRET}</html>".encode()


def of_version(version: str) -> Answer:
    """A server of this version, as far as that."""

    def answer(method: str, context: grpc.ServicerContext) -> bytes:
        return bytes(milvus_pb2.GetVersionResponse(version=version).SerializeToString())

    return connected(answer)


def connected(then: Answer) -> Answer:
    """Lets a client connect first."""

    def answer(method: str, context: grpc.ServicerContext) -> bytes:
        return bytes(milvus_pb2.ConnectResponse().SerializeToString()) if method == CONNECT else then(method, context)

    return answer


def hanging(method: str, context: grpc.ServicerContext) -> bytes:
    """No answer as long as somebody waits for one."""
    while context.is_active():
        time.sleep(PAUSE)
    return b""


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        return grpc.unary_unary_rpc_method_handler(lambda _, context: self._answer(method, context))


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Its address."""
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers([_Handler(answer)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(None).wait()
