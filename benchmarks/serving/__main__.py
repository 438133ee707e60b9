"""The price service under load: speed, memory, freshness, swaps and faults.

    python -m benchmarks.serving [--only speed batch events memory swaps faults]

A made-up shop of 5,000 skus and 2,000 shoppers, half of all requests named; API keys, events, the
quote log and signatures are on. The load and its clocks are in a second process, and endpoints of
FastAPI and BentoML that do nothing are loaded alike in the same run.

The faults take root, to mount a small disk, and Debian's libfaketime, to set the clock back.
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
from benchmarks.serving.home import Shop, made
from benchmarks.serving.live import live
from benchmarks.serving.speed import memory, speed
from benchmarks.serving.swaps import swaps


@dataclass(frozen=True)
class Part:
    """What is measured, of a made-up shop, and which of its figures is drawn."""

    title: str
    measure: Callable[[Shop], tuple[list[Row], list[Bar]]]
    drawn: str


PARTS = {
    "speed": Part("Quotes, a request each, over 8 connections", speed, "a second"),
    "batch": Part("Quotes, a thousand a request", batch, "a second"),
    "events": Part("Events, and the quotes they change", live, "worst ms"),
    "memory": Part("Memory of a worker", memory, "figure"),
    "swaps": Part("Champions swapped under load", swaps, "figure"),
    "faults": Part("What breaks under load", faults, "p99 ms"),
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
            rows, bars = part.measure(made(Path(home)))
        print_result(part.title, rows, bars)
        command = f"python -m benchmarks.serving --only {name}"
        write_result(
            f"serving-{name}", part.title, command, rows, bars, Plot("measured", part.drawn)
        )


if __name__ == "__main__":
    main()
