"""`pricebook frontier`: the prices of each objective, on a real slice with a champion."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from conftest import AS_OF
from rich.console import Console

from cli.demo.summary import prices
from cli.reports import objectives_table
from pipelines.reports.frontier import frontier
from pricebook.config import Params
from pricebook.files import read_json


@pytest.fixture(scope="module")
def report(promoted, params):
    return frontier(AS_OF, params, promoted)


@pytest.fixture(scope="module")
def outcomes(report):
    return {row["objective"]: row for row in report["outcomes"]}


def test_the_objective_of_params_comes_first(report):
    assert [row["objective"] for row in report["outcomes"]][:2] == ["calibrated", "profit"]


def test_in_the_short_run_almost_every_best_price_is_the_list_price(outcomes):
    assert outcomes["profit"]["at_list"] > 0.9
    assert outcomes["calibrated"]["at_list"] < 0.8


def test_prices_below_list_are_caused_by_the_model_and_not_by_a_limit(outcomes):
    assert outcomes["calibrated"]["below"] > 0.1
    assert outcomes["calibrated"]["from_model"] >= 0.9


def test_volume_sells_more_than_calibrated_and_no_less_than_at_list_prices(outcomes):
    assert outcomes["volume"]["units"] > outcomes["calibrated"]["units"] > 0
    assert outcomes["volume"]["price_index"] < outcomes["calibrated"]["price_index"] < 1


def test_the_frontier_trades_profit_for_units(report):
    units = [point["units"] for point in report["frontier"]]
    profit = [point["profit"] for point in report["frontier"]]
    assert (np.diff(units) >= 0).all()
    assert (np.diff(profit) <= 1e-9).all()


def test_the_figures_and_the_plot_are_written(report, promoted):
    folder = promoted.state / "frontier"
    assert json.loads((folder / "frontier.json").read_text())["outcomes"] == report["outcomes"]
    assert (folder / "frontier.png").read_bytes()[:4] == b"\x89PNG"


def test_an_objective_that_is_a_number_is_compared_too(promoted, params):
    stronger = Params.model_validate({**params.model_dump(by_alias=True), "objective": -4.0})
    first = frontier(AS_OF, stronger, promoted)["outcomes"][0]
    assert first["objective"] == "long-run term in params"
    assert first["below"] > 0.1


def test_the_command_prints_a_row_for_each_objective(report):
    console = Console(width=140, record=True)
    console.print(objectives_table(report["outcomes"]))
    text = console.export_text()
    assert all(name in text for name in ("calibrated", "profit", "volume", "revenue"))


def test_the_summary_of_the_demo_states_both_runs_and_their_intervals(report, promoted):
    console = Console(width=140, record=True)
    console.print(prices(read_json(promoted.report("gate")), report))
    text = console.export_text()
    assert "long-run profit, judged" in text
    assert "short-run profit, judged" in text
    assert "of today's; 90 % interval" in text


def test_without_costs_every_price_is_the_list_price(promoted, params, monkeypatch):
    def without_costs(name, settings, columns=None):
        book = pd.read_parquet(settings.features / f"{name}.parquet", columns=columns)
        return book.assign(unit_cost=np.nan) if name == "price_book" else book

    monkeypatch.setattr("pipelines.bundle.read_features", without_costs)
    for outcome in frontier(AS_OF, params, promoted)["outcomes"]:
        assert (outcome["at_list"], outcome["below"], outcome["units"]) == (1, 0, 0)
