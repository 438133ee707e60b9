"""The page says what the results say, and a benchmark can be asked for help without its rivals."""

import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.report import IMAGES, PAGE, Bar, Plot, columns, draw, page, results, shown, write

RIVALS = ("doubleml", "econml", "lightgbm", "mlforecast", "neuralforecast")
MODULES = [p.stem for p in sorted(Path(benchmarks.__file__).parent.glob("[!_]*.py"))]
ASKED = [name for name in MODULES if name not in ("panel", "rivals", "simulated")] + ["serving"]
HELP = """
import runpy, sys
sys.modules.update(dict.fromkeys({rivals}))  # None: an import of it fails
sys.argv = ["{name}", "--help"]
runpy.run_module("benchmarks.{name}", run_name="__main__")
"""
RESULT = {
    "title": "Demand",
    "command": "python -m benchmarks.forecast",
    "rows": [{"method": "ours", "WAPE": 0.31}, {"method": "mean", "seconds": 2}],
    "bars": [{"what": "WAPE", "figure": 0.33, "bar": 0.325, "at_most": True, "met": False}],
    "plot": {"label": "method", "value": "WAPE"},
}


def test_the_page_is_what_the_results_say():
    assert PAGE.read_text() == page(results()), "run `python -m benchmarks.report`"


@pytest.mark.parametrize("name", results())
def test_every_result_has_its_plot(name):
    assert (IMAGES / f"bench-{name}.png").exists()


@pytest.mark.parametrize("name", ASKED)
def test_a_benchmark_tells_what_it_does_where_no_rival_is_installed(name):
    code = HELP.format(rivals=RIVALS, name=name)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"python -m benchmarks.{name}" in said.stdout


def test_a_bar_is_met_on_its_own_side_and_never_by_a_missing_figure():
    assert Bar("speed", 1.6, 1.5, at_most=False).met and not Bar("speed", 1.6, 1.5).met
    assert not Bar("bias", float("nan"), 0.02).met


def test_a_row_without_a_column_leaves_its_cell_empty():
    assert columns(RESULT["rows"]) == ["method", "WAPE", "seconds"]
    assert "| mean |  | 2 |" in page({"forecast": RESULT})


def test_a_missed_bar_is_shown_as_missed():
    assert "- **missed**: WAPE: 0.33, at most 0.325" in page({"forecast": RESULT})


def test_a_result_is_read_back_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.report.RESULTS", tmp_path)
    bars = [Bar("WAPE", 0.33, 0.325)]
    write(
        "forecast", RESULT["title"], RESULT["command"], RESULT["rows"], bars, Plot("method", "WAPE")
    )
    assert results() == {"forecast": RESULT}


def test_a_plot_is_drawn_of_the_rows_that_have_the_value(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.report.IMAGES", tmp_path)
    draw("forecast", RESULT)
    assert (tmp_path / "bench-forecast.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("value", "cell"), [(0.0, "0"), (1234.5, "1,234"), (True, "True")])
def test_a_cell_reads_as_a_person_writes_it(value, cell):
    assert shown(value) == cell
