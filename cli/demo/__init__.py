"""`pricebook demo`: Airflow runs `refresh` and `retrain`, then the price service quotes prices."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cli.demo.progress import Step, StepDisplay
from cli.demo.requests import forecast_request, quote_requests
from cli.demo.summary import SampleQuote, print_summary
from cli.servers import airflow_server, mlflow_server, price_service
from cli.servers.airflow_rest import AirflowRest, Task
from cli.servers.launch import ServerPlan, port_is_free, sigterm_as_interrupt, start, stop_others
from cli.servers.records import running_servers
from pricebook.config import Settings
from pricebook.errors import ServiceError
from pricebook.files import read_json

POLL_INTERVAL = 1.0  # seconds between two requests for the state of a run
LOG_LINES = 15
FAILURE = "Task failed with exception "  # Airflow starts the log line of the cause with this
WIDTH = 110  # columns of the summary where there is no terminal
PORTS = {  # the setting of each server's port
    "airflow": "airflow_port",
    "mlflow": "mlflow_port",
    "price service": "service_port",
}


def demo(settings: Settings, keep: bool = False, console: Console | None = None) -> None:
    """Run the demo, print the summary, and stop the servers that it started.

    Args:
        settings: the home; a port that is taken is replaced by a free one.
        keep: leave the servers running, and start MLflow's web page as well.
        console: where to print; the terminal by default.

    Raises:
        ServiceError: a server did not start, or a task failed. The end of its log is printed.
    """
    console = console or Console()
    if not console.is_terminal:
        console.width = WIDTH
    settings = on_free_ports(settings)
    running = set(running_servers(settings))
    with sigterm_as_interrupt():
        try:
            _Demo(settings, console, StepDisplay(console)).run(keep)
            _print_next_steps(settings, keep, console)
        finally:
            if not keep:
                stop_others(running, settings, lambda text: console.print(text, highlight=False))


def on_free_ports(settings: Settings) -> Settings:
    """The settings with free ports. A server that runs already keeps its own port."""
    servers, ports = running_servers(settings), {}
    for name, field in PORTS.items():
        if name in servers:
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
    display: StepDisplay

    def run(self, keep: bool) -> None:
        """Run every step with its progress on screen, then print the summary."""
        start_time = time.monotonic()
        with self.display.show():
            self._start(airflow_server.plan(self.settings))
            with airflow_server.client(self.settings) as airflow:
                self._run_dags(airflow)
            self._start(price_service.plan(self.settings))
            with self.display.step("quotes and forecast"):
                quotes, forecast = self._request_samples()
            if forecast is not None:
                with self.display.step("compare objectives"):
                    self._compare_objectives()
            if keep and not mlflow_server.runs_elsewhere(self.settings):
                self._start(mlflow_server.plan(self.settings))
        total = Step("all", "success", seconds=time.monotonic() - start_time)
        steps = [*self.display.steps.values(), total]
        print_summary(self.console, self.settings, steps, quotes, forecast)

    def _start(self, plan: ServerPlan) -> None:
        name = f"start {plan.name}"
        with self.display.step(name):
            start([plan], self.settings, lambda text: self.display.note(name, text))

    def _run_dags(self, airflow: AirflowRest) -> None:
        """Run `refresh` and then `retrain`.

        `retrain` is paused during `refresh`: the fresh features would start a run of their own.
        """
        with paused(airflow, "retrain", True), paused(airflow, "refresh", False):
            self._run_dag(airflow, "refresh")
        with paused(airflow, "retrain", False):
            self._run_dag(airflow, "retrain")

    def _run_dag(self, airflow: AirflowRest, dag: str) -> None:
        run, ended = airflow.trigger(dag, {}), False
        while not ended:
            # The run first: once it has ended, the tasks read after it are in their final state.
            ended = airflow.state(dag, run) in ("success", "failed")
            tasks = airflow.tasks(dag, run)
            for task in tasks:
                self._show_task(airflow, dag, run, task)
            if not ended:
                time.sleep(POLL_INTERVAL)
        if failures := [task for task in tasks if task.state == "failed"]:
            self._fail(airflow, dag, run, failures[0])

    def _show_task(self, airflow: AirflowRest, dag: str, run: str, task: Task) -> None:
        name = f"{dag} {task.label}"
        shown = self.display.steps.get(name)
        note = shown.note if shown else ""
        if task.state == "running" and self.console.is_terminal:
            note = "".join(airflow.log(dag, run, task)[-1:]) or note
        start_time = time.monotonic() - (task.seconds or 0)
        self.display.put(Step(name, task.state, start_time, task.seconds, note))

    def _fail(self, airflow: AirflowRest, dag: str, run: str, task: Task) -> None:
        lines = airflow.log(dag, run, task)[-LOG_LINES:]
        self.console.print(f"The end of the log of {dag} {task.label}:", style="bold red")
        for line in lines:
            self.console.print(f"  {line}", markup=False, highlight=False)
        raise ServiceError(f"{dag} failed in {task.label}: {_cause(lines)}")

    def _compare_objectives(self) -> None:
        from pipelines.inputs import retrain_inputs
        from pipelines.reports.frontier import frontier

        frontier(*retrain_inputs({}, self.settings))

    def _request_samples(self) -> tuple[list[SampleQuote], Mapping[str, Any] | None]:
        """Sample quotes, and a forecast if there is a champion."""
        address = price_service.url(self.settings)
        quotes = [
            SampleQuote(
                sample.name, sample.shopper, price_service.post(address, "/quote", sample.body)
            )
            for sample in quote_requests(self.settings)
        ]
        if not price_service.has_champion(self.settings):
            return quotes, None
        return quotes, price_service.post(address, "/forecast", forecast_request(self.settings))


@contextmanager
def paused(airflow: AirflowRest, dag: str, value: bool) -> Iterator[None]:
    """Pause or unpause a DAG for the duration of the context. A paused DAG starts no run."""
    before = airflow.is_paused(dag)
    airflow.pause(dag, value)
    try:
        yield
    finally:
        airflow.pause(dag, before)


def _cause(lines: list[str]) -> str:
    failures = [line for line in lines if line.startswith(FAILURE)]
    cause = failures[-1].removeprefix(FAILURE) if failures else "".join(lines[-1:])
    return cause.removeprefix("AirflowFailException: ")


def _print_next_steps(settings: Settings, keep: bool, console: Console) -> None:
    commands = {
        "pricebook alerts list": "the data-quality checks that failed, and who owns them",
        "pricebook verdicts": "what the gate decided, check by check",
        "pricebook reproduce champion": "train again from the recorded data, and compare",
        read_json(settings.report("validate"))["data_docs"]: "the Data Docs of this validation",
    }
    if keep:
        commands["pricebook down"] = "stops Airflow, MLflow and the price service"
    else:
        commands["pricebook up"] = (
            f"starts them again, and MLflow's page at {mlflow_server.url(settings)}"
        )
        commands["KEEP=1 make demo"] = "leaves the servers running"
    lines = [f"{command:<30}  {purpose}" for command, purpose in commands.items()]
    lines.append(price_service.prices(settings))
    if keep:
        lines.append(airflow_server.welcome(settings, airflow_server.url(settings)))
        lines.append(mlflow_server.welcome(mlflow_server.url(settings)))
        lines.append(price_service.welcome(price_service.url(settings)))
    console.print("\nWhere to look next", style="bold")
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
