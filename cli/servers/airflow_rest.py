"""A client for the few calls of Airflow's REST API that the demo needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from pricebook.errors import ServiceError


@dataclass(frozen=True)
class Task:
    """A task of a DAG run.

    Attributes:
        task_id: such as `train.demand`.
        state: such as `running`; `waiting` if Airflow has not looked at it yet.
        attempt: the number of the latest try, from 1.
        seconds: how long it has run; None before it starts.
    """

    task_id: str
    state: str
    attempt: int
    seconds: float | None

    @property
    def label(self) -> str:
        """The words of its command: `train demand`."""
        return self.task_id.replace(".", " ")


class AirflowRest:
    """A client that has logged in. Use it as a context manager.

    Raises:
        ServiceError: Airflow cannot be reached, or responds with an error.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)
        try:
            token = self._request("POST", "/auth/token", {"username": user, "password": password})
        except ServiceError:
            self._http.close()
            raise
        self._http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def __enter__(self) -> AirflowRest:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def dags(self) -> set[str]:
        """The ids of the DAGs that Airflow has parsed."""
        return {dag["dag_id"] for dag in self._request("GET", "/api/v2/dags")["dags"]}

    def import_errors(self) -> dict[str, str]:
        """The stack traces of DAG files that cannot be imported, by file."""
        errors = self._request("GET", "/api/v2/importErrors")["import_errors"]
        return {error["filename"]: error["stack_trace"].strip() for error in errors}

    def is_paused(self, dag: str) -> bool:
        return bool(self._request("GET", f"/api/v2/dags/{dag}")["is_paused"])

    def pause(self, dag: str, paused: bool) -> None:
        self._request("PATCH", f"/api/v2/dags/{dag}", {"is_paused": paused})

    def trigger(self, dag: str, form: Mapping[str, Any]) -> str:
        """Start a run with these values in the trigger form. Returns the run's id."""
        body = {"logical_date": None, "conf": dict(form)}
        return str(self._request("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def state(self, dag: str, run: str) -> str:
        return str(self._request("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")["state"])

    def tasks(self, dag: str, run: str) -> list[Task]:
        """The run's tasks, in the order they started."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances"
        rows = self._request("GET", path)["task_instances"]
        rows.sort(key=lambda row: row["start_date"] or "9")  # not started: after every date
        return [_task(row) for row in rows]

    def log(self, dag: str, run: str, task: Task) -> list[str]:
        """The log lines of the task's latest try, without Airflow's own headings."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task.task_id}/logs"
        entries = self._request("GET", f"{path}/{max(task.attempt, 1)}")["content"]
        lines = [_log_line(entry) for entry in entries]
        return [line for line in lines if line and not line.startswith("::")]

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ServiceError(
                f"Airflow at {self._http.base_url} does not respond to {method} {path}. "
                f"Received: {error!r}"
            ) from error
        if response.is_error:
            raise ServiceError(
                f"Airflow refuses {method} {path}. "
                f"Received: {response.status_code} {response.text[:500]}"
            )
        return response.json()


def _task(row: Mapping[str, Any]) -> Task:
    return Task(
        task_id=str(row["task_id"]),
        state=str(row["state"] or "waiting"),
        attempt=int(row["try_number"]),
        seconds=_seconds(row),
    )


def _seconds(row: Mapping[str, Any]) -> float | None:
    if row["duration"] is not None:
        return float(row["duration"])
    if row["start_date"] is None:
        return None
    start = datetime.fromisoformat(row["start_date"])
    return (datetime.now(start.tzinfo) - start).total_seconds()


def _log_line(entry: str | Mapping[str, Any]) -> str:
    if isinstance(entry, str):
        return entry
    line = str(entry.get("event", ""))
    for cause in entry.get("error_detail") or ():
        message = str(cause.get("exc_value", ""))
        if message not in line:
            line += f" {cause.get('exc_type', '')}: {message}"
    return line
