"""`pricebook backtest`: every method's forecasts and scores, from origins that see no further."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from pipelines.reports.backtest import largest_series
from pricebook.errors import ConfigError, EmptyHistory, SourceError

KEY = ["sku", "zone", "period"]
QUANTILES = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]
METHODS = ["Pricebook", "seasonal naive", "mean of the last four", "AutoETS"]
SERIES, HORIZON = 16, 4


def written(home):
    folder = home / ".pricebook" / "backtest"
    return pd.read_parquet(folder / "forecasts.parquet"), json.loads(
        (folder / "scores.json").read_text()
    )


@pytest.fixture(scope="module")
def home(kiosk, pricebook):
    """The kiosk with its own features, as the stages leave them."""
    for stage in ("ingest", "validate", "featurize"):
        assert pricebook(stage).exit_code == 0
    return kiosk


@pytest.fixture(scope="module")
def printed(home, pricebook):
    return pricebook("backtest")


@pytest.fixture(scope="module")
def told(home, printed):
    assert printed.exception is None
    return written(home)[0]


@pytest.fixture(scope="module")
def again(home, told, pricebook, tmp_path_factory):
    """The last origin once more, in a copy of the home where the weeks after it sold otherwise."""
    copy = tmp_path_factory.mktemp("otherwise") / "home"
    shutil.copytree(home, copy)
    file = copy / "data" / "features" / "sku_period.parquet"
    rows = pd.read_parquet(file)
    later = pd.to_datetime(rows["period"]) >= told["origin"].max()
    rows.assign(units=rows["units"].where(~later, 999)).to_parquet(file)
    printed = pricebook("backtest", "--cutoffs", "1", "--ets-series", "3", home=copy)
    assert printed.exception is None
    return printed, *written(copy)


def test_every_method_forecasts_every_series_from_every_origin(told):
    assert told["method"].unique().tolist() == METHODS
    sizes = told.groupby(["method", "origin"]).size()
    assert len(sizes) == 2 * len(METHODS) and set(sizes) == {SERIES * HORIZON}
    assert not told.duplicated([*KEY, "method"]).any()


def test_a_forecast_is_of_the_periods_from_its_origin_on(told):
    ahead = (pd.to_datetime(told["period"]) - told["origin"]).dt.days / 7
    assert set(ahead) == set(range(HORIZON))


def test_what_was_sold_stands_beside_what_was_forecast(told, kiosk):
    orders = pd.read_parquet(kiosk / "orders.parquet")
    week = orders["ordered_at"].dt.tz_localize(None).dt.normalize()
    sold = orders.assign(period=week).groupby(KEY)["quantity"].sum()
    ours = told[told["method"] == "Pricebook"].set_index(KEY)["units"]
    pd.testing.assert_series_equal(
        ours, sold.reindex(ours.index, fill_value=0), check_names=False, check_dtype=False
    )


def test_our_quantiles_are_written_in_order_and_no_one_else_has_any(told):
    ours = told["method"] == "Pricebook"
    assert (np.diff(told.loc[ours, QUANTILES], axis=1) >= 0).all()
    assert told.loc[~ours, QUANTILES].isna().all(axis=None)


def test_the_scores_are_those_of_the_forecasts(told, home, printed):
    scores = written(home)[1]["scores"]
    for row, (name, rows) in zip(scores, told.groupby("method", sort=False), strict=True):
        error = (rows["units"] - rows["mean"]).abs().sum() / rows["units"].sum()
        assert (row["method"], row["WAPE"]) == (name, pytest.approx(error))
        assert name in printed.output and f"{error:.3f}" in printed.output


def test_it_draws_what_it_scored(home, told):
    assert (home / ".pricebook" / "backtest" / "backtest.png").read_bytes()[1:4] == b"PNG"


def test_what_is_sold_after_an_origin_changes_no_forecast_from_it(told, again):
    last = told[(told["origin"] == told["origin"].max()) & (told["method"] != "AutoETS")]
    otherwise = again[1][again[1]["method"] != "AutoETS"]
    assert (otherwise["units"] == 999).all()
    columns = [*KEY, "method", "mean", *QUANTILES]
    pd.testing.assert_frame_equal(
        last[columns].reset_index(drop=True), otherwise[columns].reset_index(drop=True)
    )


def test_where_autoets_forecasts_a_sample_every_method_is_scored_on_it_too(again):
    printed, told, report = again
    assert told.groupby("method")["sku"].size()["AutoETS"] == 3 * HORIZON
    assert [row["method"] for row in report["scores"]] == METHODS[:-1]
    assert [row["method"] for row in report["sample"]] == METHODS
    assert "The same for the 3 series that AutoETS forecast" in printed.output


def test_the_largest_series_are_those_that_sold_most():
    panel = pd.DataFrame({"sku": list("aabbcc"), "zone": "all", "units": [1, 1, 5, 0, 2, 2]})
    assert set(largest_series(panel, 2)["sku"]) == {"b", "c"}
    assert largest_series(panel, None) is panel


@pytest.mark.parametrize(
    ("words", "error", "cause"),
    [
        (["--cutoffs", "30"], EmptyHistory, "need 128 periods. Received: 60 periods"),
        (["--cutoffs", "1", "--horizon", "21"], EmptyHistory, "Received: 60 periods"),
        (["--level", "store"], ConfigError, "must be sku or zone. Received: 'store'"),
        (["--as-of", "2023-01-01"], EmptyHistory, "the first is of 2024-01-01"),
        (["--as-of", "2024-02-01"], EmptyHistory, "lower featurize.min_periods"),
    ],
)
def test_what_cannot_be_judged_says_why(home, pricebook, words, error, cause):
    said = pricebook("backtest", *words).exception
    assert isinstance(said, error) and cause in str(said)


@pytest.mark.parametrize("words", [["--cutoffs", "0"], ["--max-series", "0"], ["--horizon", "x"]])
def test_an_impossible_number_is_refused_with_its_option(pricebook, words):
    said = pricebook("backtest", *words)
    assert said.exit_code == 2 and words[0] in said.output


def test_a_shop_without_its_files_names_the_file(pricebook, kiosk, tmp_path):
    params = shutil.copy(kiosk / "params.yaml", tmp_path)
    said = pricebook("backtest", home=tmp_path, params=params).exception
    assert isinstance(said, SourceError) and str(tmp_path / "orders.parquet") in str(said)


def test_no_failed_judgement_leaves_half_a_result(home, told, pricebook):
    before = written(home)[1]
    assert pricebook("backtest", "--cutoffs", "30").exit_code == 1
    assert written(home)[1] == before
