"""Airflow as one home runs it: its processes, its settings, and how to tell that it is ready.

Everything is on loopback and in the home: SQLite, LocalExecutor with a few workers, one password
generated at the first start. Tasks see the same PRICEBOOK_* settings as the command that started
it. A variable AIRFLOW__* of the environment that is not named here is passed on as it is.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
from datetime import datetime
from pathlib import Path

import httpx

from cli.servers.airflow_rest import AirflowRest
from cli.servers.launch import Plan, environment
from pricebook.config import REPO_ROOT, Settings
from pricebook.errors import ServiceError
from pricebook.files import atomic_path, read_json

USER = "admin"
DAGS = frozenset({"refresh", "retrain"})
WORKERS = 3  # demand and response side by side, and one to spare


def plan(settings: Settings) -> Plan:
    """How to start Airflow in this home."""
    airflow = str(Path(sys.executable).with_name("airflow"))
    return Plan(
        name="airflow",
        url=url(settings),
        address=(settings.host, settings.airflow_port),
        port_setting="PRICEBOOK_AIRFLOW_PORT",
        prepare=[airflow, "db", "migrate"],
        commands={
            "airflow-api-server": [airflow, "api-server"],
            "airflow-scheduler": [airflow, "scheduler", "--skip-serve-logs"],
            "airflow-dag-processor": [airflow, "dag-processor"],
            "airflow-triggerer": [airflow, "triggerer", "--skip-serve-logs"],
        },
        environment=environment(settings) | _airflow_settings(settings),
        pending=lambda began: _pending(settings, began),
    )


def url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.airflow_port}"


def welcome(settings: Settings, at: str) -> str:
    """What to tell a person once it is up."""
    return f"airflow: {at}  user {USER}  password {passwords(settings)[USER]}"


def passwords(settings: Settings) -> dict[str, str]:
    """The password of each user of this home's Airflow; generated at the first call."""
    return _generated(home(settings) / "passwords.json", {USER: secrets.token_urlsafe(12)})


def client(settings: Settings, at: str | None = None) -> AirflowRest:
    """A REST client for the Airflow of this home.

    Raises:
        ServiceError: it does not answer.
    """
    return AirflowRest(at or url(settings), USER, passwords(settings)[USER])


def home(settings: Settings) -> Path:
    return settings.state / "airflow"


def _airflow_settings(settings: Settings) -> dict[str, str]:
    passwords(settings)
    keys = _keys(settings)
    options = {
        "core__dags_folder": REPO_ROOT / "dags",
        "core__plugins_folder": REPO_ROOT / "plugins",
        "core__load_examples": False,
        "core__executor": "LocalExecutor",
        "core__parallelism": WORKERS,
        "core__fernet_key": keys["fernet"],
        "core__execution_api_server_url": f"{url(settings)}/execution/",
        "core__simple_auth_manager_passwords_file": home(settings) / "passwords.json",
        "database__sql_alchemy_conn": settings.airflow_database_url
        or f"sqlite:///{home(settings) / 'airflow.db'}",
        "api__host": settings.host,
        "api__port": settings.airflow_port,
        "api__base_url": url(settings),
        "api__workers": 1,
        "api__secret_key": keys["session"],
        "api_auth__jwt_secret": keys["token"],
        "dag_processor__parsing_processes": 1,
        "logging__colored_console_log": False,
    }
    return {
        "AIRFLOW_HOME": str(home(settings)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **{f"AIRFLOW__{name.upper()}": str(value) for name, value in options.items()},
    }


def _keys(settings: Settings) -> dict[str, str]:
    fresh = {
        "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "session": secrets.token_hex(32),
        "token": secrets.token_hex(64),
    }
    return _generated(home(settings) / "keys.json", fresh)


def _generated(path: Path, fresh: dict[str, str]) -> dict[str, str]:
    if not path.exists():
        with atomic_path(path) as partial:
            partial.touch(mode=0o600)
            partial.write_text(json.dumps(fresh))
    return dict(read_json(path))


def _pending(settings: Settings, began: float) -> str:
    try:
        health = httpx.get(f"{url(settings)}/api/v2/monitor/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return "its API"
    if waiting := sorted(name for name, part in health.items() if not _beats(name, part, began)):
        return ", ".join(waiting)
    return _unparsed(settings)


def _beats(name: str, part: dict[str, str | None] | None, began: float) -> bool:
    if part is None or part["status"] != "healthy":
        return False
    beat = part.get(f"latest_{name}_heartbeat")
    return name == "metadatabase" or (
        beat is not None and datetime.fromisoformat(beat).timestamp() >= began
    )


def _unparsed(settings: Settings) -> str:
    with client(settings) as airflow:
        if missing := DAGS - airflow.dags():
            for file, why in airflow.import_errors().items():
                raise ServiceError(f"Airflow cannot import {file}. Received: {why}")
            return "its DAGs: " + ", ".join(sorted(missing))
    return ""
