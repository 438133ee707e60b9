"""The price service as one home runs it, and a client for it. It is reached over HTTP only."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from cli.servers.launch import Plan, environment
from pricebook.config import REPO_ROOT, Settings
from pricebook.errors import ServiceError

SERVICE = "serving.service:PricebookService"


def plan(settings: Settings) -> Plan:
    """How to start the price service in this home."""
    return Plan(
        name="price service",
        url=url(settings),
        address=(settings.host, settings.service_port),
        port_setting="PRICEBOOK_SERVICE_PORT",
        commands={"price-service": _command(settings)},
        environment=environment(settings)
        | {"BENTOML_HOME": str(settings.state / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"},
        pending=lambda _: _pending(settings),
    )


def url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.service_port}"


def welcome(at: str) -> str:
    """What to tell a person once it is up."""
    return f"price service: {at}  POST /quote, /quotes, /forecast; the page has examples"


def champion(settings: Settings) -> bool:
    """Whether there is a model pair to serve."""
    return (settings.bundle / "bundle.json").exists()


def ask(at: str, route: str, body: Mapping[str, Any]) -> Any:
    """POST `body` to a route of the service at `at`.

    Raises:
        ServiceError: it does not answer, or with an error.
    """
    try:
        answer = httpx.post(f"{at}{route}", json=body, timeout=30)
    except httpx.HTTPError as error:
        raise ServiceError(f"The price service does not answer {at}{route}. {error!r}") from error
    if answer.is_error:
        raise ServiceError(
            f"The price service refuses {route} {dict(body)}. "
            f"Received: {answer.status_code} {answer.text[:500]}"
        )
    return answer.json()


def _command(settings: Settings) -> list[str]:
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    listen = ["--host", settings.host, "--port", str(settings.service_port)]
    built = (settings.state / "bentoml" / "bentos" / "pricebook" / "latest").exists()
    what = ["pricebook:latest"] if built else [SERVICE, "--working-dir", str(REPO_ROOT)]
    return [bentoml, "serve", *what, *listen]


def _pending(settings: Settings) -> str:
    try:
        ready = httpx.get(f"{url(settings)}/readyz", timeout=5).is_success
    except httpx.HTTPError:
        ready = False
    return "" if ready else "its models"
