"""A segment has its own elasticity where that foretells what it buys, and else the shop's."""

import numpy as np
import pandas as pd
import pytest

from models.response.segments import EVERYONE, _shrink, segment_deviations, with_own_elasticity

SHARES = {"deal seeker": 0.25, "loyal": 0.45, "occasional": 0.3}
APART = {"deal seeker": -0.9, "loyal": 0.5, "occasional": 0.0}
ALIKE = dict.fromkeys(SHARES, 0.0)


def market(own, seed=1, skus=40, periods=48, units=40, unrest=0.1):
    """segment_period and priced rows; `unrest` is a segment's own noise in a sku and period."""
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
        log = own[name] * priced.price_residual + random.normal(0, unrest, len(grid))
        bought = random.poisson(units * share * np.exp(log))
        frames.append(priced[["sku", "zone", "period"]].assign(segment=name, units=bought))
    return pd.concat(frames), priced


def by_name(found):
    frame = pd.DataFrame({"deviation": found.deviation, "stderr": found.stderr, "own": found.own})
    return frame.set_axis(list(found.names))


def test_deal_seekers_come_out_more_elastic_and_the_loyal_less():
    found = by_name(segment_deviations(*market(APART)))
    mix = sum(SHARES[name] * APART[name] for name in SHARES)
    assert found.own[["deal seeker", "loyal"]].all()
    for name in ("deal seeker", "loyal"):
        truth, error = APART[name] - mix, found.stderr[name]
        assert found.deviation[name] == pytest.approx(truth, abs=max(3 * error, 0.1))


def test_segments_that_respond_alike_get_the_shops_elasticity():
    found = [segment_deviations(*market(ALIKE, seed, skus=20)) for seed in range(30)]
    assert np.mean([one.own for one in found]) <= 0.1
    assert np.abs([one.deviation for one in found]).mean() < 0.01


def test_what_is_not_its_own_is_the_shops_with_an_error():
    found = by_name(segment_deviations(*market(ALIKE, seed=2)))
    assert (found.deviation[~found.own] == 0).all()
    assert (np.isfinite(found.stderr) & (found.stderr > 0)).all()


def test_a_response_that_does_not_last_is_not_kept():
    early, priced = market(APART, seed=3)
    late, late_priced = market({name: -value for name, value in APART.items()}, seed=3)
    last = np.sort(priced.period.unique())[36]
    turned = pd.concat([early[early.period < last], late[late.period >= last]])
    both = pd.concat([priced[priced.period < last], late_priced[late_priced.period >= last]])
    assert not segment_deviations(turned, both).own.any()


def test_unrest_that_no_multinomial_has_widens_the_errors():
    calm, restless = (
        segment_deviations(*market(APART, unrest=unrest)).stderr for unrest in (0.0, 0.6)
    )
    assert (restless > 1.2 * calm).all()


def test_estimates_are_shrunk_towards_the_shop():
    deviation, stderr = np.array([-0.5, 0.1, 0.3]), np.array([0.01, 0.2, 2.0])
    kept = _shrink(deviation, stderr) / deviation
    assert kept == pytest.approx([1, 0.78, 0.03], abs=0.01)


@pytest.mark.parametrize("periods", [1, 5, 15])
def test_too_few_periods_to_hold_out_keep_the_shops(periods):
    found = segment_deviations(*market(APART, periods=periods))
    assert not found.own.any()
    assert (found.deviation == 0).all()


def test_no_segments_or_one_give_none_without_an_error():
    rows, priced = market(APART, periods=4)
    assert segment_deviations(rows.iloc[:0], priced).names == ()
    one = segment_deviations(rows[rows.segment == "loyal"], priced)
    assert one.deviation.tolist() == [0.0]
    assert np.isinf(one.stderr).all()


def test_a_segment_that_buys_nothing_for_a_while_is_no_error():
    rows, priced = market(APART)
    late = rows.period >= np.sort(priced.period.unique())[30]
    rows.loc[(rows.segment == "loyal") & late, "units"] = 0
    rows.loc[rows.segment == "occasional", "units"] = 0
    found = segment_deviations(rows, priced)
    assert np.isfinite(found.deviation).all()
    assert np.isfinite(found.stderr).all()


def test_which_segments_have_their_own_elasticity_is_told():
    rows = [("a", EVERYONE, -2.0), ("a", "loyal", -2.0), ("a", "deal seeker", -2.4)]
    told = pd.DataFrame(rows, columns=["sku", "segment", "elasticity"]).assign(zone="all")
    assert with_own_elasticity(told) == ("deal seeker",)
    assert with_own_elasticity(told[:1]) == ()
