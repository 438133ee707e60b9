"""docs/benchmarks.md matches the results, and `--help` works without the optional libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.report import (
    IMAGES,
    PAGE,
    Bar,
    Plot,
    columns,
    draw_plot,
    format_value,
    load_results,
    page,
    write_result,
)

OPTIONAL = ("doubleml", "econml", "lightgbm", "mlforecast", "neuralforecast")
MODULES = [p.stem for p in sorted(Path(benchmarks.__file__).parent.glob("[!_]*.py"))]
RUNNABLE = [name for name in MODULES if name not in ("rivals", "conditions")] + [
    "personal",
    "profit",
    "serving",
]
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


def test_the_page_matches_the_results():
    assert PAGE.read_text() == page(load_results()), "run `python -m benchmarks.report`"


@pytest.mark.parametrize("name", load_results())
def test_every_result_has_a_plot(name):
    assert (IMAGES / f"bench-{name}.png").exists()


@pytest.mark.parametrize("name", RUNNABLE)
def test_help_works_without_the_optional_libraries(name):
    code = HELP.format(rivals=OPTIONAL, name=name)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"python -m benchmarks.{name}" in run.stdout


def test_a_target_is_met_on_its_own_side_and_never_by_nan():
    assert Bar("speed", 1.6, 1.5, at_most=False).met and not Bar("speed", 1.6, 1.5).met
    assert not Bar("bias", float("nan"), 0.02).met


def test_a_missing_column_is_an_empty_cell():
    assert columns(RESULT["rows"]) == ["method", "WAPE", "seconds"]
    assert "| mean |  | 2 |" in page({"forecast": RESULT})


def test_a_missed_target_is_marked():
    assert "- **missed**: WAPE: 0.33, at most 0.325" in page({"forecast": RESULT})


def test_a_note_is_printed_above_the_table():
    text = page({"forecast": {**RESULT, "note": "Four weeks ahead."}})
    assert text.index("Four weeks ahead.") < text.index("| method |")


def test_a_written_result_is_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.report.RESULTS", tmp_path)
    bars = [Bar("WAPE", 0.33, 0.325)]
    write_result(
        "forecast", RESULT["title"], RESULT["command"], RESULT["rows"], bars, Plot("method", "WAPE")
    )
    assert load_results() == {"forecast": RESULT}


def test_a_plot_skips_rows_without_the_value(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.report.IMAGES", tmp_path)
    draw_plot("forecast", RESULT)
    assert (tmp_path / "bench-forecast.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("value", "cell"), [(0.0, "0"), (1234.5, "1,234"), (True, "True")])
def test_values_are_formatted_for_a_cell(value, cell):
    assert format_value(value) == cell
