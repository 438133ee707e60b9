"""`pricebook backtest`: forecasts and scores of every method, from origins in the past."""

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


def results(home):
    folder = home / ".pricebook" / "backtest"
    return pd.read_parquet(folder / "forecasts.parquet"), json.loads(
        (folder / "scores.json").read_text()
    )


@pytest.fixture(scope="module")
def home(kiosk, pricebook):
    """The kiosk with the features that its stages made."""
    for stage in ("ingest", "validate", "featurize"):
        assert pricebook(stage).exit_code == 0
    return kiosk


@pytest.fixture(scope="module")
def printed(home, pricebook):
    return pricebook("backtest")


@pytest.fixture(scope="module")
def forecasts(home, printed):
    assert printed.exception is None
    return results(home)[0]


@pytest.fixture(scope="module")
def changed_home(home, forecasts, pricebook, tmp_path_factory):
    """The last origin again, in a copy of the home with other sales in the weeks after it."""
    copy = tmp_path_factory.mktemp("changed") / "home"
    shutil.copytree(home, copy)
    file = copy / "data" / "features" / "sku_period.parquet"
    rows = pd.read_parquet(file)
    later = pd.to_datetime(rows["period"]) >= forecasts["origin"].max()
    rows.assign(units=rows["units"].where(~later, 999)).to_parquet(file)
    printed = pricebook("backtest", "--cutoffs", "1", "--ets-series", "3", home=copy)
    assert printed.exception is None
    return printed, *results(copy)


def test_every_method_forecasts_every_series_from_every_origin(forecasts):
    assert forecasts["method"].unique().tolist() == METHODS
    sizes = forecasts.groupby(["method", "origin"]).size()
    assert len(sizes) == 2 * len(METHODS) and set(sizes) == {SERIES * HORIZON}
    assert not forecasts.duplicated([*KEY, "method"]).any()


def test_a_forecast_covers_the_periods_from_its_origin_on(forecasts):
    ahead = (pd.to_datetime(forecasts["period"]) - forecasts["origin"]).dt.days / 7
    assert set(ahead) == set(range(HORIZON))


def test_each_forecast_has_the_units_that_were_sold(forecasts, kiosk):
    orders = pd.read_parquet(kiosk / "orders.parquet")
    week = orders["ordered_at"].dt.tz_localize(None).dt.normalize()
    sold = orders.assign(period=week).groupby(KEY)["quantity"].sum()
    ours = forecasts[forecasts["method"] == "Pricebook"].set_index(KEY)["units"]
    pd.testing.assert_series_equal(
        ours, sold.reindex(ours.index, fill_value=0), check_names=False, check_dtype=False
    )


def test_only_our_method_has_quantiles_and_they_are_in_order(forecasts):
    ours = forecasts["method"] == "Pricebook"
    assert (np.diff(forecasts.loc[ours, QUANTILES], axis=1) >= 0).all()
    assert forecasts.loc[~ours, QUANTILES].isna().all(axis=None)


def test_the_scores_follow_from_the_forecasts(forecasts, home, printed):
    scores = results(home)[1]["scores"]
    for row, (name, rows) in zip(scores, forecasts.groupby("method", sort=False), strict=True):
        error = (rows["units"] - rows["mean"]).abs().sum() / rows["units"].sum()
        assert (row["method"], row["WAPE"]) == (name, pytest.approx(error))
        assert name in printed.output and f"{error:.3f}" in printed.output


def test_the_scores_are_drawn(home, forecasts):
    assert (home / ".pricebook" / "backtest" / "backtest.png").read_bytes()[1:4] == b"PNG"


def test_sales_after_an_origin_do_not_change_its_forecasts(forecasts, changed_home):
    newest = forecasts["origin"] == forecasts["origin"].max()
    last = forecasts[newest & (forecasts["method"] != "AutoETS")]
    changed = changed_home[1][changed_home[1]["method"] != "AutoETS"]
    assert (changed["units"] == 999).all()
    columns = [*KEY, "method", "mean", *QUANTILES]
    pd.testing.assert_frame_equal(
        last[columns].reset_index(drop=True), changed[columns].reset_index(drop=True)
    )


def test_every_method_is_scored_on_the_sample_that_autoets_forecasts(changed_home):
    printed, forecasts, report = changed_home
    assert forecasts.groupby("method")["sku"].size()["AutoETS"] == 3 * HORIZON
    assert [row["method"] for row in report["scores"]] == METHODS[:-1]
    assert [row["method"] for row in report["sample"]] == METHODS
    assert "The same for the 3 series that AutoETS forecast" in printed.output


def test_the_largest_series_are_those_with_most_units():
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
def test_a_backtest_that_cannot_run_says_why(home, pricebook, words, error, cause):
    result = pricebook("backtest", *words).exception
    assert isinstance(result, error) and cause in str(result)


@pytest.mark.parametrize("words", [["--cutoffs", "0"], ["--max-series", "0"], ["--horizon", "x"]])
def test_an_invalid_number_is_refused_with_its_option(pricebook, words):
    result = pricebook("backtest", *words)
    assert result.exit_code == 2 and words[0] in result.output


def test_a_missing_file_of_the_shop_is_named(pricebook, kiosk, tmp_path):
    params = shutil.copy(kiosk / "params.yaml", tmp_path)
    result = pricebook("backtest", home=tmp_path, params=params).exception
    assert isinstance(result, SourceError) and str(tmp_path / "orders.parquet") in str(result)


def test_a_failed_backtest_leaves_the_last_result(home, forecasts, pricebook):
    before = results(home)[1]
    assert pricebook("backtest", "--cutoffs", "30").exit_code == 1
    assert results(home)[1] == before
