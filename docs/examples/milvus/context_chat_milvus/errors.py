"""Errors of pymilvus in the words of the contract."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from pymilvus import MilvusException

from context_chat_backend.contract import Busy, DriverError, Misconfigured, Unavailable

BUSY = frozenset({4, 8, 9})
"""Too many requests, and the quotas of a cluster. Numbers of pkg/util/merr/errors.go in Milvus."""
MISCONFIGURED = frozenset(
    {
        *(100, 102, 105),  # no such collection, one more than allowed, its schema
        *range(700, 703),  # indexes
        *range(800, 803),  # databases
        *range(1100, 1103),  # parameters
        *range(1400, 1402),  # privileges
    }
)
"""Others may pass: old servers have one number for most of what can go wrong."""
REFUSED = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,  # also what a 404 of a proxy becomes
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,  # larger than a message may be
    }
)
"""https://grpc.github.io/grpc/core/md_doc_http-grpc-status-mapping.html"""


@contextmanager
def milvus_errors() -> Iterator[None]:
    """Turn errors of pymilvus into `DriverError`s. Its messages quote the server, and so text of documents."""
    try:
        yield
    except MilvusException as error:
        raise _by_cause(error) from None
    except grpc.RpcError as error:
        raise _by_status(error.code()) from None
    except AttributeError:  # gRPC gives None for what is no message, and the client looks into that
        raise Unavailable("Milvus gave an answer that makes no sense") from None
    except TimeoutError:
        raise Unavailable("Milvus did not answer in time") from None


def _by_cause(error: MilvusException) -> DriverError:
    """It wraps what gRPC raises in two ways: with its status as a number, or with it as the cause."""
    if isinstance(error.code, grpc.StatusCode):
        return _by_status(error.code)
    if isinstance(error.__cause__, grpc.RpcError):
        return _by_status(error.__cause__.code())
    return _by_number(error.code)


def _by_number(number: int) -> DriverError:
    if number in BUSY:
        return Busy("Milvus is busy")
    return (Misconfigured if number in MISCONFIGURED else Unavailable)(f"Milvus answered {number}")


def _by_status(status: grpc.StatusCode) -> DriverError:
    return (Misconfigured if status in REFUSED else Unavailable)(f"Milvus answered {status.name}")
