"""What a benchmark leaves behind: a table on the screen, a JSON file, and its part of the docs.

    python -m benchmarks.report

writes docs/benchmarks.md and its plots from benchmarks/results/*.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pricebook.config import REPO_ROOT
from pricebook.files import atomic_path, read_json, write_json

RESULTS = Path(__file__).parent / "results"
PAGE = REPO_ROOT / "docs" / "benchmarks.md"
IMAGES = PAGE.parent / "images"
ORDER = (
    "forecast",
    "forecast-all",
    "training",
    "response",
    "censoring",
    "profit",
    "anyshop",
    "offpolicy",
    *(f"serving-{part}" for part in ("speed", "batch", "events", "memory", "swaps", "faults")),
)
BLUE, GREY = "#2a6f97", "#8d99ae"

Row = Mapping[str, Any]

_HEAD = """\
# Benchmarks

Written by `python -m benchmarks.report` from `benchmarks/results/`; do not edit it here.

`make bench` runs them all, each beside its anchors in the same run. A bar that was missed is shown
as missed. Seconds are of two cores.
"""


@dataclass(frozen=True)
class Bar:
    """A figure that was measured and what it has to keep; NaN misses.

    >>> Bar("WAPE", 0.31, 0.325).met
    True
    """

    what: str
    figure: float
    bar: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        return bool(self.figure <= self.bar if self.at_most else self.figure >= self.bar)


@dataclass(frozen=True)
class Plot:
    """Which columns of the rows to draw: a bar for each label, its length the value."""

    label: str
    value: str


def write(
    name: str,
    title: str,
    command: str,
    rows: Sequence[Row],
    bars: Sequence[Bar],
    plot: Plot,
    **more: Any,
) -> Path:
    """Write benchmarks/results/<name>.json; `more` is kept but not shown."""
    path = RESULTS / f"{name}.json"
    checked_bars = [{**asdict(bar), "met": bar.met} for bar in bars]
    content = {"title": title, "command": command, "rows": list(rows), "bars": checked_bars}
    write_json(path, {**content, "plot": asdict(plot), **more})
    return path


def show(title: str, rows: Sequence[Row], bars: Sequence[Bar]) -> None:
    """Print the rows and whether each bar was met."""
    console = Console(width=None if Console().is_terminal else 120)
    console.print(_table(title, rows))
    for bar in bars:
        word = "[green]met[/]" if bar.met else "[red]MISSED[/]"
        console.print(f"{word}  {_sentence(asdict(bar))}", soft_wrap=True, highlight=False)


def _table(title: str, rows: Sequence[Row]) -> Table:
    drawn = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns(rows)):
        drawn.add_column(column, justify="right" if number else "left")
    for row in rows:
        drawn.add_row(*(shown(row.get(column)) for column in columns(rows)))
    return drawn


def columns(rows: Sequence[Row]) -> list[str]:
    """Every column of the rows, in the order met."""
    return list(dict.fromkeys(column for row in rows for column in row))


def shown(value: Any) -> str:
    """A cell as a person reads it.

    >>> shown(0.33842), shown(1234567.8), shown(None), shown("ours"), shown(12)
    ('0.338', '1,234,568', '', 'ours', '12')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _sentence(bar: Row) -> str:
    relation = "at most" if bar["at_most"] else "at least"
    return f"{bar['what']}: {shown(bar['figure'])}, {relation} {shown(bar['bar'])}"


def page(results: Mapping[str, Row]) -> str:
    """The page of the docs as Markdown, from results by name."""
    return "\n".join([_HEAD, *(_section(name, results[name]) for name in _ordered(results))])


def _ordered(results: Mapping[str, Row]) -> list[str]:
    return sorted(results, key=lambda name: (ORDER.index(name) if name in ORDER else 99, name))


def _section(name: str, result: Row) -> str:
    rows, names = result["rows"], columns(result["rows"])
    table = [names, ["---", *("---:" for _ in names[1:])]]
    table += [[shown(row.get(column)) for column in names] for row in rows]
    bars = [
        f"- {'met' if bar['met'] else '**missed**'}: {_sentence(bar)}" for bar in result["bars"]
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    heading = [f"## {result['title']}", "", f"`{result['command']}`", ""]
    return "\n".join([*heading, *lines, "", *bars, "", f"![{name}](images/bench-{name}.png)", ""])


def draw(name: str, result: Row) -> None:
    """One bar a row, ours in blue."""
    from matplotlib.figure import Figure

    plot = result["plot"]
    drawn = [row for row in result["rows"] if isinstance(row.get(plot["value"]), int | float)]
    names = [str(row[plot["label"]]) for row in drawn][::-1]
    values = [row[plot["value"]] for row in drawn][::-1]
    figure = Figure(figsize=(8, 1.0 + 0.36 * len(drawn)), layout="constrained")
    axes = figure.subplots()
    colours = [BLUE if "ours" in label or "Pricebook" in label else GREY for label in names]
    axes.bar_label(axes.barh(names, values, color=colours), [shown(v) for v in values], padding=3)
    axes.set(title=result["title"], xlabel=plot["value"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    with atomic_path(IMAGES / f"bench-{name}.png") as partial:
        figure.savefig(partial, dpi=100, format="png")


def results() -> dict[str, Row]:
    """Every result on disk by name."""
    return {path.stem: read_json(path) for path in sorted(RESULTS.glob("*.json"))}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    saved = results()
    for name, result in saved.items():
        draw(name, result)
    with atomic_path(PAGE) as partial:
        partial.write_text(page(saved))
    Console().print(f"Written to {PAGE}", soft_wrap=True)


if __name__ == "__main__":
    main()
