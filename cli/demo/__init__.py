"""The whole of Pricebook once: Airflow, `refresh`, `retrain`, the service, quotes, a summary."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cli.demo.progress import Board, Step
from cli.demo.requests import forecast_request, quote_requests
from cli.demo.summary import Asked, print_summary, verdict
from cli.servers import airflow_server, price_service
from cli.servers.airflow_rest import AirflowRest, Task
from cli.servers.launch import (
    Plan,
    interruptible,
    names_up,
    port_is_free,
    recorded,
    start,
    stop_since,
)
from pricebook.config import Settings
from pricebook.errors import ServiceError
from pricebook.files import read_json

POLL = 1.0  # seconds between two looks at a run
LOG_LINES = 15
FAILED = "Task failed with exception "  # how Airflow begins the line that names the cause
WIDTH = 110  # columns of the summary, where there is no terminal to ask


def demo(settings: Settings, keep: bool = False, console: Console | None = None) -> None:
    """Run it, print the summary, and stop what was started unless `keep`.

    A port that is taken is replaced by a free one.

    Raises:
        ServiceError: a server did not start, or a task failed; the end of its log is printed.
    """
    console = console or Console()
    if not console.is_terminal:
        console.width = WIDTH
    settings = on_free_ports(settings)
    before = names_up(settings)
    with interruptible():
        try:
            _Demo(settings, console, Board(console)).run()
            _where_next(settings, keep, console)
        finally:
            if not keep:
                stop_since(before, settings, lambda text: console.print(text, highlight=False))


def on_free_ports(settings: Settings) -> Settings:
    """The settings, a taken port replaced by a free one; a server that is up keeps its own."""
    servers, ports = recorded(settings), {}
    for name, field in (("airflow", "airflow_port"), ("price service", "service_port")):
        if name in servers and servers[name].up:
            ports[field] = int(servers[name].url.rsplit(":", 1)[1])
        elif not port_is_free(settings.host, getattr(settings, field)):
            ports[field] = _free_port(settings.host)
    return settings.model_copy(update=ports)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class _Demo:
    settings: Settings
    console: Console
    board: Board

    def run(self) -> None:
        """From a shop's orders to quotes, with the board on screen; then the summary."""
        began = time.monotonic()
        with self.board.show():
            self._start(airflow_server.plan(self.settings))
            with airflow_server.client(self.settings) as airflow:
                self._dags(airflow)
            self._need_champion()
            self._start(price_service.plan(self.settings))
            with self.board.step("quotes and forecast"):
                asked, forecast = self._ask()
        total = Step("all", "success", seconds=time.monotonic() - began)
        steps = [*self.board.steps.values(), total]
        print_summary(self.console, self.settings, steps, asked, forecast)

    def _need_champion(self) -> None:
        if not price_service.champion(self.settings):
            found = read_json(self.settings.report("gate"))
            self.console.print(verdict(found))
            raise ServiceError(
                "The gate refused the first pair, so there is nothing to serve. "
                f"Received: {'; '.join(found['refusals'])}"
            )

    def _start(self, plan: Plan) -> None:
        name = f"start {plan.name}"
        with self.board.step(name):
            start(plan, self.settings, lambda text: self.board.note(name, text))

    def _dags(self, airflow: AirflowRest) -> None:
        """`refresh`, with `retrain` paused lest it follows by itself; then `retrain`."""
        with paused(airflow, "retrain", True), paused(airflow, "refresh", False):
            self._run(airflow, "refresh", {})
        with paused(airflow, "retrain", False):
            self._run(airflow, "retrain", {})

    def _run(self, airflow: AirflowRest, dag: str, form: Mapping[str, Any]) -> None:
        run = airflow.trigger(dag, form)
        while True:
            over = airflow.state(dag, run) in ("success", "failed")
            tasks = airflow.tasks(dag, run)
            for task in tasks:
                self._follow(airflow, dag, run, task)
            if over:
                break
            time.sleep(POLL)
        if failed := [task for task in tasks if task.state == "failed"]:
            self._fail(airflow, dag, run, failed[0])

    def _follow(self, airflow: AirflowRest, dag: str, run: str, task: Task) -> None:
        name = f"{dag} {task.label}"
        old = self.board.steps.get(name)
        began = time.monotonic() - (task.seconds or 0)
        note = old.note if old else ""
        if task.state == "running" and self.console.is_terminal:
            note = "".join(airflow.log(dag, run, task)[-1:]) or note
        self.board.put(Step(name, task.state, began, task.seconds, note))

    def _fail(self, airflow: AirflowRest, dag: str, run: str, task: Task) -> None:
        lines = airflow.log(dag, run, task)[-LOG_LINES:]
        self.console.print(f"The end of the log of {dag} {task.label}:", style="bold red")
        for line in lines:
            self.console.print(f"  {line}", markup=False, highlight=False)
        raise ServiceError(f"{dag} failed in {task.label}: {_cause(lines)}")

    def _ask(self) -> tuple[list[Asked], Mapping[str, Any]]:
        at = price_service.url(self.settings)
        asked = [
            Asked(one.name, one.shopper, price_service.ask(at, "/quote", one.body))
            for one in quote_requests(self.settings)
        ]
        return asked, price_service.ask(at, "/forecast", forecast_request(self.settings))


@contextmanager
def paused(airflow: AirflowRest, dag: str, yes: bool) -> Iterator[None]:
    """Pause a DAG (or not) for as long as the context lasts; a paused DAG starts no run."""
    before = airflow.is_paused(dag)
    airflow.pause(dag, yes)
    try:
        yield
    finally:
        airflow.pause(dag, before)


def _cause(lines: list[str]) -> str:
    failures = [line for line in lines if line.startswith(FAILED)]
    told = failures[-1].removeprefix(FAILED) if failures else "".join(lines[-1:])
    return told.removeprefix("AirflowFailException: ")


def _where_next(settings: Settings, keep: bool, console: Console) -> None:
    checked = read_json(settings.report("validate"))
    places = {
        "pricebook alerts list": "what the data failed, and who looks after it",
        "pricebook verdicts": "what the gate decided, check by check",
        "pricebook reproduce champion": "train it again from the recorded data, and compare",
        checked["data_docs"]: "the Data Docs of this validation",
    }
    if keep:
        places["pricebook down"] = "stops Airflow and the price service"
    else:
        places["KEEP=1 make demo"] = "leaves Airflow and the price service running"
    lines = [f"{place:<30}  {what}" for place, what in places.items()]
    if keep:
        lines.append(airflow_server.welcome(settings, airflow_server.url(settings)))
        lines.append(price_service.welcome(price_service.url(settings)))
    console.print("\nWhere to look next", style="bold")
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
