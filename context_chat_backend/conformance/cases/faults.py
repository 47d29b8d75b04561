"""What a driver does while its backend fails: one pass over all operations for each way to fail."""

import uuid

import anyio

from ...contract import DriverError, Misconfigured, NotFound, Rejected, TransientError
from ..faults import Faults
from ..kit import CaseSkipped, Kit, patiently
from ..proxy import Reply, Reset, Trouble
from .base import case, expect
from .battery import QUOTED, SECONDS, Battery, Outcomes, expect_recovery
from .verdicts import expect_branches, problems_of

SMALL, LARGE = 16 * 1024, 48 * 1024
FIRST_REQUESTS = 3

JSON = f'{{"error": "refused", "detail": "{QUOTED}"}}'.encode()
PAGE = f"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><p>{QUOTED}</p></body></html>".encode()


def _faults(kit: Kit) -> Faults:
    if kit.faults is None:
        raise CaseSkipped(
            "run `ccbe conform NAME --faults VARIABLE`; VARIABLE is the environment variable with the base URL of the "
            "backend that this driver speaks to"
        )
    return kit.faults


async def _pass(kit: Kit, trouble: Trouble, *allowed: type[Exception]) -> None:
    """One pass of all operations through this trouble."""
    battery = Battery(kit, _faults(kit))
    await battery.store()
    battery.faults.proxy.make_trouble(trouble)
    outcomes = await battery.run_all()
    expect(battery.faults.proxy.troubled > 0, f"no request reached the base URL in {battery.faults.plan.variable}")
    problems = problems_of(battery, outcomes, allowed)
    try:
        await expect_recovery([battery], [outcomes])
    except AssertionError as failure:
        problems.append(str(failure))
    expect(not problems, "; ".join(problems))


# ---------------------------------------------------------------------- the cases


@case("faults")
async def the_constructor_does_no_io(kit: Kit) -> None:
    """Constructing a driver sends nothing to the backend.

    If this fails: connect in `__aenter__`. A gateway is configured, and answers heartbeats, before its backend runs.
    """
    sent = _faults(kit).requests_of_constructor
    expect(sent == 0, f"the constructor sent {sent} requests")


@case("faults")
async def opening_is_tried_again(kit: Kit) -> None:
    """A driver that cannot be opened raises a `DriverError`, and can be opened later.

    If this fails: translate errors in `__aenter__` as well, and leave nothing half open there (an `AsyncExitStack`
    helps): the gateway enters the same object again until it succeeds.
    """
    faults = _faults(kit)
    for trouble in (Reply(status=503, body=JSON), Reply(status=401, body=JSON), Reset()):
        driver = await faults.make_driver(uuid.uuid4().hex)
        faults.proxy.make_trouble(trouble)
        try:
            async with driver:
                faults.proxy.recover()  # it waits for the first request instead
                await patiently(driver.ping)
        except DriverError:
            faults.proxy.recover()
            async with driver:
                await patiently(driver.ping)
        except Exception as error:
            what = type(error).__name__
            raise AssertionError(f"opening raised {what}, which is not a DriverError: {error}") from error


@case("faults")
async def unauthorized_is_misconfigured(kit: Kit) -> None:
    """401: `Misconfigured`, and the driver works again once its key is accepted.

    If this fails: map the status to `Misconfigured` where your client receives it. A source must not be dropped for it,
    and an access change or deletion that did not happen must not be reported as done.
    """
    await _pass(kit, Reply(status=401, body=JSON), Misconfigured)


@case("faults")
async def forbidden_is_misconfigured(kit: Kit) -> None:
    """403: `Misconfigured`, and the driver works again once it has permission.

    If this fails: map the status to `Misconfigured` where your client receives it, for listings too.
    """
    await _pass(kit, Reply(status=403, body=JSON), Misconfigured)


@case("faults")
async def not_found_is_never_taken_for_nothing_to_do(kit: Kit) -> None:
    """404 for everything: `Misconfigured`; only access changes of a single source may raise `NotFound`.

    If this fails: proxies answer 404 for a backend that is just starting. Where your API answers 404
    for what is unknown, tell that from other 404s by its body, or check something that must exist before you believe
    it. A deletion that takes this for success is lost.
    """
    await _pass(kit, Reply(status=404, body=PAGE, content_type=b"text/html"), Misconfigured, NotFound)


@case("faults")
async def too_large_costs_the_source_only(kit: Kit) -> None:
    """413 for large requests: an upsert raises `Rejected` or `Misconfigured`, or succeeds another way.

    If this fails: 413 never passes by itself, so a transient error would have the source sent forever. Send less at a
    time, or reject the source and remove what is stored of it.
    """
    battery = Battery(kit, _faults(kit), size=LARGE)
    await battery.store()
    battery.faults.proxy.make_trouble(Reply(status=413, body=PAGE, content_type=b"text/html"), larger_than=SMALL)
    outcomes = await battery.run_upserts()
    expect_branches(battery, outcomes, Rejected, Misconfigured)
    await expect_recovery([battery], [outcomes])


@case("faults")
async def too_many_requests_is_transient(kit: Kit) -> None:
    """429 with `Retry-After`: a `TransientError`.

    If this fails: map the status to `Busy` with the seconds of `Retry-After`. Uploads then slow down.
    """
    reply = Reply(status=429, body=JSON, headers=((b"retry-after", b"1"),))
    await _pass(kit, reply, TransientError)


@case("faults")
async def a_server_error_is_transient(kit: Kit) -> None:
    """500: a `TransientError`.

    If this fails: map 5xx to `Unavailable`, and look at the status before you look at the body.
    """
    await _pass(kit, Reply(status=500, body=JSON), TransientError)


@case("faults")
async def a_bad_gateway_is_transient(kit: Kit) -> None:
    """502 with an HTML page: a `TransientError`.

    If this fails: the body of an error need not be JSON; look at the status first.
    """
    await _pass(kit, Reply(status=502, body=PAGE, content_type=b"text/html"), TransientError)


@case("faults")
async def an_unavailable_service_is_transient(kit: Kit) -> None:
    """503: a `TransientError`.

    If this fails: map it to `Unavailable` or `Busy`; Nextcloud then sends the source again.
    """
    await _pass(kit, Reply(status=503, body=JSON), TransientError)


@case("faults")
async def garbage_is_no_answer(kit: Kit) -> None:
    """200 with a body that the API would never send: a `TransientError` or `Misconfigured`, never success.

    If this fails: validate every response (with pydantic, or by its status if it has no body) before you call it a
    success: login and maintenance pages come with 200, too.
    """
    await _pass(kit, Reply(status=200, body=PAGE, content_type=b"text/html"), TransientError, Misconfigured)


@case("faults")
async def a_reset_connection_is_transient(kit: Kit) -> None:
    """A connection that is reset: a `TransientError`.

    If this fails: translate transport errors, too; for httpx that is `httpx.RequestError`.
    """
    await _pass(kit, Reset(), TransientError)


@case("faults")
async def a_hanging_backend_can_be_left_at_once(kit: Kit) -> None:
    """An operation that waits for an endless response can be cancelled at once, and nothing is lost.

    If this fails: something catches the cancellation (`except BaseException`, a shielded scope that itself waits for
    the backend), or a synchronous client blocks the event loop. Run such a client in a thread that may be abandoned.
    """
    battery = Battery(kit, _faults(kit))
    await battery.store()
    outcomes = await battery.cancel_all()
    expect_branches(battery, outcomes, DriverError)
    await expect_recovery([battery], [outcomes])


@case("faults")
async def half_done_changes_are_not_wider_and_can_be_finished(kit: Kit) -> None:
    """An operation cut off after any of its first requests has widened no access, and can be completed by repeating it.

    If this fails: reorder the steps: take access away before you grant any, add the new version before you remove the
    old one, and let each step succeed if it was done before. A lost response does not mean that nothing happened.
    """
    faults = _faults(kit)
    kits = [Kit(kit.driver, kit.folder, faults=faults) for _ in range(2 * FIRST_REQUESTS)]
    batteries = [Battery(own, faults) for own in kits]
    try:
        outcomes = [
            await _broken_off(battery, Reset(answer_lost=bool(number % 2)), let_pass=1 + number // 2)
            for number, battery in enumerate(batteries)
        ]
        for battery, seen in zip(batteries, outcomes, strict=True):
            expect_branches(battery, seen, TransientError)
        await expect_recovery(batteries, outcomes)
    finally:
        for own in kits:
            await own.clean_up()


async def _broken_off(battery: Battery, trouble: Trouble, *, let_pass: int) -> Outcomes:
    await battery.store()
    outcomes = Outcomes()
    for write in battery.writes:
        battery.faults.proxy.make_trouble(trouble, let_pass=let_pass)
        with anyio.fail_after(SECONDS):
            await outcomes.record(write, battery.kit.driver)
    battery.faults.proxy.recover()
    return outcomes
