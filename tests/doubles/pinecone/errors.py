"""Pinecone's errors, and the double's own: a request that Pinecone might take but no right driver sends."""

from starlette.responses import JSONResponse, PlainTextResponse, Response

CODES = {
    400: "INVALID_ARGUMENT",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    413: "PAYLOAD_TOO_LARGE",
    422: "UNPROCESSABLE_ENTITY",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "SERVICE_UNAVAILABLE",
}
RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 412: 9, 413: 11, 429: 8, 500: 13, 503: 14}
UNKNOWN_RPC_CODE = 2


class Refusal(Exception):
    """An answer that is not a success. `wrong` when no right driver sends such a request."""

    def __init__(self, status: int, message: str, *, wrong: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.wrong = wrong
        self.retry_after = retry_after


def refused(status: int, message: str) -> Refusal:
    """What a right driver may meet, too: a limit, a missing index, a wrong key."""
    return Refusal(status, message)


def invalid(message: str) -> Refusal:
    """Pinecone's 400."""
    return Refusal(400, message, wrong=True)


def undeserializable(message: str) -> Refusal:
    """The control plane's 422: valid JSON of a shape that it does not know."""
    return Refusal(422, f"Failed to deserialize the JSON body into the target type: {message}", wrong=True)


def not_modelled(message: str) -> Refusal:
    """Pinecone may accept it, or nobody knows: either way no driver may come to rely on it."""
    return Refusal(400, f"refused by the double: {message}", wrong=True)


def documents_error(refusal: Refusal) -> Response:
    """The shape of the control plane, the documents plane and the records plane."""
    error = {"code": CODES.get(refusal.status, "UNKNOWN"), "message": refusal.message}
    return _render(refusal, {"status": refusal.status, "error": error})


def rpc_error(refusal: Refusal) -> Response:
    """The shape of the vectors plane, of the namespaces and of the statistics."""
    code = RPC_CODES.get(refusal.status, UNKNOWN_RPC_CODE)
    return _render(refusal, {"code": code, "message": refusal.message, "details": []})


def _render(refusal: Refusal, body: dict[str, object]) -> Response:
    if refusal.status == 401:
        # authentication comes before everything else and knows no JSON
        return PlainTextResponse(refusal.message, 401)
    headers = {} if refusal.retry_after is None else {"Retry-After": f"{refusal.retry_after:g}"}
    return JSONResponse(body, refusal.status, headers)
