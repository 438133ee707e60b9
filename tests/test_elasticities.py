"""`pricebook elasticities`: the truth of a made-up shop, its errors, and a home left as it was."""

import json

import numpy as np
import pandas as pd
import pytest

from pipelines.reports.elasticities import least_squares
from pricebook.errors import ConfigError, EmptyHistory

TRUTH = -2.0


@pytest.fixture(scope="module")
def printed(pricebook):
    said = pricebook("elasticities", "--rows", "3")
    assert said.exception is None
    return said.output


@pytest.fixture(scope="module")
def folder(kiosk, printed):
    return kiosk / ".pricebook" / "elasticities"


@pytest.fixture(scope="module")
def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("name", ["own", "by_sku"])
def test_every_elasticity_is_near_the_truth_within_its_errors(folder, name):
    found = pd.read_parquet(folder / f"{name}.parquet")
    assert (found["elasticity"] - TRUTH).abs().max() < 0.4
    assert ((found["low"] < TRUTH) & (found["high"] > TRUTH)).mean() > 0.8
    assert (found["low"] < found["elasticity"]).all() and (found["high"] < 0).all()


def test_a_row_is_a_sku_in_a_zone_and_by_sku_a_sku(folder):
    own = pd.read_parquet(folder / "own.parquet")
    assert set(zip(own["sku"], own["zone"], strict=True)) == {
        (f"sku{number}", zone) for number in range(8) for zone in ("north", "south")
    }
    assert set(own["segment"]) == {"everyone"}
    assert pd.read_parquet(folder / "by_sku.parquet")["sku"].is_unique


def test_prices_of_others_that_do_not_matter_have_elasticities_near_nothing(folder):
    cross = pd.read_parquet(folder / "cross.parquet")
    assert set(cross["kind"]) == {"category", "sku"}
    assert set(cross.loc[cross["kind"] == "category", "rival"]) == {"tea", "jam"}
    assert (cross["elasticity"].abs() < 3 * cross["stderr"]).mean() > 0.9


def test_the_pooled_elasticity_stands_beside_what_a_first_look_says(summary):
    assert summary["pooled"] == pytest.approx(TRUTH, abs=3 * summary["pooled_stderr"])
    assert summary["naive"] == pytest.approx(TRUTH, abs=0.3)
    assert (summary["as_of"], summary["series"]) == ("2025-02-24", 16)


def test_it_prints_the_surest_rows_and_the_pooled_figure(printed, summary):
    assert "Own price (the 3 most precise of 8)" in printed
    assert (
        f"Pooled {summary['pooled']:.2f} ± {summary['pooled_stderr']:.2f} over 16 series" in printed
    )


def test_it_draws_the_intervals(folder):
    assert (folder / "elasticities.png").read_bytes()[1:4] == b"PNG"


def test_judging_at_another_level_leaves_the_features_of_the_home_alone(kiosk, pricebook, tmp_path):
    for stage in ("ingest", "validate", "featurize"):
        assert pricebook(stage, home=tmp_path).exit_code == 0
    manifest = tmp_path / "data" / "features" / "manifest.json"
    before = manifest.read_text()
    assert pricebook("elasticities", "--level", "sku", home=tmp_path).exit_code == 0
    own = pd.read_parquet(tmp_path / ".pricebook" / "elasticities" / "own.parquet")
    assert set(own["zone"]) == {"all"}
    assert manifest.read_text() == before and json.loads(before)["by_zone"]


def test_only_the_largest_series_are_judged_where_so_asked(pricebook, tmp_path):
    said = pricebook("elasticities", "--max-series", "4", home=tmp_path)
    assert said.exception is None and "over 4 series." in said.output


def test_least_squares_is_freed_of_levels_and_of_what_all_share_in_a_period():
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


def test_least_squares_says_nothing_of_a_price_that_never_moved():
    panel = pd.DataFrame({"sku": "a", "zone": "all", "period": [1, 2], "price": 5.0, "units": 3})
    assert np.isnan(least_squares(panel))


@pytest.mark.parametrize(
    ("words", "error", "cause"),
    [
        (["--level", "aisle"], ConfigError, "must be sku or zone. Received: 'aisle'"),
        (["--as-of", "2023-01-01"], EmptyHistory, "the first is of 2024-01-01"),
        (["--as-of", "2024-02-01"], EmptyHistory, "lower featurize.min_periods"),
    ],
)
def test_what_cannot_be_judged_says_why(pricebook, words, error, cause):
    said = pricebook("elasticities", *words).exception
    assert isinstance(said, error) and cause in str(said)


def test_a_shop_whose_orders_have_no_zone_has_no_series_by_zone(pricebook, kiosk, tmp_path):
    orders = pd.read_parquet(kiosk / "orders.parquet").drop(columns="zone")
    orders.to_parquet(tmp_path / "orders.parquet")
    for name in ("products.parquet", "params.yaml"):
        (tmp_path / name).write_bytes((kiosk / name).read_bytes())
    said = pricebook(
        "elasticities", "--level", "zone", home=tmp_path, params=tmp_path / "params.yaml"
    ).exception
    assert isinstance(said, ConfigError) and "needs a zone in orders" in str(said)
