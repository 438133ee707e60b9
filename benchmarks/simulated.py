"""A shop drawn from the simulated market: its panel, and the truth behind it.

The shop keeps its habit (`Market.policy`): it cuts prices and sets displays and mailers where it
expects to sell, so price, promotion and season are confounded as in a real order book.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pricebook.simulation.market import Market, Offer, Spec, State, Totals

Floats = NDArray[np.float64]

OPENING = "2023-01-02"
WARM_UP = 8  # weeks before the first that is kept, in which stock and rivals settle
SHORT = 0.7  # of a week out of stock, at most this share has a shelf to buy from
CATEGORIES_OF_A_DEPARTMENT = 4


@dataclass(frozen=True)
class Simulated:
    """A played market.

    panel: the columns of `sku_period`, with `demand` (what was asked for) beside `units` (sold).
    own: sku, zone, elasticity; the truth of a sku is the mean over its weeks as they were offered,
        weighted by what it was expected to sell.
    cross: sku, rival, kind, elasticity over all zones. Of kind "sku" the rival is another sku of
        the category, of "category" all of them together, of "competitor" the cheapest rival shop.
    """

    market: Market
    panel: pd.DataFrame
    own: pd.DataFrame
    cross: pd.DataFrame

    @property
    def by_sku(self) -> pd.DataFrame:
        """sku, elasticity: `own` over all zones, weighted by their units."""
        weight = self.panel.groupby(["sku", "zone"])["demand"].sum().rename("weight")
        own = self.own.join(weight, on=["sku", "zone"])
        own["elasticity"] *= own["weight"]
        sums = own.groupby("sku")[["elasticity", "weight"]].sum()
        return (sums["elasticity"] / sums["weight"]).rename("elasticity").reset_index()


@dataclass(frozen=True)
class Week:
    """A week as it was: what it began with, what was asked, what was sold, true elasticities."""

    state: State
    offer: Offer
    totals: Totals
    expected: Floats
    elasticity: Floats


def simulated(
    seed: int,
    *,
    skus: int = 60,
    categories: int = 8,
    weeks: int = 104,
    zones: int = 1,
    shoppers: int = 1000,
    out_of_stock: float = 0.0,
) -> Simulated:
    """Play a market under the shop's own habit.

    Args:
        zones: markets with the same skus, costs and slopes; each has its own size, appeal, prices.
        shoppers: of the average zone.
        out_of_stock: share of sku-weeks in which a delivery fails, so that the shelf is empty for
            most of the week.
    """
    spec = Spec(skus=skus, categories=categories, shoppers=shoppers, seed=seed)
    market = Market.draw(spec)
    places = [market.zone(number) for number in range(zones)] if zones > 1 else [market]
    played = [play(place, weeks, out_of_stock) for place in places]
    labels = [f"Z{number + 1:02}" for number in range(zones)] if zones > 1 else ["all"]
    rows = [panel(market, of_zone, label) for of_zone, label in zip(played, labels, strict=True)]
    own = [
        pd.DataFrame({"sku": names(market), "zone": label, "elasticity": np.diag(truth([of_zone]))})
        for of_zone, label in zip(played, labels, strict=True)
    ]
    whole = pd.concat(rows, ignore_index=True).sort_values(["sku", "zone", "period"])
    return Simulated(
        market,
        whole.reset_index(drop=True),
        pd.concat(own).sort_values(["sku", "zone"]).reset_index(drop=True),
        _cross(market, truth(played)),
    )


def play(market: Market, weeks: int, out_of_stock: float = 0.0) -> list[Week]:
    """Weeks of the shop's own habit; the warm-up is not among them."""
    rng, state, weeks_played = np.random.default_rng([market.spec.seed, 3]), market.opening(), []
    for _ in range(WARM_UP + weeks):
        offer = market.policy(state, rng)
        fails = rng.random(market.spec.skus) < out_of_stock
        supply = np.where(fails, rng.uniform(0, SHORT, market.spec.skus), 1.0)
        expected, slopes = market.demand(state, offer), market.elasticity(state, offer)
        following, totals = market.trade(state, offer, rng, supply)
        weeks_played.append(Week(state, offer, totals, expected, slopes))
        state = following
    return weeks_played[WARM_UP:]


def truth(zones: list[list[Week]]) -> Floats:
    """Elasticities (n, n) over weeks, weighted by the expected units of the row's sku."""
    weeks = [week for of_zone in zones for week in of_zone]
    expected = np.array([week.expected for week in weeks])
    slopes = np.array([week.elasticity for week in weeks])
    return np.asarray(np.einsum("tn,tnm->nm", expected, slopes) / expected.sum(axis=0)[:, None])


def panel(market: Market, weeks: list[Week], zone: str) -> pd.DataFrame:
    """One row per sku and week."""
    periods = pd.date_range(OPENING, periods=len(weeks), freq="7D")
    rows = [_rows(market, week, period) for week, period in zip(weeks, periods, strict=True)]
    return pd.concat(rows, ignore_index=True).assign(zone=zone)


def names(market: Market) -> list[str]:
    return [f"A{1000 + number}" for number in range(market.spec.skus)]


def _rows(market: Market, week: Week, period: pd.Timestamp) -> pd.DataFrame:
    offer, place = week.offer, market.category
    return pd.DataFrame(
        {
            "sku": names(market),
            "period": period,
            "units": week.totals.units,
            "demand": week.totals.demand,
            "price": offer.price.astype(float),
            "display": offer.display.astype(float),
            "mailer": np.broadcast_to(offer.mailer, place.shape).astype(float),
            "promotion": (offer.price < market.list_price).astype(float),
            "on_hand_share": week.totals.on_hand_share,
            "competitor_price": week.state.rivals.min(axis=1).astype(float),
            "list_price": market.list_price,
            "unit_cost": market.unit_cost,
            "department": [
                f"department {number // CATEGORIES_OF_A_DEPARTMENT}" for number in place
            ],
            "category": [f"category {number}" for number in place],
            "product_type": [f"category {c}: {n % 2}" for n, c in enumerate(place)],
        }
    )


def _cross(market: Market, elasticity: Floats) -> pd.DataFrame:
    sku, place = np.array(names(market)), market.category
    row, column = np.nonzero(np.equal.outer(place, place) & ~np.eye(len(place), dtype=bool))
    pairs = {"sku": sku[row], "rival": sku[column], "elasticity": elasticity[row, column]}
    others = elasticity.sum(axis=1) - np.diag(elasticity)
    category = {"sku": sku, "rival": [f"category {c}" for c in place], "elasticity": others}
    own = np.diag(elasticity)
    shops = {"sku": sku, "rival": "competitor", "elasticity": -market.spec.rivalry * own}
    kinds = {"sku": pairs, "category": category, "competitor": shops}
    frames = [pd.DataFrame(columns).assign(kind=kind) for kind, columns in kinds.items()]
    return pd.concat(frames, ignore_index=True)[["sku", "rival", "kind", "elasticity"]]


def seed_range(description: str | None, many: int) -> range:
    """The seeds that the command line asks for: the first `many` if it does not say."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=many)
    parser.add_argument("--first", type=int, default=0, help="seed to begin with")
    arguments = parser.parse_args()
    return range(arguments.first, arguments.first + arguments.seeds)
