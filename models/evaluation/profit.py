"""The profit backtest: what a response model's prices would have earned in the held-out periods.

Short-run profit is what the judge's elasticities imply for the same periods. Long-run profit adds
the judge's own long-run terms (`pricebook.pricing.objective`): what a price does to later sales.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evaluation.holdout import SERIES, Holdout
from models.evaluation.judge import Estimates, estimate
from models.evaluation.robust import (
    credible_rows,
    largest_contribution,
    lowest_charged,
)
from models.objective import Book, listings, public_decisions
from models.response.cannibalisation import cannibalised, recent_units
from models.response.segments import EVERYONE
from pricebook.config import Objective, Quote
from pricebook.pricing.decision import Listings

Floats = NDArray[np.float64]

DRAWS = 400
INTERVAL = (0.05, 0.95)
# Standard deviation of the long-run terms, as a share of them. Data cannot show how well the shop
# knows its own long run, so an interval allows for terms from about half to one and a half times.
LONG_RUN_SD = 0.3


@dataclass(frozen=True)
class Gain:
    """Profit of one set of prices minus another's, in minor units, with a 90 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Assessment:
    """What one set of prices changes against another.

    Attributes:
        long_run: the gain in profit with the long-run terms.
        short_run: the gain in profit without them.
        profit: profit at the other prices, in minor units, which the gains compare with.
        units: relative change in units, in the long run.
    """

    long_run: Gain
    short_run: Gain
    profit: float
    units: float


@dataclass(frozen=True)
class Market:
    """The held-out periods of the series with a known cost.

    The judge takes the units sold at the price charged. It moves them along a constant-elasticity
    curve to the price to be judged, and along a cross-elasticity curve to the new prices of the
    rest of the category.

    The shop's own price cuts stay: in a period in which it charged less than the price to be
    judged, its price is kept. The price that a shop publishes is the ceiling of every quote.

    It does not extrapolate: demand is constant below the prices that the shop has charged for a
    series. Sums over the series limit what each of them contributes (`models.evaluation.robust`).

    Attributes:
        listings: the series, as rows of the price book.
        rows: one row per series and held-out period: series, units, price, `market` (a code of
            category, zone and period) and `usual` (the series' weight in its category).
        estimates: the judge's elasticities.
        book: the columns that `cannibalised` reads, and units, a row per series.
        charged: (series,), the lowest price that the shop has charged.
        objective: what prices are chosen for; it also sets the judge's long-run terms.
    """

    listings: Listings
    rows: pd.DataFrame
    estimates: Estimates
    book: pd.DataFrame
    charged: Floats
    objective: Objective

    def profit(self, prices: Floats, elasticity: Floats | None = None) -> Floats:
        """Gross profit of each series in minor units, had these prices (series,) been charged.

        Args:
            elasticity: (series,); without it the judge's own, with the long-run terms.
        """
        slopes = self.long_run_elasticity if elasticity is None else elasticity
        charged, units = self._outcome(prices, slopes)
        return self._by_series((charged - self._cost) * units)

    def units(self, prices: Floats) -> float:
        """Units of all series in the long run, had these prices (series,) been charged."""
        return float(self._outcome(prices, self.long_run_elasticity)[1].sum())

    def _outcome(self, prices: Floats, slopes: Floats) -> tuple[Floats, Floats]:
        """The price and the units of each row at prices (series,)."""
        series, charged = self.rows["series"].to_numpy(), self.rows["price"].to_numpy(float)
        new = np.minimum(prices[series], charged)
        known = np.maximum(new, np.minimum(self.charged[series], charged))  # demand is read here
        change = np.log(known / charged)
        shift = self.estimates.cross * self._others_change(change)
        return new, self.rows["units"].to_numpy(float) * np.exp(slopes[series] * change + shift)

    @cached_property
    def _cost(self) -> Floats:
        return np.asarray(self.listings.unit_cost[self.rows["series"].to_numpy()])

    @cached_property
    def long_run_elasticity(self) -> Floats:
        """The judge's elasticities (series,) with its long-run terms."""
        short_run = self.estimates.elasticity
        return np.asarray(short_run + self.long_run(short_run))

    def long_run(self, elasticity: Floats) -> Floats:
        """The judge's long-run terms (series,), given its elasticities (series,).

        `volume` and `revenue` trade against the calibrated long-run profit, so they are judged by
        it.
        """
        traded = self.objective in ("volume", "revenue")
        book = replace(self._book, rows=replace(self._book.rows, elasticity=elasticity))
        return book.long_run("calibrated" if traded else self.objective)

    @cached_property
    def _book(self) -> Book:
        """The series with the judge's elasticities and what they take from substitutes."""
        own = self.book[SERIES].assign(segment=EVERYONE, elasticity=self.estimates.elasticity)
        cross = own.assign(kind="category", elasticity=self.estimates.cross)
        return self._priced(own, cross, Quote())

    def _priced(self, elasticities: pd.DataFrame, cross: pd.DataFrame, limits: Quote) -> Book:
        units = self.book[[*SERIES, "units"]]
        lost = cannibalised(elasticities, cross, self.book, units)
        return Book.from_tables(self.book, elasticities, lost, units, limits)

    def _others_change(self, change: Floats) -> Floats:
        """Mean change in log price of the rest of each row's category, weighted by usual units."""
        market, usual = self.rows["market"].to_numpy(), self.rows["usual"].to_numpy(float)
        rest = np.bincount(market, usual)[market] - usual
        total = np.bincount(market, usual * change)[market] - usual * change
        return np.asarray(np.divide(total, rest, out=np.zeros_like(total), where=rest > 1e-9))

    def status_quo(self) -> Floats:
        """Gross profit of each series at the prices charged, in minor units."""
        rows = self.rows
        return self._by_series((rows["price"].to_numpy(float) - self._cost) * rows["units"])

    def _by_series(self, gross: pd.Series | Floats) -> Floats:
        """Sum the rows' values for each series."""
        sums = np.bincount(self.rows["series"].to_numpy(), gross, minlength=len(self.listings))
        return sums.astype(np.float64)

    def limited(self, profit: Floats) -> Floats:
        """Limit each series' profit or gain, so that one series cannot decide the sum."""
        return np.clip(profit, -self._limit, self._limit)

    @cached_property
    def _limit(self) -> float:
        return largest_contribution(self.status_quo())

    def gain(self, new: Floats, old: Floats | None, seed: int, *, long_run: bool = True) -> Gain:
        """Profit at the `new` prices minus profit at the `old` ones (those charged, if None).

        The interval is a bootstrap over series. Each draw also draws the judge's elasticities and
        how strong the long run is, so it includes the uncertainty of the sample, of the judge, and
        of what sales cannot show. A shop without any known cost has nothing to judge: its gain
        is 0.
        """
        if not len(self.listings):
            return Gain(0.0, 0.0, 0.0)
        random = np.random.default_rng(seed)
        draws = [self._drawn_gain(new, old, random, long_run) for _ in range(DRAWS)]
        low, high = np.quantile(draws, INTERVAL)
        slopes = self.long_run_elasticity if long_run else self.estimates.elasticity
        mean = self._gains(new, old, slopes).sum()
        return Gain(float(mean), float(low), float(high))

    def _gains(self, new: Floats, old: Floats | None, slopes: Floats) -> Floats:
        before = self.status_quo() if old is None else self.profit(old, slopes)
        return self.limited(self.profit(new, slopes) - before)

    def _drawn_gain(
        self, new: Floats, old: Floats | None, random: np.random.Generator, long_run: bool
    ) -> float:
        slopes = self.estimates.draw(random)
        strength = max(0.0, 1 + LONG_RUN_SD * random.standard_normal())
        if long_run:
            slopes = slopes + strength * self.long_run(slopes)
        counts = np.bincount(random.integers(0, len(new), len(new)), minlength=len(new))
        return float(counts @ self._gains(new, old, slopes))

    def assess(self, new: Floats, old: Floats | None, seed: int) -> Assessment:
        """Compare the `new` prices with the `old` ones (those charged, if None)."""
        before = self.status_quo() if old is None else self.profit(old)
        units = float(self.rows["units"].sum()) if old is None else self.units(old)
        return Assessment(
            long_run=self.gain(new, old, seed),
            short_run=self.gain(new, old, seed, long_run=False),
            profit=float(self.limited(before).sum()),
            units=self.units(new) / units - 1 if units > 0 else 0.0,
        )

    def misfit(self, elasticities: pd.DataFrame | None) -> float:
        """How badly elasticities explain the units of the held-out periods; lower is better.

        None stands for elasticities of 0. See `Estimates.misfit`.
        """
        return self.estimates.misfit(elasticities)

    def own_prices(self, elasticities: pd.DataFrame, cross: pd.DataFrame, limits: Quote) -> Floats:
        """The prices (series,) that a response model's tables lead to, within the guardrails.

        Args:
            elasticities: `ResponseModel.elasticities()`.
            cross: `ResponseModel.cross()`.
        """
        priced = self._priced(elasticities, cross, limits)
        lost = priced.rows.marginal_cost - self.listings.unit_cost
        terms = priced.long_run(self.objective)
        rows = replace(self.listings, cannibalised=lost, long_run=terms)
        decisions = public_decisions(rows, elasticities, limits)
        return np.array([decision.price for decision in decisions], float)


def market(
    held: Holdout, price_book: pd.DataFrame, folds: int, objective: Objective = "calibrated"
) -> Market:
    """Build the judge: the held-out periods of the series with a known cost and a price.

    Rows with an absurd price or quantity are left out, and the log says how many.
    """
    panel = credible_rows(pd.concat([held.history, held.actual], ignore_index=True))
    start = pd.Timestamp(held.start)
    history, actual = panel[panel["period"] < start], panel[panel["period"] >= start]
    series = _priced_series(history, price_book)
    rows = actual.merge(series[SERIES].assign(series=np.arange(len(series))), on=SERIES)
    rows = rows[rows["price"] > 0].reset_index(drop=True)
    units = recent_units(history).rename(columns={"units": "usual"})
    book = series.merge(units, on=SERIES, how="left").drop(columns="units")
    book = book.rename(columns={"usual": "units"})
    category = rows["category"].fillna(rows["sku"]).astype(str)
    rows["market"] = rows.groupby(["zone", "period", category], sort=False).ngroup()
    rows["usual"] = _category_weight(book["units"].to_numpy(float)[rows["series"]], rows["market"])
    estimates = estimate(panel, series, folds, held.start)
    lowest = lowest_charged(panel, series)
    # The judge does not know what competitors charged, and every series here is modelled.
    known = series.assign(modelled=True).drop(columns="competitor_price", errors="ignore")
    return Market(listings(known), rows, estimates, book, lowest, objective)


def _priced_series(history: pd.DataFrame, price_book: pd.DataFrame) -> pd.DataFrame:
    """The latest row of each series with a cost and with a list price of one minor unit or more."""
    latest = history.groupby(SERIES, as_index=False).tail(1)
    costs = price_book[[*SERIES, "unit_cost", "cost_assumed", "map_price"]]
    series = latest.drop(columns=["map_price"], errors="ignore").merge(costs, on=SERIES)
    priced = (series["price"] > 0) & (series["list_price"].round() >= 1)
    return series[series["unit_cost"].notna() & priced].reset_index(drop=True)


def _category_weight(units: Floats, category: pd.Series) -> Floats:
    """Weights of the rows in their category: units, but never more than all others together.

    So a series with absurd units cannot become the price of its category.
    """
    codes = category.to_numpy()
    others = np.bincount(codes, units)[codes] - units
    return np.asarray(np.minimum(units, others), np.float64)
