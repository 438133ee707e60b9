"""Airflow as one home runs it: its processes, its settings, and how to tell that it is ready.

Everything is in the home and on loopback: SQLite, LocalExecutor with a few workers, and a password
that is generated at the first start. Tasks see the same PRICEBOOK_* settings as the command that
started Airflow. Airflow also receives every AIRFLOW__* variable that is not set here.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import httpx

from cli.servers.airflow_rest import AirflowRest
from cli.servers.launch import ServerPlan, environment, log_tail
from pricebook.config import REPO_ROOT, Settings
from pricebook.errors import ServiceError
from pricebook.files import atomic_path, read_json

USER = "admin"
DAGS = frozenset({"refresh", "retrain"})
WORKERS = 3  # demand and response side by side, and one to spare
AIRFLOW = str(Path(sys.executable).with_name("airflow"))

# Loops that Airflow runs while nothing waits. Its own intervals suit hundreds of DAGs. The wait for
# a triggered task does not depend on these: that is the scheduler's idle sleep, left at 1 s.
IDLE_INTERVALS = {
    # An edited DAG file is parsed at once all the same: files are sorted by modification time.
    "dag_processor__min_file_process_interval": 600,
    "dag_processor__bundle_refresh_check_interval": 30,
    "dag_processor__print_stats_interval": 600,
    # Health turns bad after 30 s without a heartbeat.
    "scheduler__job_heartbeat_sec": 10,
    "triggerer__job_heartbeat_sec": 10,
    # A task counts as dead after 300 s without a heartbeat.
    "scheduler__task_instance_heartbeat_timeout_detection_interval": 60,
    "scheduler__trigger_timeout_check_interval": 60,
    "scheduler__parsing_cleanup_interval": 600,
    "connection_test__reaper_interval": 600,
}


def plan(settings: Settings) -> ServerPlan:
    """How to start Airflow in this home."""
    variables = environment(settings) | _airflow_settings(settings)
    return ServerPlan(
        name="airflow",
        url=url(settings),
        address=(settings.host, settings.airflow_port),
        port_setting="PRICEBOOK_AIRFLOW_PORT",
        prepare=lambda log: _migrate(settings, variables, log),
        commands={
            "airflow-api-server": [AIRFLOW, "api-server"],
            "airflow-scheduler": [AIRFLOW, "scheduler", "--skip-serve-logs"],
            "airflow-dag-processor": [AIRFLOW, "dag-processor"],
        },
        # No DAG here defers to a trigger, so the triggerer need not compete with the others for
        # the processor while they start. It runs for the shop's own DAGs and Airflow's health page.
        late_commands={"airflow-triggerer": [AIRFLOW, "triggerer", "--skip-serve-logs"]},
        environment=variables,
        pending=lambda began: _pending(settings, began),
    )


def url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.airflow_port}"


def welcome(settings: Settings, address: str) -> str:
    """A line with its address, user and password."""
    return f"airflow: {address}  user {USER}  password {passwords(settings)[USER]}"


def passwords(settings: Settings) -> dict[str, str]:
    """The password of each user of this home's Airflow. They are generated at the first call."""
    return _generated(home(settings) / "passwords.json", {USER: secrets.token_urlsafe(12)})


def client(settings: Settings) -> AirflowRest:
    """A REST client for the Airflow of this home.

    Raises:
        ServiceError: it does not respond.
    """
    return AirflowRest(url(settings), USER, passwords(settings)[USER])


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
        **IDLE_INTERVALS,
    }
    return {
        "AIRFLOW_HOME": str(home(settings)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **{f"AIRFLOW__{name.upper()}": str(value) for name, value in options.items()},
    }


def _keys(settings: Settings) -> dict[str, str]:
    keys = {
        "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "session": secrets.token_hex(32),
        "token": secrets.token_hex(64),
    }
    return _generated(home(settings) / "keys.json", keys)


def _generated(path: Path, secrets: dict[str, str]) -> dict[str, str]:
    """The secrets in `path`. The first call writes `secrets` to it, readable by the owner only."""
    if not path.exists():
        with atomic_path(path) as partial:
            partial.touch(mode=0o600)
            partial.write_text(json.dumps(secrets))
    return dict(read_json(path))


def _migrate(settings: Settings, variables: dict[str, str], log: Path) -> None:
    """Create or upgrade Airflow's database, unless this version of Airflow already did (3 s)."""
    database, marker = home(settings) / "airflow.db", home(settings) / "migrated_by"
    current = version("apache-airflow")
    embedded = settings.airflow_database_url is None
    if embedded and database.exists() and marker.exists() and marker.read_text() == current:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        migration = subprocess.run(
            [AIRFLOW, "db", "migrate"],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if migration.returncode:
        raise ServiceError(f"airflow could not prepare its database. {log_tail(log)}")
    with atomic_path(marker) as partial:
        partial.write_text(current)


def _pending(settings: Settings, began: float) -> str:
    """What is not ready yet: the API, a component by its name, or DAGs. Empty when all is ready."""
    try:
        health = httpx.get(f"{url(settings)}/api/v2/monitor/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return "its API"
    components = (
        name
        for name in ("metadatabase", "scheduler", "dag_processor")
        if not _is_healthy(name, health.get(name), began)
    )
    return ", ".join(components) or _missing_dags(settings)


def _is_healthy(name: str, component: dict[str, str | None] | None, began: float) -> bool:
    """Whether a component is healthy, with a heartbeat of this start and not of an earlier one."""
    if component is None or component["status"] != "healthy":
        return False
    heartbeat = component.get(f"latest_{name}_heartbeat")
    return name == "metadatabase" or (
        heartbeat is not None and datetime.fromisoformat(heartbeat).timestamp() >= began
    )


def _missing_dags(settings: Settings) -> str:
    with client(settings) as airflow:
        missing = DAGS - airflow.dags()
        if missing:
            for file, cause in airflow.import_errors().items():
                raise ServiceError(f"Airflow cannot import {file}. Received: {cause}")
    return f"its DAGs: {', '.join(sorted(missing))}" if missing else ""
