"""What a running gateway has shown among Nextcloud's setup checks: the doctor's findings that are not ok.

Only what costs little is looked at, and nothing that changes the backend or asks a model for an answer.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import anyio
from anyio import CapacityLimiter, to_thread

from ..contract import DriverError, Finding, Level, Misconfigured
from ..gateway import Gateway
from ..layers.opening import Starting
from ..toolkit.concurrency import gather
from . import answers, host, storage
from .findings import Check, guarded, ok, problem, warning

LOOK_SECONDS = 3.0
"""For one look at everything. AppAPI waits five."""
FRESH_SECONDS = 60.0
"""At most one look in this time: AppAPI asks every ten minutes, and once for each admin who opens the page."""
MOST_FINDINGS = 16
MOST_CHARACTERS = 1000
"""AppAPI shows no more."""

_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://\S*", re.IGNORECASE)


class SetupChecks:
    """Remembers the last look; whoever asks while one is under way waits for it."""

    def __init__(self, gateway: Gateway, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = running_checks(gateway)
        self._clock = clock
        self._one_look = anyio.Lock()
        self._findings: Sequence[Finding] = ()
        self._good_until = float("-inf")

    async def findings(self) -> Sequence[Finding]:
        """What is not ok, the worst first; without addresses of other systems, which Nextcloud would keep."""
        async with self._one_look:
            if self._clock() >= self._good_until:
                self._findings = to_show(await look(self._checks))
                self._good_until = self._clock() + FRESH_SECONDS
            return self._findings


def running_checks(gateway: Gateway) -> dict[str, Check]:
    """The cheap ones, by subject."""
    settings = gateway.plan.settings
    # a look at a storage that hangs is given up, and the thread with it
    in_thread = partial(to_thread.run_sync, abandon_on_cancel=True, limiter=CapacityLimiter(1))

    async def check_host() -> Sequence[Finding]:
        return [host.open_files_finding(host.most_open_files()), host.app_secret_finding(settings)]

    async def check_storage() -> Sequence[Finding]:
        findings = await in_thread(storage.check_storage, settings.app_persistent_storage)
        remembered = await gateway.state.problem()  # not before it is known that the disk does not hang
        return (
            findings if remembered is None else [*findings, problem("state.db", str(remembered), storage.STATE_REMEDY)]
        )

    async def check_backend() -> Sequence[Finding]:
        return [backend_finding(await gateway.chat.problem())]

    async def check_nextcloud() -> Sequence[Finding]:
        return [nextcloud_finding(gateway.lifecycle.problem)]

    async def check_role() -> Sequence[Finding]:
        pulls = gateway.intake is not None and gateway.intake.pulls
        return [role_finding(settings.app_role, enabled=gateway.lifecycle.enabled.value, pulls=pulls)]

    return {
        "host": check_host,
        "APP_ROLE": check_role,
        "storage": check_storage,
        "backend": check_backend,
        "Nextcloud": check_nextcloud,
        "answers": partial(answers.check_answers, gateway.plan),
    }


def backend_finding(found: DriverError | None) -> Finding:
    """In words that name no address: messages of databases do so in many ways."""
    match found:
        case None | Starting():
            return ok("backend", "serves, or is starting")
        case Misconfigured():
            text = "the backend refuses the gateway, or is not set up correctly"
        case _:
            text = "the backend cannot be used right now; questions are not answered, and indexing waits"
    return problem("backend", text, "The log of the gateway says why, and so does ccbe check on its machine.")


def role_finding(role: str | None, *, enabled: bool, pulls: bool) -> Finding:
    """Whether Context Chat speaks the one contract that a deployment with roles can serve."""
    if role is None or pulls or not enabled:
        return ok("APP_ROLE", "fits")
    text = "Context Chat 5.3 or earlier sends its documents, which a deployment with roles cannot take"
    return problem("APP_ROLE", text, "Update Context Chat to 5.4 or later, or deploy the gateway without roles.")


def nextcloud_finding(found: Exception | None) -> Finding:
    """What came of the last call to Nextcloud."""
    if found is None:
        return ok("Nextcloud", "answers the gateway")
    return warning("Nextcloud", f"does not answer the gateway: {found}", "Check NEXTCLOUD_URL, APP_ID and APP_SECRET.")


async def look(checks: Mapping[str, Check]) -> list[Finding]:
    """What all of them find, side by side and in their order."""
    found = await gather(*(partial(_in_time, subject, check) for subject, check in checks.items()))
    return [finding for findings in found for finding in findings]


async def _in_time(subject: str, check: Check) -> Sequence[Finding]:
    with anyio.move_on_after(LOOK_SECONDS):
        return await guarded(subject, check)
    return [problem(subject, f"no answer within {LOOK_SECONDS:g} s", "See the log of the gateway, or run ccbe check.")]


def to_show(findings: Sequence[Finding]) -> list[Finding]:
    """Those that are not ok, errors first, as many as AppAPI shows."""
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    warnings = [finding for finding in findings if finding.level is Level.WARNING]
    return [_shown(finding) for finding in [*errors, *warnings][:MOST_FINDINGS]]


def _shown(finding: Finding) -> Finding:
    text = _ADDRESS.sub("(address)", finding.text)
    return replace(finding, text=text[:MOST_CHARACTERS])
