"""Segments of the simulated market, recovered from order lines, and their price response."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from models.response.segments import segment_deviations
from pipelines.featurize import featurize
from pricebook.config import Featurize, Params, Settings, Shop
from pricebook.simulation.market import SEGMENTS, Market, Spec

MONDAY, WEEKS = date(2024, 1, 1), 60
SEGMENT_OF = {"regular": "loyal", "occasional": "occasional", "deal seeker": "deal seeker"}


@pytest.fixture(scope="module")
def market():
    return Market.draw(Spec(skus=40, categories=4, shoppers=1500))


@pytest.fixture(scope="module")
def features(market, tmp_path_factory):
    """The feature files of a shop in that market."""
    home = Settings(home=tmp_path_factory.mktemp("home"))
    home.validated.mkdir(parents=True)
    weeks = list(simulate(market))
    for table, frames in zip(("orders", "promotions"), zip(*weeks, strict=True), strict=True):
        pd.concat(frames).to_parquet(home.validated / f"{table}.parquet", index=False)
    params = Params(shop=Shop(name="market", source="files"), featurize=Featurize(min_periods=20))
    featurize(MONDAY + timedelta(weeks=WEEKS), params, home)
    return {path.stem: pd.read_parquet(path) for path in home.features.glob("*.parquet")}


def simulate(market):
    random, state = np.random.default_rng(5), market.opening()
    for number in range(WEEKS):
        start = pd.Timestamp(MONDAY + timedelta(weeks=number), tz="UTC")
        offer = market.policy(state, random)
        state, sold = market.step(state, offer, random)
        yield lines(market, offer, sold, start), displays(offer, start)


def lines(market, offer, sold, start):
    return pd.DataFrame(
        {
            "order_id": [f"{start:%y%m%d}-{visit}" for visit in sold.visit],
            "ordered_at": start + pd.to_timedelta(sold.minute, unit="min"),
            "customer_id": sold.shopper.astype(str),
            "sku": sold.sku.astype(str),
            "quantity": sold.units,
            "net_amount": offer.price[sold.sku] * sold.units,
            "list_amount": market.list_price[sold.sku] * sold.units,
        }
    )


def displays(offer, start):
    skus = np.flatnonzero(offer.display).astype(str)
    ends = start + pd.Timedelta(weeks=1)
    return pd.DataFrame({"sku": skus, "kind": "display", "starts_at": start, "ends_at": ends})


def log_prices(features):
    """One row per sku and week: its log price, and whether it was on display."""
    rows = features["sku_period"]
    return rows.assign(price_residual=np.log(rows.price))[
        ["sku", "zone", "period", "price_residual", "display"]
    ]


def by_name(deviation):
    frame = pd.DataFrame({"deviation": deviation.deviation, "own": deviation.own})
    return frame.set_axis(list(deviation.names))


def test_the_segments_match_the_kinds_of_shoppers_of_the_market(market, features):
    rows = features["shopper"].sort_values("event_timestamp").groupby("customer_id").last()
    kind = pd.Series([SEGMENTS[market.segment[int(number)]] for number in rows.index], rows.index)
    assert (kind.map(SEGMENT_OF) == rows.segment).mean() > 0.7


def test_deal_seekers_respond_more_to_prices_and_loyal_shoppers_less(features):
    segments = by_name(segment_deviations(features["segment_period"], log_prices(features)))
    assert segments.own[["deal seeker", "loyal"]].all()
    assert segments.deviation["deal seeker"] < -0.2 < 0.1 < segments.deviation["loyal"]


def test_segments_drawn_at_random_respond_like_the_shop(features):
    split = (
        features["segment_period"].groupby(["sku", "zone", "period"], as_index=False).units.sum()
    )
    heads = np.random.default_rng(2).binomial(split.units, 0.4)
    halves = [
        split.assign(segment="heads", units=heads),
        split.assign(segment="tails", units=split.units - heads),
    ]
    segments = by_name(segment_deviations(pd.concat(halves), log_prices(features)))
    assert not segments.own.any()
    assert (segments.deviation == 0).all()
