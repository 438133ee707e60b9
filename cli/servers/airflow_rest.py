"""Airflow's REST API, as much of it as a person at a shell would use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from pricebook.errors import ServiceError


@dataclass(frozen=True)
class Task:
    """A task of a run; `seconds` is None before it starts."""

    task_id: str
    state: str
    attempt: int
    seconds: float | None

    @property
    def label(self) -> str:
        """Its name as the command line has it: train demand, not train.demand."""
        return self.task_id.replace(".", " ")


class AirflowRest:
    """A client with a token. Close it, or use it as a context.

    Raises:
        ServiceError: Airflow cannot be reached, or answers with an error.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)
        try:
            token = self._ask("POST", "/auth/token", {"username": user, "password": password})
        except ServiceError:
            self._http.close()
            raise
        self._http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def __enter__(self) -> AirflowRest:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def dags(self) -> set[str]:
        """The DAGs Airflow has parsed."""
        return {one["dag_id"] for one in self._ask("GET", "/api/v2/dags")["dags"]}

    def import_errors(self) -> dict[str, str]:
        """What kept a DAG file from being imported, by file."""
        found = self._ask("GET", "/api/v2/importErrors")["import_errors"]
        return {one["filename"]: one["stack_trace"].strip() for one in found}

    def is_paused(self, dag: str) -> bool:
        return bool(self._ask("GET", f"/api/v2/dags/{dag}")["is_paused"])

    def pause(self, dag: str, paused: bool) -> None:
        self._ask("PATCH", f"/api/v2/dags/{dag}", {"is_paused": paused})

    def trigger(self, dag: str, form: Mapping[str, Any]) -> str:
        """Start a run with the form filled in so. Gives its id."""
        body = {"logical_date": None, "conf": dict(form)}
        return str(self._ask("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def state(self, dag: str, run: str) -> str:
        return str(self._ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")["state"])

    def tasks(self, dag: str, run: str) -> list[Task]:
        """The run's tasks, in the order they started."""
        found = self._ask("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances")
        rows = sorted(found["task_instances"], key=lambda one: one["start_date"] or "9")
        return [_task(one) for one in rows]

    def log(self, dag: str, run: str, task: Task) -> list[str]:
        """The lines of the task's last attempt, without Airflow's own headings."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task.task_id}/logs"
        found = self._ask("GET", f"{path}/{max(task.attempt, 1)}")
        lines = [_line(one) for one in found["content"]]
        return [line for line in lines if line and not line.startswith("::")]

    def _ask(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._http.request(verb, path, json=body)
        except httpx.HTTPError as error:
            raise ServiceError(
                f"Airflow does not answer {verb} {self._http.base_url}{path}. Received: {error!r}"
            ) from error
        if answer.is_error:
            raise ServiceError(
                f"Airflow refuses {verb} {path}. Received: {answer.status_code} {answer.text[:500]}"
            )
        return answer.json()


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
    began = datetime.fromisoformat(row["start_date"])
    return (datetime.now(began.tzinfo) - began).total_seconds()


def _line(entry: str | Mapping[str, Any]) -> str:
    if isinstance(entry, str):
        return entry
    line = str(entry.get("event", ""))
    for cause in entry.get("error_detail") or ():
        if (told := str(cause.get("exc_value", ""))) not in line:
            line += f" {cause.get('exc_type', '')}: {told}"
    return line
