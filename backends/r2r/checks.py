"""What an admin should know about an R2R, each finding with its remedy."""

from collections.abc import Awaitable, Callable, Sequence

from context_chat_backend.contract import DriverError, Finding, Level, Misconfigured

from .client import R2RClient
from .settings import R2RSettings
from .wire import Account, Configuration

CLOCK_SECONDS = 60.0
ALMOST_FULL = 0.9
RESERVED_COLLECTIONS = 2
"""R2R admits two fewer than its setting says."""
DEFAULT_PASSWORD = "change_me_immediately"  # noqa: S105 - published by R2R

Check = Callable[[], Awaitable[Sequence[Finding]]]


async def findings(client: R2RClient, settings: R2RSettings, *, collections: int) -> list[Finding]:
    """Of an R2R that answers."""
    account = await client.account()
    found = [*_account(account, settings), *_password(settings), *_clock(client)]
    found += await _safely("embedding model", lambda: _embeddings(client))
    found += await _safely("vector index", lambda: _indices(client))
    if account.is_superuser:
        found += await _safely("limits", lambda: _limits(client, settings, collections))
    return found


async def _safely(subject: str, check: Check) -> Sequence[Finding]:
    try:
        return await check()
    except DriverError as error:
        level = Level.ERROR if isinstance(error, Misconfigured) else Level.WARNING
        return [Finding(level=level, subject=subject, text=str(error), remedy="See the log of R2R.")]


def _account(account: Account, settings: R2RSettings) -> list[Finding]:
    if not account.is_superuser:
        return [
            Finding(
                level=Level.WARNING,
                subject="account",
                text="an ordinary account: R2R limits its requests per minute (60 by default) and its documents",
                remedy="Use a superuser of an R2R of its own, or raise [database.limits] in R2R's configuration.",
            )
        ]
    if settings.api_key is not None:
        return [
            Finding(
                level=Level.WARNING,
                subject="account",
                text="an API key: R2R needs most of a second of CPU time to check it, for each request",
                remedy="Set R2R_USER and R2R_PASSWORD instead.",
            )
        ]
    return [Finding(level=Level.OK, subject="account", text="a superuser")]


def _password(settings: R2RSettings) -> list[Finding]:
    if settings.password is None or settings.password.get_secret_value() != DEFAULT_PASSWORD:
        return []
    return [
        Finding(
            level=Level.WARNING,
            subject="password",
            text="R2R's published default",
            remedy="Change the user's password; before R2R's first start, default_admin_password in its configuration.",
        )
    ]


def _clock(client: R2RClient) -> list[Finding]:
    ahead = client.clock_ahead
    if abs(ahead) <= CLOCK_SECONDS:
        return [Finding(level=Level.OK, subject="clock of R2R", text=f"differs by {ahead:+.0f} s")]
    return [
        Finding(
            level=Level.WARNING,
            subject="clock of R2R",
            text=f"differs by {ahead:+.0f} s",
            remedy="Let both machines set their clocks by NTP.",
        )
    ]


async def _embeddings(client: R2RClient) -> Sequence[Finding]:
    await client.embed("whale")
    return [Finding(level=Level.OK, subject="embedding model", text="answers R2R")]


async def _indices(client: R2RClient) -> Sequence[Finding]:
    if not any(
        "hnsw" in definition.lower() or "ivfflat" in definition.lower() for definition in await client.vector_indices()
    ):
        return []
    return [
        Finding(
            level=Level.WARNING,
            subject="vector index",
            text="there is one: with it R2R leaves out hits of searches that are limited to a user",
            remedy="Delete it (DELETE /v3/indices/chunks/NAME); the index on collections carries the searches.",
        )
    ]


async def _limits(client: R2RClient, settings: R2RSettings, collections: int) -> Sequence[Finding]:
    configuration = await client.configuration()
    return [
        *_collections(configuration, collections),
        *_excluded(configuration, settings),
        Finding(level=Level.OK, subject="R2R", text=_summary(configuration)),
    ]


def _collections(configuration: Configuration, used: int) -> list[Finding]:
    most = configuration.app.default_max_collections_per_user
    if most is None:
        return []
    text = f"{used} of {most - RESERVED_COLLECTIONS}; one per user and per provider"
    if used < ALMOST_FULL * (most - RESERVED_COLLECTIONS):
        return [Finding(level=Level.OK, subject="collections", text=text)]
    remedy = "Raise default_max_collections_per_user in R2R's configuration."
    return [Finding(level=Level.WARNING, subject="collections", text=text, remedy=remedy)]


def _excluded(configuration: Configuration, settings: R2RSettings) -> list[Finding]:
    missing = {f".{type_}" for type_ in configuration.ingestion.excluded_parsers} - settings.exclude_exts
    if not missing or settings.upload == "text":
        return []
    return [
        Finding(
            level=Level.WARNING,
            subject="excluded types",
            text=f"R2R is set not to read {', '.join(sorted(missing))}; they are sent anyway, and then as text",
            remedy="Add them to R2R_EXCLUDE_EXTS to save the uploads.",
        )
    ]


def _summary(configuration: Configuration) -> str:
    embedding, app = configuration.embedding, configuration.app
    largest = "unknown" if app.default_max_upload_size is None else f"{app.default_max_upload_size // 2**20} MiB"
    return (
        f"orchestration {configuration.orchestration.provider}, ingestion {configuration.ingestion.provider}, "
        f"embeddings {embedding.base_model} ({embedding.base_dimension}), uploads of {largest} for types without a "
        "limit of their own"
    )
