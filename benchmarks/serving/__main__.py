"""Measure the price service under load: speed, memory, live events, swaps and faults.

    python -m benchmarks.serving [--only speed batch events memory swaps faults]

The simulated shop has 5,000 skus and 2,000 shoppers. Half of all requests name a shopper. API keys,
events, the quote log and signatures are on. A second process makes the requests and measures the
times. Empty endpoints of FastAPI and BentoML get the same load in the same run.

The faults need root, to mount a small disk, and Debian's libfaketime, to set the clock back.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.report import Bar, Plot, Row, print_result, write_result
from benchmarks.serving.batch import batch
from benchmarks.serving.faults import faults
from benchmarks.serving.home import Shop, make_shop
from benchmarks.serving.live import live
from benchmarks.serving.speed import memory, speed
from benchmarks.serving.swaps import swaps


@dataclass(frozen=True)
class Part:
    """A part of the benchmark: its title, its function, and the figure to plot."""

    title: str
    measure: Callable[[Shop], tuple[list[Row], list[Bar]]]
    plotted: str


PARTS = {
    "speed": Part("One quote per request, 8 connections", speed, "per second"),
    "batch": Part("A thousand quotes per request", batch, "per second"),
    "events": Part("Time from an event to the changed quote", live, "worst ms"),
    "memory": Part("Memory of a worker", memory, "figure"),
    "swaps": Part("Champion swaps under load", swaps, "figure"),
    "faults": Part("Faults under load", faults, "p99 ms"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parts = parser.parse_args().only
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in parts:
        part = PARTS[name]
        with (
            Console(stderr=True).status(name),
            tempfile.TemporaryDirectory(prefix="pricebook-serving-") as home,
        ):
            rows, bars = part.measure(make_shop(Path(home)))
        print_result(part.title, rows, bars)
        command = f"python -m benchmarks.serving --only {name}"
        write_result(
            f"serving-{name}", part.title, command, rows, bars, Plot("measurement", part.plotted)
        )


if __name__ == "__main__":
    main()
