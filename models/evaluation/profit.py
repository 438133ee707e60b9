"""What a response model's prices would have done in the held-out periods, by an outside judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evaluation.holdout import SERIES, HeldOut
from models.response.cannibalisation import cannibalised, recent_units
from models.response.controls import coded, log_price, of_category, usable
from models.response.residuals import Residuals, residuals
from pricebook.config import Quote
from pricebook.pricing.decision import Listings, decide_many

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 400
INTERVAL = (0.05, 0.95)
DEPARTMENT_SD = 0.5  # how far a department's elasticity may stray from the shop's
LEAST_ELASTIC = -0.05


@dataclass(frozen=True)
class Gain:
    """What one set of prices earns over another, in minor units, and its 90 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Market:
    """What a price would have done in the held-out periods, by a judge no model has a hand in.

    The judge takes the units that were sold at the price that was charged, and moves them along a
    constant-elasticity curve to the price to be judged, and to the prices of the rest of their
    category. Its own elasticities are departments' least squares slopes on orthogonalised residuals
    of all periods, held-out ones included, shrunk to the shop's; its cross elasticity is the
    shop's. It is the same for every pair judged on one data version.

    Columns of `rows`: series, units, price, a row a held-out period, `market` (the category in a
    zone and period) and `usual`, its series' mean units. Columns of `book`: those of the listings
    that `cannibalised` reads, and units. `elasticity`, its `stderr` and
    the `department` whose it is are per series. Columns of `moved`: sku, zone, units, price,
    weight, the residuals of the held-out periods.
    """

    listings: Listings
    rows: pd.DataFrame
    elasticity: Floats
    stderr: Floats
    department: Ints
    cross: float
    moved: pd.DataFrame
    book: pd.DataFrame

    def profit(self, prices: Floats, elasticity: Floats | None = None) -> Floats:
        """Gross profit per series, in minor units, had these prices (series,) been charged.

        `elasticity` (series,) stands in for the judge's own.
        """
        series = self.rows["series"].to_numpy()
        slopes = self.elasticity if elasticity is None else elasticity
        charged = prices[series]
        moved = np.log(charged / self.rows["price"].to_numpy(float))
        ratio = np.exp(slopes[series] * moved + self.cross * self._beside(moved))
        gained = (charged - self.listings.unit_cost[series]) * self.rows["units"] * ratio
        profit: Floats = np.bincount(series, gained, minlength=len(prices)).astype(float)
        return profit

    def _beside(self, moved: Floats) -> Floats:
        """How far the rest of each row's category moves (in log price), by usual units."""
        market, usual = self.rows["market"].to_numpy(), self.rows["usual"].to_numpy(float)
        rest = np.bincount(market, usual)[market] - usual
        total = np.bincount(market, usual * moved)[market] - usual * moved
        return np.asarray(np.divide(total, rest, out=np.zeros_like(total), where=rest > 1e-9))

    def status_quo(self) -> Floats:
        """Gross profit per series at the prices that were charged."""
        rows, series = self.rows, self.rows["series"].to_numpy()
        gained = (rows["price"] - self.listings.unit_cost[series]) * rows["units"]
        profit: Floats = np.bincount(series, gained, minlength=len(self.listings)).astype(float)
        return profit

    def gain(self, new: Floats, old: Floats | None, seed: int) -> Gain:
        """What `new` prices earn over `old` ones (over those charged, if None).

        The interval is a bootstrap over series in which the judge's own elasticities are drawn
        anew, a department at a time: neither the sample nor the judge is taken for the truth.
        """
        random = np.random.default_rng(seed)
        drawn = [self._drawn_gain(new, old, random) for _ in range(DRAWS)]
        low, high = np.quantile(drawn, INTERVAL)
        before = self.status_quo() if old is None else self.profit(old)
        return Gain(float((self.profit(new) - before).sum()), float(low), float(high))

    def _drawn_gain(self, new: Floats, old: Floats | None, random: np.random.Generator) -> float:
        by_department = random.standard_normal(self.department.max() + 1)
        slopes = self.elasticity + self.stderr * by_department[self.department]
        slopes = np.minimum(slopes, LEAST_ELASTIC)
        before = self.status_quo() if old is None else self.profit(old, slopes)
        counts = np.bincount(random.integers(0, len(new), len(new)), minlength=len(new))
        return float(counts @ (self.profit(new, slopes) - before))

    def misfit(self, elasticities: pd.DataFrame | None) -> float:
        """How much of what moved units in the held-out periods these elasticities leave open.

        The weighted sum of squares left of the orthogonalised units once their prices' part is
        taken out; with None, nothing is taken out. Lower is better.
        """
        slope = np.zeros(len(self.moved))
        if elasticities is not None:
            everyone = elasticities[elasticities["segment"] == "everyone"]
            slope = self.moved[SERIES].merge(everyone, on=SERIES, how="left")["elasticity"]
            slope = slope.fillna(0.0).to_numpy(float)
        left = self.moved["units"] - slope * self.moved["price"]
        return float((self.moved["weight"] * left**2).sum())

    def own_prices(self, elasticities: pd.DataFrame, cross: pd.DataFrame, limits: Quote) -> Floats:
        """The prices (series,) that a response model's tables lead to, within the guardrails.

        Args:
            elasticities: `ResponseModel.elasticities()`.
            cross: `ResponseModel.cross()`.
        """
        lost = cannibalised(elasticities, cross, self.book, self.book[[*SERIES, "units"]])
        listings = replace(self.listings, cannibalised=lost)
        everyone = elasticities[elasticities["segment"] == "everyone"]
        keys = pd.DataFrame({"sku": self.listings.sku, "zone": self.listings.zone})
        own = keys.merge(everyone, on=SERIES, how="left")["elasticity"].to_numpy(float)
        by_key = dict(zip(zip(keys["sku"], keys["zone"], strict=True), own, strict=True))

        def ratio(listings: Listings, _: object, ratios: Floats) -> Floats:
            found = [by_key[key] for key in zip(listings.sku, listings.zone, strict=True)]
            raised: Floats = ratios ** np.array(found)[:, None]
            return raised

        asked = ["everyone"] * len(listings)
        return np.array([d.price for d in decide_many(listings, asked, limits, ratio)], float)


def market(held: HeldOut, price_book: pd.DataFrame, folds: int) -> Market:
    """The held-out periods as a market of the series with a known cost and a price."""
    latest = held.history.groupby(SERIES, as_index=False).tail(1)
    costs = price_book[[*SERIES, "unit_cost", "cost_assumed", "map_price"]]
    known = latest.drop(columns=["map_price"], errors="ignore").merge(costs, on=SERIES)
    known = known[known["unit_cost"].notna() & (known["price"] > 0)].reset_index(drop=True)
    series = known[SERIES].assign(series=np.arange(len(known)))
    rows = held.actual.merge(series, on=SERIES)
    rows = rows[rows["price"] > 0].reset_index(drop=True)
    units = recent_units(held.history)
    book = known.merge(units.rename(columns={"units": "usual"}), on=SERIES, how="left")
    book = book.drop(columns="units").rename(columns={"usual": "units"})
    label = rows["category"].fillna(rows["sku"]).astype(str)
    rows["market"] = rows.groupby(["zone", "period", label], sort=False).ngroup()
    rows["usual"] = book["units"].to_numpy()[rows["series"]]
    panel = pd.concat([held.history, held.actual], ignore_index=True)
    return Market(_listings(known), rows, *_judged(panel, known, folds, held.start), book)


def _listings(known: pd.DataFrame) -> Listings:
    def column(name: str) -> Floats:
        values: Floats = known[name].to_numpy(float, na_value=np.nan)
        return values

    return Listings(
        sku=known["sku"].to_numpy(object),
        zone=known["zone"].to_numpy(object),
        list_price=column("list_price").round().astype(np.int64),
        reference_price=column("reference_price"),
        unit_cost=column("unit_cost"),
        cost_assumed=known["cost_assumed"].to_numpy(bool),
        map_price=column("map_price"),
        competitor_price=np.full(len(known), np.nan),
        modelled=np.ones(len(known), bool),
    )


def _judged(
    panel: pd.DataFrame, known: pd.DataFrame, folds: int, start: date
) -> tuple[Floats, Floats, Ints, float, pd.DataFrame]:
    """Per series, its department's slope shrunk to the shop's, its error, and which department;
    the shop's cross elasticity within a category; and the residuals from `start` on."""
    rows = usable(coded(panel))
    others = of_category(rows, log_price(rows)[:, None])
    left = residuals(rows, folds, rivals=False, beside=others)
    cross = _cross(left)
    units = left.units - cross * left.beside[:, 0]
    weighted = left.weight * left.price
    slopes = pd.DataFrame({"xy": weighted * units, "xx": weighted * left.price})
    slopes["department"] = rows["department"].to_numpy()
    shop = float(slopes["xy"].sum() / slopes["xx"].sum())
    noise = np.average((units - shop * left.price) ** 2 * left.weight)
    sums = slopes.groupby("department")[["xy", "xx"]].sum() / noise
    precision = sums["xx"] + DEPARTMENT_SD**-2
    shrunk = (sums["xy"] + shop * DEPARTMENT_SD**-2) / precision
    department = known["department"].fillna("")
    slope = department.map(shrunk).fillna(shop).to_numpy(float)
    error = department.map(precision**-0.5).fillna(DEPARTMENT_SD).to_numpy(float)
    moved = rows[[*SERIES, "period"]].assign(units=units, price=left.price, weight=left.weight)
    moved = moved[moved["period"] >= pd.Timestamp(start)].reset_index(drop=True)
    return np.minimum(slope, LEAST_ELASTIC), error, pd.factorize(department)[0], cross, moved


def _cross(left: Residuals) -> float:
    """The shop's elasticity to the rest of a category, beside the own one; not below zero."""
    prices = np.column_stack([left.price, left.beside[:, 0]])
    gram = prices.T @ (left.weight[:, None] * prices)
    if gram[1, 1] <= 1e-9 * gram[0, 0]:
        return 0.0
    return max(float(np.linalg.solve(gram, prices.T @ (left.weight * left.units))[1]), 0.0)
