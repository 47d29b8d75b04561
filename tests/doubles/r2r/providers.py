"""R2R's models behind it: they fail in the ways that R2R reports."""

import hashlib
from typing import Literal

from tests.doubles.r2r.errors import Refusal, failed, refused

DIMENSION = 8
STATUSES = {
    429: ("RateLimitError", "rate_limit_exceeded"),
    500: ("InternalServerError", "server_error"),
    503: ("ServiceUnavailableError", "server_error"),
}
UNAUTHORIZED = (
    "litellm.AuthenticationError: AuthenticationError: OpenAIException - Error code: 401 - "
    "{'error': {'message': 'forced 401', 'type': 'invalid_api_key'}}"
)


class Providers:
    def __init__(self) -> None:
        self.embeddings_down = False
        self.embeddings_status: Literal["connection", 401, 429, 500, 503] = 503
        self.chat_down = False
        self.chat_calls: list[str] = []

    def vector(self, text: str) -> list[float]:
        digest = hashlib.sha256(text.encode()).digest()
        return [byte / 255 for byte in digest[:DIMENSION]]

    def check_embeddings_of_upload(self) -> None:
        if self.embeddings_down and self.embeddings_status == 401:
            answer = refused(401, "Authentication error: Invalid API key or credentials.")
            raise Refusal(answer.response, UNAUTHORIZED)
        self._check_embeddings()

    def check_embeddings_of_search(self) -> None:
        if self.embeddings_down and self.embeddings_status == 401:
            raise failed("search_app", UNAUTHORIZED, "AuthenticationError")
        self._check_embeddings()

    def check_embeddings_of_rag(self) -> None:
        try:
            self._check_embeddings()
        except Refusal as problem:
            raise failed("rag_app", f"500: Internal RAG Error - {problem.message}", "HTTPException") from None

    def _check_embeddings(self) -> None:
        if not self.embeddings_down:
            return
        if self.embeddings_status in STATUSES:
            name, type_ = STATUSES[int(self.embeddings_status)]
            error = f"{{'error': {{'message': 'forced {self.embeddings_status}', 'type': '{type_}'}}}}"
            reason = f"litellm.{name}: {name}: OpenAIException - Error code: {self.embeddings_status} - {error}"
        elif self.embeddings_status == 401:
            reason = UNAUTHORIZED
        else:
            reason = "litellm.InternalServerError: InternalServerError: OpenAIException - Connection error."
        raise refused(400, f"Error getting embeddings: {reason}")

    def check_chat(self, purpose: str, endpoint: str, prefix: str) -> None:
        """One call of the language model."""
        self.chat_calls.append(purpose)
        if self.chat_down:
            raise failed(endpoint, f"500: {prefix}Connection error.", "HTTPException")
