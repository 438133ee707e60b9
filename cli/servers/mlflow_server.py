"""MLflow's web page for the runs and models of one home: how to start it."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from cli.servers.launch import ServerPlan, environment
from pricebook.config import Settings


def plan(settings: Settings) -> ServerPlan:
    """How to start MLflow in this home."""
    listen = ["--host", settings.host, "--port", str(settings.mlflow_port), "--workers", "1"]
    return ServerPlan(
        name="mlflow",
        url=url(settings),
        address=(settings.host, settings.mlflow_port),
        port_setting="PRICEBOOK_MLFLOW_PORT",
        commands={"mlflow": [str(Path(sys.executable).with_name("mlflow")), "server", *listen]},
        environment=environment(settings) | _mlflow_settings(settings),
        pending=lambda _: _pending(settings),
    )


def runs_elsewhere(settings: Settings) -> bool:
    """Whether PRICEBOOK_MLFLOW_URL names an MLflow server, so that none need be started."""
    return settings.mlflow.startswith("http")


def url(settings: Settings) -> str:
    """The address of the web page."""
    if runs_elsewhere(settings):
        return settings.mlflow
    return f"http://{settings.host}:{settings.mlflow_port}"


def welcome(address: str) -> str:
    """A line with its address and what is there."""
    return f"mlflow: {address}  runs, metrics, plots and model versions"


def _mlflow_settings(settings: Settings) -> dict[str, str]:
    artifacts = (settings.state / "mlartifacts").as_uri()
    return {
        # Not on the command line, where other users of the machine could read a password in it.
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": artifacts,
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
        # Job workers evaluate language models, which Pricebook does not have.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _pending(settings: Settings) -> str:
    try:
        ready = httpx.get(f"{url(settings)}/health", timeout=5).is_success
    except httpx.HTTPError:
        ready = False
    return "" if ready else "its page"
