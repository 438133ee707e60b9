"""Measure the peak memory of `featurize`, and its time on all rows and on a tenth of them.

    python -m benchmarks.featurize

It reads the validated tables of PRICEBOOK_HOME and does not change them. Each run has its own
process, and its own home in a temporary folder. The tenth holds the skus whose hash ends in 0.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.report import Bar, Plot, Row, print_result, write_result
from pipelines.featurize import featurize
from pricebook.config import Settings, load_params

MAX_MEMORY_MB = 3_000  # less than 3 GiB
MAX_TIME_RATIO = 1.3  # the time on all rows over ten times the time on a tenth
RUNS = 3
SCALED = ("orders", "promotions")


def measure(home: Path) -> dict[str, Any]:
    """Run the stage a few times in this process. Returns the shortest time and the peak memory.

    The first run includes imports, whose time does not depend on the number of rows.
    """
    settings = Settings(home=home)
    params = load_params(settings.params)
    if params.as_of is None:
        sys.exit(f"as_of must be set for a benchmark. Received: {settings.params}")
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        rows = featurize(params.as_of, params, settings)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "seconds": min(seconds),
        "first_seconds": seconds[0],
        "peak_mb": peak / 1e6,
        "rows": rows,
    }


def _measure_in_process(home: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.featurize", "--measure", str(home)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def _copy(validated: Path, home: Path, tenth: bool) -> int:
    """Copy all rows of the tables, or a tenth. Returns the number of order and promotion rows."""
    target = Settings(home=home).validated
    target.mkdir(parents=True)
    rows = 0
    for path in sorted(validated.glob("*.parquet")):
        keep = "hash(sku) % 10 = 0" if tenth and path.stem in SCALED else "true"
        query = f"select * from '{path}' where {keep}"
        duckdb.execute(f"copy ({query}) to '{target / path.name}' (format parquet)")
        if path.stem in SCALED:
            (count,) = duckdb.execute(
                f"select count(*) from '{target / path.name}'"
            ).fetchone() or (0,)
            rows += count
    return rows


def _rows(runs: dict[str, dict[str, Any]]) -> list[Row]:
    return [
        {
            "rows": name,
            "rows in": run["rows_in"],
            "seconds": run["seconds"],
            "peak memory (MB)": run["peak_mb"],
        }
        for name, run in runs.items()
    ]


def _bars(runs: dict[str, dict[str, Any]]) -> list[Bar]:
    ratio = runs["all"]["seconds"] / (10 * runs["tenth"]["seconds"])
    return [
        Bar("peak memory, MB", runs["all"]["peak_mb"], MAX_MEMORY_MB),
        Bar("time on all rows / (10 × time on a tenth of them)", ratio, MAX_TIME_RATIO),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", type=Path, metavar="HOME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        sys.stdout.write(json.dumps(measure(arguments.measure)) + "\n")
        return
    validated = Settings().validated
    if not (validated / "orders.parquet").exists():
        sys.exit(f"Run `pricebook ingest` and `pricebook validate` first. Received: {validated}")
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tenth", "all"):
            home = Path(folder) / name
            rows_in = _copy(validated, home, tenth=name == "tenth")
            runs[name] = {"rows_in": rows_in, **_measure_in_process(home)}
    title, rows, bars = "Featurize: memory and time", _rows(runs), _bars(runs)
    print_result(title, rows, bars)
    plot = Plot("rows", "seconds")
    write_result("featurize", title, "python -m benchmarks.featurize", rows, bars, plot, **runs)


if __name__ == "__main__":
    main()
