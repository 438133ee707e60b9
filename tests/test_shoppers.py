"""Shoppers of the simulated market, told apart and understood from their order lines alone."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from models.response.segments import deviations
from pipelines.featurize import featurize
from pricebook.config import Featurize, Params, Settings, Shop
from pricebook.simulation.market import SEGMENTS, Market, Spec

MONDAY, WEEKS = date(2024, 1, 1), 60
FOUND_AS = {"regular": "loyal", "occasional": "occasional", "deal seeker": "deal seeker"}


@pytest.fixture(scope="module")
def market():
    return Market.draw(Spec(skus=40, categories=4, shoppers=1500))


@pytest.fixture(scope="module")
def features(market, tmp_path_factory):
    """The feature files of a shop in that market."""
    home = Settings(home=tmp_path_factory.mktemp("home"))
    home.validated.mkdir(parents=True)
    weeks = list(played(market))
    for table, frames in zip(("orders", "promotions"), zip(*weeks, strict=True), strict=True):
        pd.concat(frames).to_parquet(home.validated / f"{table}.parquet", index=False)
    params = Params(shop=Shop(name="market", source="files"), featurize=Featurize(min_periods=20))
    featurize(MONDAY + timedelta(weeks=WEEKS), params, home)
    return {path.stem: pd.read_parquet(path) for path in home.features.glob("*.parquet")}


def played(market):
    random, state = np.random.default_rng(5), market.opening()
    for number in range(WEEKS):
        start = pd.Timestamp(MONDAY + timedelta(weeks=number), tz="UTC")
        offer = market.policy(state, random)
        state, sold = market.step(state, offer, random)
        yield lines(market, offer, sold, start), shown(offer, start)


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


def shown(offer, start):
    skus = np.flatnonzero(offer.display).astype(str)
    ends = start + pd.Timedelta(weeks=1)
    return pd.DataFrame({"sku": skus, "kind": "display", "starts_at": start, "ends_at": ends})


def priced(features):
    """One row a sku and week: its log price, and whether it was on display."""
    rows = features["sku_period"]
    return rows.assign(price_residual=np.log(rows.price))[
        ["sku", "zone", "period", "price_residual", "display"]
    ]


def by_name(found):
    frame = pd.DataFrame({"deviation": found.deviation, "own": found.own})
    return frame.set_axis(list(found.names))


def test_the_markets_kinds_of_shoppers_are_told_apart(market, features):
    people = features["shopper"].sort_values("event_timestamp").groupby("customer_id").last()
    kind = pd.Series([SEGMENTS[market.segment[int(one)]] for one in people.index], people.index)
    assert (kind.map(FOUND_AS) == people.segment).mean() > 0.7


def test_deal_seekers_found_respond_more_and_the_loyal_less(features):
    found = by_name(deviations(features["segment_period"], priced(features)))
    assert found.own[["deal seeker", "loyal"]].all()
    assert found.deviation["deal seeker"] < -0.2 < 0.1 < found.deviation["loyal"]


def test_shoppers_split_by_lot_respond_as_the_shop(features):
    split = (
        features["segment_period"].groupby(["sku", "zone", "period"], as_index=False).units.sum()
    )
    heads = np.random.default_rng(2).binomial(split.units, 0.4)
    halves = [
        split.assign(segment="heads", units=heads),
        split.assign(segment="tails", units=split.units - heads),
    ]
    found = by_name(deviations(pd.concat(halves), priced(features)))
    assert not found.own.any()
    assert (found.deviation == 0).all()
