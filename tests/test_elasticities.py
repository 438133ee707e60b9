"""`pricebook elasticities` estimates the true elasticities of a made-up shop."""

import json

import numpy as np
import pandas as pd
import pytest

from pipelines.reports.elasticities import least_squares
from pricebook.errors import ConfigError, EmptyHistory

TRUTH = -2.0


@pytest.fixture(scope="module")
def printed(pricebook):
    result = pricebook("elasticities", "--rows", "3")
    assert result.exception is None
    return result.output


@pytest.fixture(scope="module")
def folder(kiosk, printed):
    return kiosk / ".pricebook" / "elasticities"


@pytest.fixture(scope="module")
def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("name", ["own", "by_sku"])
def test_elasticities_are_near_the_truth_and_most_intervals_contain_it(folder, name):
    own = pd.read_parquet(folder / f"{name}.parquet")
    assert (own["elasticity"] - TRUTH).abs().max() < 0.4
    assert ((own["low"] < TRUTH) & (own["high"] > TRUTH)).mean() > 0.8
    assert (own["low"] < own["elasticity"]).all() and (own["high"] < 0).all()


def test_own_has_a_row_per_sku_and_zone_and_by_sku_a_row_per_sku(folder):
    own = pd.read_parquet(folder / "own.parquet")
    assert set(zip(own["sku"], own["zone"], strict=True)) == {
        (f"sku{number}", zone) for number in range(8) for zone in ("north", "south")
    }
    assert set(own["segment"]) == {"everyone"}
    assert pd.read_parquet(folder / "by_sku.parquet")["sku"].is_unique


def test_cross_elasticities_are_near_zero_where_other_prices_have_no_effect(folder):
    cross = pd.read_parquet(folder / "cross.parquet")
    assert set(cross["kind"]) == {"category", "sku"}
    assert set(cross.loc[cross["kind"] == "category", "rival"]) == {"tea", "jam"}
    assert (cross["elasticity"].abs() < 3 * cross["stderr"]).mean() > 0.9


def test_the_summary_has_the_pooled_elasticity_and_the_least_squares_slope(summary):
    assert summary["pooled"] == pytest.approx(TRUTH, abs=3 * summary["pooled_stderr"])
    assert summary["naive"] == pytest.approx(TRUTH, abs=0.3)
    assert (summary["as_of"], summary["series"]) == ("2025-02-24", 16)


def test_it_prints_the_most_precise_rows_and_the_pooled_elasticity(printed, summary):
    assert "Own price (the 3 most precise of 8)" in printed
    figures = f"Pooled {summary['pooled']:.2f} ± {summary['pooled_stderr']:.2f} over 16 series."
    assert figures in printed


def test_it_plots_the_intervals(folder):
    assert (folder / "elasticities.png").read_bytes()[1:4] == b"PNG"


def test_another_level_does_not_change_the_features_of_the_home(kiosk, pricebook, tmp_path):
    for stage in ("ingest", "validate", "featurize"):
        assert pricebook(stage, home=tmp_path).exit_code == 0
    manifest = tmp_path / "data" / "features" / "manifest.json"
    before = manifest.read_text()
    assert pricebook("elasticities", "--level", "sku", home=tmp_path).exit_code == 0
    own = pd.read_parquet(tmp_path / ".pricebook" / "elasticities" / "own.parquet")
    assert set(own["zone"]) == {"all"}
    assert manifest.read_text() == before and json.loads(before)["by_zone"]


def test_the_number_of_series_can_be_limited(pricebook, tmp_path):
    result = pricebook("elasticities", "--max-series", "4", home=tmp_path)
    assert result.exception is None and "over 4 series." in result.output


def test_without_price_changes_it_says_that_the_elasticities_are_assumptions(
    pricebook, kiosk, tmp_path
):
    orders = pd.read_parquet(kiosk / "orders.parquet")
    orders.assign(net_amount=500 * orders["quantity"]).to_parquet(tmp_path / "orders.parquet")
    for name in ("products.parquet", "params.yaml"):
        (tmp_path / name).write_bytes((kiosk / name).read_bytes())
    result = pricebook("elasticities", home=tmp_path, params=tmp_path / "params.yaml")
    assert result.exception is None
    assert "No price varied enough to estimate an elasticity." in result.output
    text = (tmp_path / ".pricebook" / "elasticities" / "summary.json").read_text()
    assert "NaN" not in text and json.loads(text)["naive"] is None


def test_least_squares_removes_series_levels_and_common_shocks_of_a_period():
    price = np.exp(np.random.default_rng(1).normal(0, 0.2, (20, 30)))
    season, level = np.linspace(1, 5, 30), np.linspace(1, 9, 20)[:, None]
    panel = pd.DataFrame(
        {
            "sku": np.repeat(np.arange(20), 30),
            "zone": "all",
            "period": np.tile(np.arange(30), 20),
            "price": price.ravel(),
            "units": (level * season * price**TRUTH).ravel(),
        }
    )
    assert least_squares(panel) == pytest.approx(TRUTH)


def test_least_squares_is_not_defined_for_a_constant_price():
    panel = pd.DataFrame({"sku": "a", "zone": "all", "period": [1, 2], "price": 5.3, "units": 3})
    assert least_squares(panel) is None


@pytest.mark.parametrize(
    ("words", "error", "cause"),
    [
        (["--level", "aisle"], ConfigError, "must be sku or zone. Received: 'aisle'"),
        (["--as-of", "2023-01-01"], EmptyHistory, "the first is of 2024-01-01"),
        (["--as-of", "2024-02-01"], EmptyHistory, "lower featurize.min_periods"),
    ],
)
def test_an_unusable_request_is_a_clear_error(pricebook, words, error, cause):
    exception = pricebook("elasticities", *words).exception
    assert isinstance(exception, error) and cause in str(exception)


def test_a_shop_whose_orders_have_no_zone_has_no_series_by_zone(pricebook, kiosk, tmp_path):
    orders = pd.read_parquet(kiosk / "orders.parquet").drop(columns="zone")
    orders.to_parquet(tmp_path / "orders.parquet")
    for name in ("products.parquet", "params.yaml"):
        (tmp_path / name).write_bytes((kiosk / name).read_bytes())
    exception = pricebook(
        "elasticities", "--level", "zone", home=tmp_path, params=tmp_path / "params.yaml"
    ).exception
    assert isinstance(exception, ConfigError) and "needs a zone in orders" in str(exception)
