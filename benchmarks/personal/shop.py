"""A simulated shop whose segments differ in price sensitivity, and whose prices decide visits.

Demand has a constant elasticity for each sku and segment. Promotions cut prices and also raise
demand by themselves, so the history is confounded. A shopper visits more often after low prices:
the rate of visits is multiplied by the shopper's recent price level to the power of LONG_RUN. The
shop knows this number (`objective` in params). Its response model is fitted on two years of sales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.inputs.bundles import simulated_bundle
from benchmarks.inputs.simulated import Floats
from models.runtime import Series
from pricebook.config import Experiment, Personal, Quote, Response
from pricebook.pricing.decision import Listings
from pricebook.pricing.quote import Terms, offers
from serving.quotes.bundle import LABELS, Bundle

SKUS, SHOPPERS, HISTORY, DAYS = 40, 4_000, 104, 7
RUN_IN, WEEKS = 4, 12  # weeks of the experiment that are not counted, and all of its weeks
SEGMENTS = {"regular": 0.9, "deal seeker": -0.9}  # elasticity minus that of everyone
SHARES = (0.5, 0.5)  # of the shoppers
LONG_RUN = -0.7
MARGIN = (0.25, 0.35)  # of the list price; so today's list prices are near the best ones
CHANCE = 0.15  # of buying a sku at its list price
SMOOTHING = 0.5  # weight of the latest visit in a shopper's price level
BEFORE = 13  # weeks in which the visits of each shopper were counted before the experiment


@dataclass(frozen=True)
class Elasticities:
    """The fitted elasticities of each sku and segment, in place of the exported model."""

    by_series: dict[tuple[str, str], float]

    def demand_ratio(self, rows: Sequence[Series], ratios: Floats) -> Floats:
        powers = [self.by_series[row.sku, row.segment] for row in rows]
        return np.asarray(ratios ** np.array(powers)[:, None])


@dataclass(frozen=True)
class Shop:
    """The truth about a shop, and its bundle.

    Attributes:
        elasticity: true elasticities [segment, sku].
        segment: the number of each shopper's segment.
        frequency: visits a week of each shopper at the usual prices.
        visits_before: the visits of each shopper, counted before the experiment.
    """

    seed: int
    elasticity: Floats
    segment: NDArray[np.int64]
    frequency: Floats
    visits_before: Floats
    bundle: Bundle

    @cached_property
    def affected(self) -> NDArray[np.bool_]:
        """Whether each shopper's segment has a personal price of any sku."""
        differs = (self.prices(personal=True) < self.prices(personal=False)).any(axis=1)
        return np.asarray(differs[self.segment])

    def visit_chance(self, level: Floats) -> Floats:
        """The probability that each affected shopper visits on a day, by log price level.

        The others are left out: both arms quote them the same prices.
        """
        rate = self.frequency / DAYS * np.exp(LONG_RUN * level)
        return np.asarray(-np.expm1(-rate) * self.affected)

    def purchase_chance(self, segment: Any, sku: Any, price: Any) -> Floats:
        """The probability that a shopper of a segment who looks at a sku buys it."""
        ratio = price / self.bundle.listings.list_price[sku]
        return np.asarray(np.minimum(CHANCE * ratio ** self.elasticity[segment, sku], 1.0))

    def prices(self, personal: bool) -> Floats:
        """The prices [segment, sku] under a policy: personal or public offers."""
        bundle, limits = self.bundle, self.bundle.manifest.limits
        terms = [Terms(name, name) if personal else Terms() for name in SEGMENTS]
        rows = [offers([own] * SKUS, bundle.listings, limits, bundle.demand) for own in terms]
        return np.array([[offer.price for offer in row] for row in rows])


def draw_shop(seed: int) -> Shop:
    """Draw a shop and its history, and fit its model; the same seed gives the same shop."""
    rng = np.random.default_rng([seed, 4])
    own = rng.normal(-2.6, 0.25, SKUS)
    elasticity = own + np.array(list(SEGMENTS.values()))[:, None]
    list_price = rng.integers(15, 90, SKUS) * 10 + 9
    segment = rng.choice(len(SEGMENTS), SHOPPERS, p=SHARES)
    frequency = 1.5 * rng.gamma(4, 0.25, SHOPPERS)
    before = rng.poisson(BEFORE * frequency).astype(float)
    listings = _listings(list_price, rng)
    runtime = _fitted(seed, elasticity, list_price, rng)
    bundle = simulated_bundle(listings, _limits(seed), runtime, "shop", seed)
    return Shop(seed, elasticity, segment, frequency, before, bundle)


def sku_names() -> list[str]:
    return [f"A{1000 + number}" for number in range(SKUS)]


def _limits(seed: int) -> Quote:
    return Quote(
        max_step=0.5,
        max_batch=100_000,
        experiment=Experiment(public=0.5, salt=str(seed)),
        # Neither binds, so that the arms have the prices whose true value is computed.
        personal=Personal(budget=1.0, max_offers=1_000_000),
    )


def _listings(list_price: NDArray[np.int64], rng: np.random.Generator) -> Listings:
    return Listings(
        sku=np.array(sku_names(), object),
        zone=np.full(SKUS, "all", object),
        list_price=list_price,
        reference_price=list_price.astype(float),
        unit_cost=np.rint(list_price * (1 - rng.uniform(*MARGIN, SKUS))),
        cost_assumed=np.zeros(SKUS, bool),
        map_price=np.full(SKUS, np.nan),
        competitor_price=np.full(SKUS, np.nan),
        modelled=np.ones(SKUS, bool),
        long_run=np.full(SKUS, LONG_RUN),
    )


def _fitted(seed: int, elasticity: Floats, list_price: Any, rng: np.random.Generator) -> Any:
    """The response model, fitted on the sales of each segment and of all."""
    from models.response import model as response

    segments = _history(elasticity, list_price, rng)
    keys = [name for name in segments.columns if name not in ("segment", "units")]
    rows = segments.groupby(keys, as_index=False, sort=False)["units"].sum()
    fitted = response.fit(rows, segments, Response(), seed).elasticities()
    names = zip(fitted["sku"], fitted["segment"], strict=True)
    return Elasticities(dict(zip(names, fitted["elasticity"].tolist(), strict=True)))


def _history(elasticity: Floats, list_price: Any, rng: np.random.Generator) -> pd.DataFrame:
    """The sales of each segment, sku and week. A promotion doubles demand besides its price."""
    promoted = rng.random((HISTORY, SKUS)) < 0.2
    log_ratio = -0.2 * promoted + rng.normal(0, 0.05, promoted.shape)
    season = 0.3 * np.sin(np.arange(HISTORY) / 8)[:, None]
    shock = np.log(2) * promoted + season + rng.normal(0, 0.1, promoted.shape)
    level = np.log(rng.uniform(20, 60, SKUS)) + shock
    weeks = pd.date_range("2024-01-01", periods=HISTORY, freq="7D")
    grid = pd.DataFrame(
        {
            "sku": np.tile(sku_names(), HISTORY),
            "zone": "all",
            "period": np.repeat(weeks, SKUS),
            "price": (list_price * np.exp(log_ratio)).ravel(),
            "list_price": np.tile(list_price, HISTORY),
            **{name: promoted.ravel().astype(float) for name in ("display", "promotion")},
            "mailer": 0.0,
            **dict.fromkeys(LABELS, ""),
        }
    )
    return pd.concat(
        grid.assign(
            segment=name,
            units=rng.poisson(share * np.exp(level + elasticity[number] * log_ratio)).ravel(),
        )
        for number, (name, share) in enumerate(zip(SEGMENTS, SHARES, strict=True))
    )
