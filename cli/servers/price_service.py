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
from pricebook.files import read_json

SERVICE = "serving.service:PricebookService"
FIRST_CHAMPION = (
    "Trigger retrain in Airflow; the first champion is served at once. `pricebook verdicts` says "
    "what a refused pair lacks"
)
FIRST_PRICE_BOOK = "Trigger refresh in Airflow"


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


def can_serve(settings: Settings) -> bool:
    """Whether there is anything to quote from: a champion, or a price list."""
    return has_champion(settings) or (settings.price_list / "bundle.json").exists()


def prices(settings: Settings) -> str:
    """A line that says what the service quotes in this home: the champion's prices, or why not.

    Raises:
        DamagedFile: a bundle.json is not JSON.
    """
    if has_champion(settings):
        models = read_json(settings.bundle / "bundle.json")["models"]
        pair = ", ".join(f"{name} v{model['version']}" for name, model in models.items())
        return f"prices: of the champion ({pair})"
    if can_serve(settings):
        why = read_json(settings.price_list / "bundle.json")["why"]
        return f"prices: list prices, because {why}. {FIRST_CHAMPION}"
    return f"prices: none, because there is no price book yet. {FIRST_PRICE_BOOK}"


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
    return "" if ready else "its price book"
