"""What routes ask for. In coroutines: FastAPI takes a thread for each plain function."""

from typing import Annotated, cast

from fastapi import Depends, Request

from ..doctor.setup_checks import SetupChecks
from ..gateway import Gateway
from .errors import Disabled
from .push.batch import Batches
from .readiness import Readiness


async def _gateway(request: Request) -> Gateway:
    return cast("Gateway", request.state.gateway)  # put there by the lifespan of the app


CurrentGateway = Annotated[Gateway, Depends(_gateway)]


async def _batches(request: Request) -> Batches:
    return cast("Batches", request.state.batches)


CurrentBatches = Annotated[Batches, Depends(_batches)]


async def _readiness(request: Request) -> Readiness:
    return cast("Readiness", request.state.readiness)


CurrentReadiness = Annotated[Readiness, Depends(_readiness)]


async def _setup_checks(request: Request) -> SetupChecks:
    return cast("SetupChecks", request.state.setup_checks)


CurrentSetupChecks = Annotated[SetupChecks, Depends(_setup_checks)]


async def _enabled_gateway(gateway: CurrentGateway) -> Gateway:
    if not gateway.lifecycle.enabled.value:
        raise Disabled
    return gateway


EnabledGateway = Annotated[Gateway, Depends(_enabled_gateway)]
"""Refuses data requests while the app is disabled in Nextcloud."""
