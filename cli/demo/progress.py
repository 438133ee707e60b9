"""A live board of the steps of a run; without a terminal, a plain line for each change."""

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
QUIET = frozenset({"waiting", "scheduled", "queued", "none"})


@dataclass(frozen=True)
class Step:
    """A line of the board; `began` is monotonic, `note` is the latest word on it."""

    name: str
    state: str = "running"
    began: float = 0.0
    seconds: float | None = None
    note: str = ""


class Board:
    """The steps so far. `show` keeps it on screen for as long as the context lasts."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: dict[str, Step] = {}
        self._spinner = Spinner("dots", style="cyan")

    @contextmanager
    def show(self) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._table, console=self.console, refresh_per_second=8):
            yield

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step that takes as long as the context, and fails with it."""
        began = time.monotonic()
        self.put(Step(name, began=began))
        try:
            yield
        except BaseException:
            self.put(Step(name, "failed", seconds=time.monotonic() - began))
            raise
        self.put(Step(name, "success", seconds=time.monotonic() - began))

    def put(self, step: Step) -> None:
        """Add a step, or bring it up to date."""
        old = self.steps.get(step.name)
        self.steps[step.name] = step
        changed = old is None or old.state != step.state
        if changed and step.state not in QUIET and not self.console.is_terminal:
            took = f"  {step.seconds:.1f} s" if step.seconds and step.state != "running" else ""
            self.console.print(f"{step.name}: {step.state}{took}", markup=False, highlight=False)

    def note(self, name: str, text: str) -> None:
        """Put a word beside a step; without a terminal it is not shown."""
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
            table.add_row(self._mark(step), step.name, _took(step), step.note)
        return table

    def _mark(self, step: Step) -> RenderableType:
        if step.state == "running":
            return self._spinner
        return MARKS.get(step.state, Text("·", "dim"))


def _took(step: Step) -> str:
    seconds = step.seconds
    if step.state == "running" and step.began:
        seconds = time.monotonic() - step.began
    return "" if seconds is None else f"{seconds:.1f} s"
