"""HTTP requests as they come in, and what may be in them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from tests.doubles.pinecone.calls import Call
from tests.doubles.pinecone.errors import invalid


@dataclass(frozen=True)
class Asked:
    """An HTTP request with its body read."""

    call: Call
    raw_path: str
    """As it was sent: a namespace may hold an encoded slash."""
    headers: Mapping[str, str]
    query: Mapping[str, str]
    content: bytes


async def read(request: Request) -> Asked:
    content = await request.body()
    raw_path = request.scope["raw_path"].decode()
    call = Call(request.method, unquote(raw_path), len(content), decoded(content))
    return Asked(call, raw_path, request.headers, request.query_params, content)


def decoded(content: bytes) -> Any:
    """For the log, which takes what comes: None for what is no JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def body_of(asked: Asked, schema: type[BaseModel] | None) -> Any:
    if schema is None:
        if asked.content:
            raise invalid("This operation takes no body")
        return None
    try:
        return schema.model_validate(json_of(asked))
    except ValidationError as error:
        raise invalid(problems(error)) from None


def json_of(asked: Asked) -> dict[str, Any]:
    if not asked.headers.get("content-type", "").startswith("application/json"):
        raise invalid("The body has to be application/json")
    try:
        body = json.loads(asked.content, parse_constant=_no_constant)
    except ValueError as error:
        raise invalid(f"Invalid JSON: {error}") from None
    if not isinstance(body, dict):
        raise invalid("The body has to be a JSON object")
    if nulls := [name for name, value in body.items() if value is None]:
        raise invalid(f"{nulls} must not be null")
    return body


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


def check_no_query(asked: Asked) -> None:
    if asked.query:
        raise invalid(f"Unknown query parameters {sorted(asked.query)}")
