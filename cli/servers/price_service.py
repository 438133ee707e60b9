"""The price service of one home: how to start it, and a client. It is reached over HTTP only."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from cli.servers.launch import ServerPlan, environment
from pricebook.config import REPO_ROOT, Settings
from pricebook.errors import ServiceError

SERVICE = "serving.service:PricebookService"


def plan(settings: Settings) -> ServerPlan:
    """How to start the price service in this home."""
    return ServerPlan(
        name="price service",
        url=url(settings),
        address=(settings.host, settings.service_port),
        port_setting="PRICEBOOK_SERVICE_PORT",
        commands={"price-service": _command(settings)},
        environment=environment(settings)
        | {"BENTOML_HOME": str(settings.state / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"},
        prepare=lambda _: _prepare(settings),
        pending=lambda _: _pending(settings),
    )


def url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.service_port}"


def welcome(address: str) -> str:
    """A line with its address and what is there."""
    return f"price service: {address}  POST /quote, /quotes, /forecast; the page has examples"


def has_champion(settings: Settings) -> bool:
    """Whether there is a model pair to serve."""
    return (settings.bundle / "bundle.json").exists()


def post(address: str, route: str, body: Mapping[str, Any]) -> Any:
    """POST `body` to a route of the service at `address`. Returns the decoded response.

    Raises:
        ServiceError: it does not respond, or responds with an error.
    """
    try:
        response = httpx.post(f"{address}{route}", json=body, timeout=30)
    except httpx.HTTPError as error:
        raise ServiceError(
            f"The price service at {address}{route} does not respond. Received: {error!r}"
        ) from error
    if response.is_error:
        raise ServiceError(
            f"The price service refuses {route} {dict(body)}. "
            f"Received: {response.status_code} {response.text[:500]}"
        )
    return response.json()


def _command(settings: Settings) -> list[str]:
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    listen = ["--host", settings.host, "--port", str(settings.service_port)]
    built = (settings.state / "bentoml" / "bentos" / "pricebook" / "latest").exists()
    source = ["pricebook:latest"] if built else [SERVICE, "--working-dir", str(REPO_ROOT)]
    return [bentoml, "serve", *source, *listen]


def _prepare(settings: Settings) -> None:
    from pipelines.reports.public_prices import prepare

    prepare(settings)


def _pending(settings: Settings) -> str:
    try:
        ready = httpx.get(f"{url(settings)}/readyz", timeout=5).is_success
    except httpx.HTTPError:
        ready = False
    return "" if ready else "its models"
