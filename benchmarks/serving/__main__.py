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
from pathlib import Path

from rich.console import Console

from benchmarks.report import Bar, Plot, Row, show, write
from benchmarks.serving.batch import batch
from benchmarks.serving.faults import faults
from benchmarks.serving.home import SHOPPERS, SKUS, made
from benchmarks.serving.live import live
from benchmarks.serving.speed import memory, speed
from benchmarks.serving.swaps import swaps

PARTS = {
    "speed": speed,
    "batch": batch,
    "events": live,
    "memory": memory,
    "swaps": swaps,
    "faults": faults,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parts = parser.parse_args().only
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    rows, bars = list[Row](), list[Bar]()
    with Console(stderr=True).status("") as status:
        for name in parts:
            status.update(name)
            with tempfile.TemporaryDirectory(prefix="pricebook-serving-") as home:
                told, kept = PARTS[name](made(Path(home)))
            rows, bars = [*rows, *told], [*bars, *kept]
    title = f"Serving: {SKUS:,} skus, {SHOPPERS:,} shoppers, one worker"
    show(title, rows, bars)
    if parts == list(PARTS):
        plot = Plot("measured", "a second")
        write("serving", title, "python -m benchmarks.serving", rows, bars, plot)


if __name__ == "__main__":
    main()
