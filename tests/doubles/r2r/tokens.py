"""Accounts, tokens and rate limits: who may call."""

from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from starlette.requests import Request

from tests.doubles.r2r.errors import detail, refused
from tests.doubles.r2r.store import Account, Clock, Store

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 7 * 24 * 3600


@dataclass
class Token:
    account: Account
    kind: Literal["access", "refresh"]
    expires: float


class Gate:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.global_per_minute: int | None = None
        self.route_per_minute: int | None = None
        self.tokens: dict[str, Token] = {}
        self._log: list[tuple[Account, str, float]] = []

    # ------------------------------------------------------------------ tokens

    def login(self, email: str, password: str) -> dict[str, object]:
        account = next((each for each in self._store.accounts if each.email == email), None)
        if account is None:
            raise refused(404, "User not found")
        if account.password != password:
            raise refused(401, "Incorrect email or password")
        return self._tokens(account)

    def refresh(self, text: str) -> dict[str, object]:
        """A refresh token works once."""
        token = self._valid(text)
        if token is None:
            raise refused(401, "Invalid or expired token")
        if token.kind != "refresh":
            raise refused(401, "Invalid refresh token")
        del self.tokens[text]
        return self._tokens(token.account)

    def _tokens(self, account: Account) -> dict[str, object]:
        return {
            "access_token": {"token": self._issue(account, "access", ACCESS_SECONDS), "token_type": "access"},
            "refresh_token": {"token": self._issue(account, "refresh", REFRESH_SECONDS), "token_type": "refresh"},
        }

    def _issue(self, account: Account, kind: Literal["access", "refresh"], seconds: float) -> str:
        text = f"header.{kind}-{uuid4().hex}.signature"
        self.tokens[text] = Token(account, kind, self._clock.now() + seconds)
        return text

    def _valid(self, text: str) -> Token | None:
        token = self.tokens.get(text)
        return token if token is not None and token.expires > self._clock.now() else None

    # ------------------------------------------------------------------ a request

    def account(self, request: Request) -> Account:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        bearer = bearer if scheme.lower() == "bearer" else ""
        api_key = request.headers.get("X-API-Key", "")
        if bearer and api_key:
            problem = refused(400, "Cannot have both Bearer token and API key")
            problem.wrong = True
            raise problem
        if not bearer and not api_key:
            hint = "Create an account at https://app.sciphi.ai and set your API key using `r2r configure key`"
            raise refused(401, f"No credentials provided. {hint} OR change your base URL to a custom deployment.")
        token = self._valid(bearer)
        if token is not None and token.kind == "access":
            return token.account
        for account in self._store.accounts:
            if account.api_key == (api_key or bearer):
                return account
        raise refused(401, "Invalid token or API key")

    def check_rate(self, account: Account, path: str) -> None:
        """Only for accounts that are no superusers; GETs are not counted, but refused all the same."""
        if account.is_superuser:
            return
        since = self._clock.now() - 60
        paths = [each for who, each, when in self._log if who is account and when >= since]
        if self.global_per_minute is not None and len(paths) > self.global_per_minute:
            raise detail(429, "Global per-minute rate limit exceeded")
        if self.route_per_minute is not None and paths.count(path) > self.route_per_minute:
            raise detail(429, "Per-route per-minute rate limit exceeded")

    def count(self, account: Account, method: str, path: str) -> None:
        if method in {"POST", "DELETE"} and not account.is_superuser:
            self._log.append((account, path, self._clock.now()))

    def used(self, account: Account) -> int:
        """In the last minute."""
        since = self._clock.now() - 60
        return sum(who is account and when >= since for who, _, when in self._log)
