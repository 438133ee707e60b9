"""A segment gets its own elasticity where that predicts held-out purchases, else the shop's."""

import numpy as np
import pandas as pd
import pytest

from models.response.segments import (
    EVERYONE,
    _shrink,
    segment_deviations,
    with_own_elasticity,
)

SHARES = {"deal seeker": 0.25, "loyal": 0.45, "occasional": 0.3}
DIFFERENT = {"deal seeker": -0.9, "loyal": 0.5, "occasional": 0.0}
EQUAL = dict.fromkeys(SHARES, 0.0)


def market(own, seed=1, skus=40, periods=48, units=40, noise=0.1):
    """segment_period and priced rows; `noise` is the sd of a segment's own shocks."""
    random = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product(
        [
            [f"sku{n}" for n in range(skus)],
            pd.date_range("2025-01-06", periods=periods, freq="W-MON"),
        ],
        names=["sku", "period"],
    )
    priced = grid.to_frame(index=False).assign(zone="all", display=random.integers(0, 2, len(grid)))
    priced["price_residual"] = random.normal(0, 0.15, len(grid))
    frames = []
    for name, share in SHARES.items():
        log = own[name] * priced.price_residual + random.normal(0, noise, len(grid))
        bought = random.poisson(units * share * np.exp(log))
        frames.append(priced[["sku", "zone", "period"]].assign(segment=name, units=bought))
    return pd.concat(frames), priced


def by_name(result):
    columns = {"deviation": result.deviation, "stderr": result.stderr, "own": result.own}
    return pd.DataFrame(columns, index=list(result.names))


def test_deal_seekers_are_estimated_more_elastic_and_loyal_shoppers_less():
    result = by_name(segment_deviations(*market(DIFFERENT)))
    mix = sum(SHARES[name] * DIFFERENT[name] for name in SHARES)
    assert result.own[["deal seeker", "loyal"]].all()
    for name in ("deal seeker", "loyal"):
        truth, error = DIFFERENT[name] - mix, result.stderr[name]
        assert result.deviation[name] == pytest.approx(truth, abs=max(3 * error, 0.1))


def test_segments_with_equal_responses_get_the_shops_elasticity():
    results = [segment_deviations(*market(EQUAL, seed, skus=20)) for seed in range(30)]
    assert np.mean([result.own for result in results]) <= 0.1
    assert np.abs([result.deviation for result in results]).mean() < 0.01


def test_a_segment_without_its_own_elasticity_has_no_deviation_but_a_standard_error():
    result = by_name(segment_deviations(*market(EQUAL, seed=2)))
    assert (result.deviation[~result.own] == 0).all()
    assert (np.isfinite(result.stderr) & (result.stderr > 0)).all()


def test_a_response_that_changes_in_the_held_out_periods_is_not_used():
    early, priced = market(DIFFERENT, seed=3)
    late, late_priced = market({name: -value for name, value in DIFFERENT.items()}, seed=3)
    last = np.sort(priced.period.unique())[36]
    segments = pd.concat([early[early.period < last], late[late.period >= last]])
    both = pd.concat([priced[priced.period < last], late_priced[late_priced.period >= last]])
    assert not segment_deviations(segments, both).own.any()


def test_noise_beyond_the_multinomial_increases_the_standard_errors():
    low, high = (segment_deviations(*market(DIFFERENT, noise=sd)).stderr for sd in (0.0, 0.6))
    assert (high > 1.2 * low).all()


def test_estimates_are_shrunk_towards_the_shop():
    deviation, stderr = np.array([-0.5, 0.1, 0.3]), np.array([0.01, 0.2, 2.0])
    factor = _shrink(deviation, stderr) / deviation
    assert factor == pytest.approx([1, 0.78, 0.03], abs=0.01)


@pytest.mark.parametrize("periods", [1, 5, 15])
def test_with_too_few_periods_segments_get_the_shops_elasticity(periods):
    result = segment_deviations(*market(DIFFERENT, periods=periods))
    assert not result.own.any()
    assert (result.deviation == 0).all()


def test_no_segment_or_a_single_one_has_no_deviation():
    rows, priced = market(DIFFERENT, periods=4)
    assert segment_deviations(rows.iloc[:0], priced).names == ()
    single = segment_deviations(rows[rows.segment == "loyal"], priced)
    assert single.deviation.tolist() == [0.0]
    assert np.isinf(single.stderr).all()


def test_a_segment_without_purchases_gets_finite_estimates():
    rows, priced = market(DIFFERENT)
    late = rows.period >= np.sort(priced.period.unique())[30]
    rows.loc[(rows.segment == "loyal") & late, "units"] = 0
    rows.loc[rows.segment == "occasional", "units"] = 0
    result = segment_deviations(rows, priced)
    assert np.isfinite(result.deviation).all()
    assert np.isfinite(result.stderr).all()


def test_the_segments_with_their_own_elasticity_are_listed():
    rows = [("a", EVERYONE, -2.0), ("a", "loyal", -2.0), ("a", "deal seeker", -2.4)]
    table = pd.DataFrame(rows, columns=["sku", "segment", "elasticity"]).assign(zone="all")
    assert with_own_elasticity(table) == ("deal seeker",)
    assert with_own_elasticity(table[:1]) == ()
