"""HaRP: whether the gateway can open its way in."""

from ..contract import Finding
from ..settings import Settings
from ..tunnel import plan_tunnel, require_certificates, require_program
from .findings import ok, warning


def tunnel_findings(settings: Settings) -> list[Finding]:
    """Nothing where the gateway is not behind HaRP. Raises `Misconfigured`."""
    if settings.hp_shared_key is None:
        return []
    plan = plan_tunnel(settings)
    if plan is None:
        text = f"listens on {settings.hp_exapp_sock}, but starts no frpc without HP_FRP_ADDRESS and HP_FRP_PORT"
        return [warning("HaRP", text, "AppAPI sets all three. Unset HP_SHARED_KEY where there is no HaRP.")]
    program, encrypted = require_program(plan), require_certificates(plan)
    way = f"encrypted, with the certificates in {plan.certificates}" if encrypted else "not encrypted"
    return [ok("HaRP", f"{program} connects to {plan.server}:{plan.server_port}, {way}")]
