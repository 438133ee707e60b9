"""A shop in the simulated market: its sales panel, and the true elasticities.

The shop prices by its usual policy (`Market.policy`): it cuts prices and sets displays and mailers
where it expects to sell. So price, promotion and season are confounded, as in real orders.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from pricebook.simulation.market import Market, Offer, Spec, State, Totals

Floats = NDArray[np.float64]
Result = TypeVar("Result")

OPENING = "2023-01-02"
WARM_UP = 8  # first weeks, which are dropped: stock and competitors are not yet stable
SHORT = 0.7  # after a failed delivery, stock lasts for at most this share of the week
CATEGORIES_OF_A_DEPARTMENT = 4


@dataclass(frozen=True)
class SimulatedShop:
    """The history of a simulated shop.

    Attributes:
        market: the market.
        panel: the columns of `sku_period`, and `demand`: the units that shoppers wanted, which are
            more than `units` where stock ran out.
        own: sku, zone, elasticity. The elasticity is the mean of the true elasticities over the
            weeks, weighted by expected units.
        cross: sku, rival, kind, elasticity, over all zones. With kind "sku" the rival is another
            sku of the category, with "category" it is the rest of the category, and with
            "competitor" it is the cheapest competing shop.
    """

    market: Market
    panel: pd.DataFrame
    own: pd.DataFrame
    cross: pd.DataFrame

    @property
    def by_sku(self) -> pd.DataFrame:
        """sku, elasticity: the mean of `own` over the zones, weighted by demand."""
        weight = self.panel.groupby(["sku", "zone"])["demand"].sum().rename("weight")
        own = self.own.join(weight, on=["sku", "zone"])
        own["elasticity"] *= own["weight"]
        sums = own.groupby("sku")[["elasticity", "weight"]].sum()
        return (sums["elasticity"] / sums["weight"]).rename("elasticity").reset_index()


@dataclass(frozen=True)
class Week:
    """A simulated week.

    Attributes:
        state: the market at its start.
        offer: prices, displays and mailers.
        totals: demand and sales.
        expected: expected units [n].
        elasticity: true own and cross elasticities [n, n].
    """

    state: State
    offer: Offer
    totals: Totals
    expected: Floats
    elasticity: Floats


def simulate_shop(
    seed: int,
    *,
    skus: int = 60,
    categories: int = 8,
    weeks: int = 104,
    zones: int = 1,
    shoppers: int = 1000,
    out_of_stock: float = 0.0,
) -> SimulatedShop:
    """Simulate a shop under its usual pricing policy.

    Args:
        seed: the seed of all random numbers.
        skus: the number of skus.
        categories: the number of categories.
        weeks: the length of the history.
        zones: the number of markets. They share skus, costs and slopes, and differ in size, appeal
            and prices.
        shoppers: the number of shoppers in the average zone.
        out_of_stock: the share of sku-weeks in which a delivery fails.
    """
    spec = Spec(skus=skus, categories=categories, shoppers=shoppers, seed=seed)
    market = Market.draw(spec)
    markets = [market.zone(number) for number in range(zones)] if zones > 1 else [market]
    histories = [play(zone, weeks, out_of_stock) for zone in markets]
    labels = [f"Z{number + 1:02}" for number in range(zones)] if zones > 1 else ["all"]
    rows = [panel(market, weeks_, label) for weeks_, label in zip(histories, labels, strict=True)]
    own = [
        pd.DataFrame(
            {
                "sku": sku_names(market),
                "zone": label,
                "elasticity": np.diag(true_elasticities([history])),
            }
        )
        for history, label in zip(histories, labels, strict=True)
    ]
    all_rows = pd.concat(rows, ignore_index=True).sort_values(["sku", "zone", "period"])
    return SimulatedShop(
        market,
        all_rows.reset_index(drop=True),
        pd.concat(own).sort_values(["sku", "zone"]).reset_index(drop=True),
        _cross(market, true_elasticities(histories)),
    )


def play(market: Market, weeks: int, out_of_stock: float = 0.0) -> list[Week]:
    """Simulate weeks under the shop's usual policy. The warm-up weeks are dropped."""
    rng, state, weeks_played = np.random.default_rng([market.spec.seed, 3]), market.opening(), []
    for _ in range(WARM_UP + weeks):
        offer = market.policy(state, rng)
        fails = rng.random(market.spec.skus) < out_of_stock
        supply = np.where(fails, rng.uniform(0, SHORT, market.spec.skus), 1.0)
        expected, slopes = market.demand(state, offer), market.elasticity(state, offer)
        next_state, totals = market.trade(state, offer, rng, supply)
        weeks_played.append(Week(state, offer, totals, expected, slopes))
        state = next_state
    return weeks_played[WARM_UP:]


def true_elasticities(zones: list[list[Week]]) -> Floats:
    """Mean elasticities [n, n] over all weeks, weighted by the expected units of the row's sku."""
    weeks = [week for history in zones for week in history]
    expected = np.array([week.expected for week in weeks])
    slopes = np.array([week.elasticity for week in weeks])
    return np.asarray(np.einsum("tn,tnm->nm", expected, slopes) / expected.sum(axis=0)[:, None])


def panel(market: Market, weeks: list[Week], zone: str) -> pd.DataFrame:
    """The panel of one zone: a row for each sku and week."""
    periods = pd.date_range(OPENING, periods=len(weeks), freq="7D")
    rows = [_rows(market, week, period) for week, period in zip(weeks, periods, strict=True)]
    return pd.concat(rows, ignore_index=True).assign(zone=zone)


def sku_names(market: Market) -> list[str]:
    return [f"A{1000 + number}" for number in range(market.spec.skus)]


def _rows(market: Market, week: Week, period: pd.Timestamp) -> pd.DataFrame:
    offer, category = week.offer, market.category
    return pd.DataFrame(
        {
            "sku": sku_names(market),
            "period": period,
            "units": week.totals.units,
            "demand": week.totals.demand,
            "price": offer.price.astype(float),
            "display": offer.display.astype(float),
            "mailer": np.broadcast_to(offer.mailer, category.shape).astype(float),
            "promotion": (offer.price < market.list_price).astype(float),
            "on_hand_share": week.totals.on_hand_share,
            "competitor_price": week.state.rivals.min(axis=1).astype(float),
            "list_price": market.list_price,
            "unit_cost": market.unit_cost,
            "department": [
                f"department {number // CATEGORIES_OF_A_DEPARTMENT}" for number in category
            ],
            "category": [f"category {number}" for number in category],
            "product_type": [f"category {c}: {n % 2}" for n, c in enumerate(category)],
        }
    )


def _cross(market: Market, elasticity: Floats) -> pd.DataFrame:
    sku, category = np.array(sku_names(market)), market.category
    same = np.equal.outer(category, category) & ~np.eye(len(category), dtype=bool)
    row, column = np.nonzero(same)
    pairs = {"sku": sku[row], "rival": sku[column], "elasticity": elasticity[row, column]}
    others = elasticity.sum(axis=1) - np.diag(elasticity)
    categories = {"sku": sku, "rival": [f"category {c}" for c in category], "elasticity": others}
    own = np.diag(elasticity)
    shops = {"sku": sku, "rival": "competitor", "elasticity": -market.spec.rivalry * own}
    kinds = {"sku": pairs, "category": categories, "competitor": shops}
    frames = [pd.DataFrame(columns).assign(kind=kind) for kind, columns in kinds.items()]
    return pd.concat(frames, ignore_index=True)[["sku", "rival", "kind", "elasticity"]]


def seed_range(description: str | None, many: int) -> range:
    """Parse --seeds and --first of the command line. The default is the first `many` seeds."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=many, help="how many markets to simulate")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    return range(arguments.first, arguments.first + arguments.seeds)


def each_seed(seeds: range, name: str, run: Callable[[int], Result]) -> list[Result]:
    """The result of `run` for each seed. The terminal shows which one is running."""
    results = []
    with Console(stderr=True).status("") as status:
        for seed in seeds:
            status.update(f"{name} {seed}")
            results.append(run(seed))
    return results
