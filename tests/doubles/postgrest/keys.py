"""Who calls: the keys of a Supabase project and the tokens made from its JWT secret."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from email.message import Message
from typing import Any

from tests.doubles.postgrest.replies import bad_token, refused_by_gateway

SECRET_KEY = "sb_secret_double_of_a_secret_key"
PUBLISHABLE_KEY = "sb_publishable_double_of_a_public_key"
JWT_SECRET = "a JWT secret of the double, long enough"
CLOCK_SKEW = 30


class Keys:
    """An older gateway passes any `Authorization` on, and nothing that it does not get."""

    def __init__(self, *, reject_non_jwt_bearer: bool) -> None:
        self._is_older = reject_non_jwt_bearer

    def role(self, headers: Message) -> str:
        """As whom a request is made, by `apikey` and `Authorization`."""
        key_role = self._role_of_key(headers.get("apikey"))
        bearer = headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if bearer.startswith("sb_") and not self._is_older:
            bearer = ""
        return str(claims(bearer).get("role", key_role)) if bearer else key_role

    def _role_of_key(self, key: str | None) -> str:
        if not key:
            hint = "No `apikey` request header or url param was found."
            raise refused_by_gateway("No API key found in request", hint)
        if key == SECRET_KEY:
            return "service_role"
        if key == PUBLISHABLE_KEY:
            return "anon"
        if key.count(".") != 2:
            hint = "Double check your Supabase `anon` or `service_role` API key."
            raise refused_by_gateway("Invalid API key", hint)
        role = str(claims(key).get("role", "anon"))
        return "anon" if self._is_older else role


def make_jwt(role: str, *, expires_in: float = 3600.0, secret: str = JWT_SECRET) -> str:
    """A token as Supabase's keys of the older kind are; `expires_in` in seconds."""
    header = _encode({"alg": "HS256", "typ": "JWT"})
    payload = _encode({"iss": "supabase", "role": role, "exp": int(time.time() + expires_in)})
    return f"{header}.{payload}.{_base64(_signature(f'{header}.{payload}', secret))}"


def claims(token: str) -> dict[str, Any]:
    """What a token says, if PostgREST takes it."""
    parts = token.split(".")
    if len(parts) != 3:
        raise bad_token("PGRST301", f"Expected 3 parts in JWT; got {len(parts)}")
    try:
        signature, payload = _decode(parts[2]), json.loads(_decode(parts[1]))
    except (binascii.Error, ValueError):
        raise bad_token("PGRST301", "JWT cryptographic operation failed") from None
    if not hmac.compare_digest(_signature(f"{parts[0]}.{parts[1]}", JWT_SECRET), signature):
        raise bad_token("PGRST301", "No suitable key or wrong key type")
    if payload["exp"] < time.time() - CLOCK_SKEW:
        raise bad_token("PGRST303", "JWT expired")
    return dict(payload)


def _signature(text: str, secret: str) -> bytes:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()


def _encode(value: object) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
