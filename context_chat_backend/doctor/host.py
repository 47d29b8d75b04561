"""What surrounds the gateway: open files, and what keeps strangers out."""

import resource
from ipaddress import ip_address

from ..contract import Finding
from ..settings import Settings
from .findings import ok, warning

FEW_FILES = 4096
"""A connection needs one each; so do uploads under way and the database."""
SHORT_SECRET = 16
"""Characters. AppAPI makes secrets of 128."""


def open_files_finding(most: int) -> Finding:
    """What it means that a process may have this many files open."""
    if most == resource.RLIM_INFINITY:
        return ok("open files", "no limit")
    if most < FEW_FILES:
        remedy = (
            f"Allow at least {FEW_FILES:,}: LimitNOFILE= for systemd, nofile for a container, ulimit -n in a shell."
        )
        return warning("open files", f"at most {most:,}: idle connections alone can use them up", remedy)
    return ok("open files", f"at most {most:,} here; whatever starts the gateway may set another limit")


def most_open_files() -> int:
    """That this process could allow itself."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def secret_findings(settings: Settings) -> list[Finding]:
    """Whether the secrets keep anybody out."""
    return [app_secret_finding(settings), _metrics_finding(settings)]


def app_secret_finding(settings: Settings) -> Finding:
    """Whether strangers could guess what Nextcloud proves itself with."""
    secret = settings.app_secret.get_secret_value()
    if len(secret) < SHORT_SECRET or len(set(secret)) < SHORT_SECRET // 2:
        remedy = "Make a new one, e.g. with openssl rand -hex 32, and register the app with it again."
        return warning("APP_SECRET", "is easy to guess: whoever knows it can read every document", remedy)
    return ok("APP_SECRET", "is long enough")


def _metrics_finding(settings: Settings) -> Finding:
    if settings.metrics_token is not None:
        return ok("metrics", "/metrics needs METRICS_TOKEN")
    if settings.hp_shared_key is not None or _is_loopback(settings.app_host):
        return ok("metrics", "/metrics is open, but only to this machine")
    remedy = "Set METRICS_TOKEN, and the same token in Prometheus."
    return warning("metrics", "/metrics is open to everybody who can reach this port", remedy)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
