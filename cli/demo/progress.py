"""The steps of a demo run: a live table in a terminal, else a line for each change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

MARKS = {
    "success": Text("✓", "green"),
    "failed": Text("✗", "bold red"),
    "upstream_failed": Text("✗", "red"),
    "skipped": Text("-", "yellow"),
}
NOT_STARTED = frozenset({"waiting", "scheduled", "queued", "none"})


@dataclass(frozen=True)
class Step:
    """A row of the display.

    Attributes:
        name: such as `refresh ingest`.
        state: one of Airflow's task states.
        start_time: a reading of `time.monotonic`; 0 if unknown.
        seconds: how long it took so far; None if unknown.
        note: the latest line of its log.
    """

    name: str
    state: str = "running"
    start_time: float = 0.0
    seconds: float | None = None
    note: str = ""


class StepDisplay:
    """Shows the steps of a run while the context of `show` lasts."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: dict[str, Step] = {}
        self._spinner = Spinner("dots", style="cyan")

    @contextmanager
    def show(self) -> Iterator[None]:
        """Keep the table on screen. Without a terminal, `put` prints the changes instead."""
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._table, console=self.console, refresh_per_second=8):
            yield

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show a step for the duration of the context. An exception marks it as failed."""
        start_time = time.monotonic()
        self.put(Step(name, start_time=start_time))
        try:
            yield
        except BaseException:
            self.put(Step(name, "failed", seconds=time.monotonic() - start_time))
            raise
        self.put(Step(name, "success", seconds=time.monotonic() - start_time))

    def put(self, step: Step) -> None:
        """Add a step, or replace the one of the same name."""
        old = self.steps.get(step.name)
        self.steps[step.name] = step
        is_new = step.state not in NOT_STARTED and (old is None or old.state != step.state)
        if is_new and not self.console.is_terminal:
            seconds = f"  {step.seconds:.1f} s" if step.seconds and step.state != "running" else ""
            self.console.print(f"{step.name}: {step.state}{seconds}", markup=False, highlight=False)

    def note(self, name: str, text: str) -> None:
        """Set the note of a step. It is shown in a terminal only."""
        if name in self.steps:
            self.steps[name] = replace(self.steps[name], note=text)

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(style="dim", no_wrap=True, overflow="ellipsis", ratio=1)
        table.expand = True
        for step in self.steps.values():
            table.add_row(self._mark(step), step.name, _duration(step), step.note)
        return table

    def _mark(self, step: Step) -> RenderableType:
        if step.state == "running":
            return self._spinner
        return MARKS.get(step.state, Text("·", "dim"))


def _duration(step: Step) -> str:
    seconds = step.seconds
    if step.state == "running" and step.start_time:
        seconds = time.monotonic() - step.start_time
    return "" if seconds is None else f"{seconds:.1f} s"
