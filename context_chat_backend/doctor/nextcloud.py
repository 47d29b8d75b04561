"""Nextcloud: can be reached, knows this app, and has a Context Chat that speaks to it."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from ..contract import Finding
from ..nextcloud.client import NextcloudClient
from ..nextcloud.errors import Missing, NextcloudError, NoRoute, NotAccepted
from ..nextcloud.queues import Queues
from ..settings import Settings
from ..toolkit.http import json_object, translate_errors
from .findings import ok, problem, warning

MOST_CLOCK_SECONDS = 60
HTTP_SECONDS = 15


async def check_nextcloud(settings: Settings) -> list[Finding]:
    """It can be reached, knows this app, and has a Context Chat that speaks to it."""
    if settings.nextcloud_url is None:
        remedy = "Set NEXTCLOUD_URL to the address of Nextcloud."
        return [
            warning(
                "Nextcloud", "NEXTCLOUD_URL is not set, so Nextcloud is not told when the gateway has started", remedy
            )
        ]
    findings = await server_findings(settings.nextcloud_url)
    async with NextcloudClient(settings) as ocs:
        return [*findings, *await app_findings(ocs, settings.intake)]


async def server_findings(url: str) -> list[Finding]:
    """Its public status page: version, maintenance, clock. Raises a `DriverError` where it cannot be read."""
    async with httpx.AsyncClient(timeout=HTTP_SECONDS) as client:
        with translate_errors():
            response = await client.get(f"{url}/status.php")
            response.raise_for_status()
    status = json_object(response)
    version = status.get("versionstring") or "(version hidden)"
    findings = [ok("Nextcloud", f"{version} answers")]
    if status.get("maintenance") or status.get("needsDbUpgrade"):
        text = f"{version} is in maintenance mode: it sends and accepts nothing"
        findings = [warning("Nextcloud", text, "End the maintenance or the upgrade with occ.")]
    return [*findings, *clock_findings(response.headers.get("Date", ""), datetime.now(UTC))]


def clock_findings(date: str, now: datetime) -> list[Finding]:
    """Compares a `Date` header with our clock; nothing where there is none."""
    try:
        seconds = abs((parsedate_to_datetime(date) - now).total_seconds())
    except (ValueError, TypeError):  # unreadable, or without a zone
        return []
    if seconds <= MOST_CLOCK_SECONDS:
        return [ok("clock", f"differs by {seconds:.0f} s from Nextcloud's")]
    remedy = "Synchronise the clocks of both machines by NTP."
    return [warning("clock", f"differs by {seconds:,.0f} s from Nextcloud's", remedy)]


async def app_findings(ocs: NextcloudClient, intake: str) -> list[Finding]:
    """What AppAPI says of this app, and how work arrives. One call only if it refuses: AppAPI counts wrong secrets."""
    try:
        enabled = await ocs.call("GET", "/ocs/v1.php/apps/app_api/ex-app/state")
    except NotAccepted as error:
        remedy = "Register the app with the same APP_ID and APP_SECRET, see README.md."
        return [problem("AppAPI", str(error), remedy)]
    except Missing as error:
        return [problem("AppAPI", str(error), "Install and enable the app AppAPI in Nextcloud.")]
    except NextcloudError as error:
        return [problem("AppAPI", str(error), "Check that Nextcloud answers, and look into its log.")]
    if not enabled:
        text = "knows this app but has it disabled, so nothing is sent"
        return [warning("AppAPI", text, f"occ app_api:app:enable {ocs.app_id}")]
    return [ok("AppAPI", "knows this app and has it enabled"), await generation_finding(ocs, intake)]


async def generation_finding(ocs: NextcloudClient, intake: str) -> Finding:
    """Which contract Context Chat speaks, and whether the gateway may. The probe asks for no item, so it takes none
    away."""
    try:
        await Queues(ocs).require()
    except NoRoute:
        if intake == "pull":
            text = "has no queues: it is 5.3 or earlier, or not installed, and INTAKE=pull only asks for work"
            return warning("Context Chat", text, "Remove INTAKE, or install Context Chat 5.4 or later.")
        return ok("Context Chat", "5.3 or earlier, which sends everything to the gateway, or not installed")
    except NextcloudError as error:
        return warning("Context Chat", f"does not say which version it is: {error}", "Ask again later.")
    if intake == "push":
        text = "5.4 or later, which sends nothing, and INTAKE=push asks for nothing: no document arrives"
        return problem("Context Chat", text, "Remove INTAKE.")
    return ok("Context Chat", "5.4 or later, which the gateway asks for everything")
