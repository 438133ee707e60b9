"""The profit backtest: what a response model's prices would have earned in the held-out periods.

The judge is independent of the models that it judges. It estimates its own elasticities and is the
same for every pair of models judged on one data version.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evaluation.holdout import SERIES, HeldOut
from models.response.cannibalisation import cannibalised, recent_units
from models.response.controls import (
    log_price,
    rest_of_category,
    usable_rows,
    with_series_codes,
)
from models.response.residuals import Residuals, residualise
from pricebook.config import Quote
from pricebook.pricing.decision import Listings, decide_many

log = logging.getLogger("pricebook.profit")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DRAWS = 400
INTERVAL = (0.05, 0.95)
DEPARTMENT_SD = 0.5  # prior standard deviation of a department's elasticity around the shop's
LEAST_ELASTIC = -0.05

# Limits that keep one wrong row or one series from deciding the verdict.
MAX_PRICE_RATIO = 4.0  # a price further than this factor from its series' median is an error
MAX_UNITS_RATIO = 100.0  # so are units above this multiple of the series' median period with sales
RANGE_MARGIN = 0.02  # demand is known up to this share outside the prices charged
MAX_SHARE = 0.05  # of the absolute gains; no series counts for more


@dataclass(frozen=True)
class Gain:
    """Profit of one set of prices minus another's, in minor units, with a 90 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Market:
    """The held-out periods of the series with a known cost.

    The judge takes the units sold at the price charged. It moves them along a constant-elasticity
    curve to the price to be judged, and along a cross-elasticity curve to the new prices of the
    rest of the category. Its elasticities are least squares slopes by department on orthogonalised
    residuals of all periods, shrunk to the shop's slope. Its cross elasticity is the shop's.

    It does not extrapolate: demand is constant outside the prices that the shop has charged for a
    series, and a price above them earns no more than the highest of them.

    Attributes:
        listings: the series, as rows of the price book.
        rows: one row per series and held-out period: series, units, price, `market` (a code of
            category, zone and period) and `usual` (the series' mean units).
        elasticity: own elasticity of each series, by the judge.
        stderr: its standard error.
        department: code of each series' department.
        cross: the shop's elasticity to the other prices of a category.
        residuals: sku, zone, units, price, weight: the orthogonalised held-out periods.
        book: the columns that `cannibalised` reads, and units, a row per series.
        charged: [series, 2]: the lowest and the highest price that the shop has charged.
    """

    listings: Listings
    rows: pd.DataFrame
    elasticity: Floats
    stderr: Floats
    department: Ints
    cross: float
    residuals: pd.DataFrame
    book: pd.DataFrame
    charged: Floats

    def profit(self, prices: Floats, elasticity: Floats | None = None) -> Floats:
        """Gross profit of each series in minor units, had these prices (series,) been charged.

        Args:
            elasticity: (series,), used instead of the judge's own.
        """
        series = self.rows["series"].to_numpy()
        slopes = self.elasticity if elasticity is None else elasticity
        low, high = self.charged[series].T
        known = np.clip(prices[series], low, high)  # demand is read here
        earned = np.minimum(prices[series], high)  # the margin, at a lower price, is the real one
        change = np.log(known / self.rows["price"].to_numpy(float))
        ratio = np.exp(slopes[series] * change + self.cross * self._others_change(change))
        gross = (earned - self.listings.unit_cost[series]) * self.rows["units"] * ratio
        profit: Floats = np.bincount(series, gross, minlength=len(prices)).astype(float)
        return profit

    def _others_change(self, change: Floats) -> Floats:
        """Mean change in log price of the rest of each row's category, weighted by usual units."""
        market, usual = self.rows["market"].to_numpy(), self.rows["usual"].to_numpy(float)
        rest = np.bincount(market, usual)[market] - usual
        total = np.bincount(market, usual * change)[market] - usual * change
        return np.asarray(np.divide(total, rest, out=np.zeros_like(total), where=rest > 1e-9))

    def status_quo(self) -> Floats:
        """Gross profit of each series at the prices charged, in minor units."""
        rows, series = self.rows, self.rows["series"].to_numpy()
        gross = (rows["price"] - self.listings.unit_cost[series]) * rows["units"]
        profit: Floats = np.bincount(series, gross, minlength=len(self.listings)).astype(float)
        return profit

    def gain(self, new: Floats, old: Floats | None, seed: int) -> Gain:
        """Profit at the `new` prices minus profit at the `old` ones (those charged, if None).

        The interval is a bootstrap over series. Each draw also draws the judge's elasticities, one
        error per department, so it includes the uncertainty of the sample and of the judge. A
        shop without any known cost has nothing to judge: its gain is 0.
        """
        if not len(self.listings):
            return Gain(0.0, 0.0, 0.0)
        random = np.random.default_rng(seed)
        draws = [self._drawn_gain(new, old, random) for _ in range(DRAWS)]
        low, high = np.quantile(draws, INTERVAL)
        before = self.status_quo() if old is None else self.profit(old)
        mean = limit_shares(self.profit(new) - before).sum()
        return Gain(float(mean), float(low), float(high))

    def _drawn_gain(self, new: Floats, old: Floats | None, random: np.random.Generator) -> float:
        by_department = random.standard_normal(self.department.max() + 1)
        slopes = self.elasticity + self.stderr * by_department[self.department]
        slopes = np.minimum(slopes, LEAST_ELASTIC)
        before = self.status_quo() if old is None else self.profit(old, slopes)
        counts = np.bincount(random.integers(0, len(new), len(new)), minlength=len(new))
        return float(counts @ limit_shares(self.profit(new, slopes) - before))

    def misfit(self, elasticities: pd.DataFrame | None) -> float:
        """How badly these elasticities explain the units of the held-out periods; lower is better.

        The weighted sum of squares of the orthogonalised units minus elasticity times
        orthogonalised price. None stands for elasticities of 0.
        """
        slope = np.zeros(len(self.residuals))
        if elasticities is not None:
            everyone = elasticities[elasticities["segment"] == "everyone"]
            slope = self.residuals[SERIES].merge(everyone, on=SERIES, how="left")["elasticity"]
            slope = slope.fillna(0.0).to_numpy(float)
        error = self.residuals["units"] - slope * self.residuals["price"]
        return float((self.residuals["weight"] * error**2).sum())

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

        def demand_ratio(listings: Listings, _: object, ratios: Floats) -> Floats:
            slopes = [by_key[key] for key in zip(listings.sku, listings.zone, strict=True)]
            demand: Floats = ratios ** np.array(slopes)[:, None]
            return demand

        segments = ["everyone"] * len(listings)
        decisions = decide_many(listings, segments, limits, demand_ratio)
        return np.array([decision.price for decision in decisions], float)


def limit_shares(gains: Floats) -> Floats:
    """Winsorise gains (n,), so that no series has more than `MAX_SHARE` of the absolute sum.

    The limit is the largest c with c <= share * sum(min(|gain|, c)). Fewer than 40 gains other than
    0 cannot all have so small a share; their limit is twice an equal share. Winsorising: Tukey
    1962, "The future of data analysis", Annals of Mathematical Statistics 33(1).

    >>> limit_shares(np.array([1.0] * 99 + [1e9])).sum().round(1)
    np.float64(104.2)
    """
    share = max(MAX_SHARE, 2 / max(int(np.count_nonzero(gains)), 1))
    if share >= 1:
        return gains
    size = np.sort(np.abs(gains))
    below = np.concatenate([[0.0], np.cumsum(size)])  # below[k]: sum of the k smallest
    # With k gains unchanged and the other n - k cut to c: c = share * (below[k] + (n - k) c).
    cut = len(size) - np.arange(len(size) + 1)
    divisor = 1 - share * cut
    cap = np.divide(share * below, divisor, out=np.full(len(below), np.inf), where=divisor > 0)
    limit = cap[np.argmax(np.append(size, np.inf) >= cap)]
    return np.clip(gains, -limit, limit)


def market(held: HeldOut, price_book: pd.DataFrame, folds: int) -> Market:
    """Build the judge: the held-out periods of the series with a known cost and a price.

    Rows with an absurd price or quantity are left out, and the log says how many.
    """
    panel = _plausible(pd.concat([held.history, held.actual], ignore_index=True))
    start = pd.Timestamp(held.start)
    history, actual = panel[panel["period"] < start], panel[panel["period"] >= start]
    latest = history.groupby(SERIES, as_index=False).tail(1)
    costs = price_book[[*SERIES, "unit_cost", "cost_assumed", "map_price"]]
    known = latest.drop(columns=["map_price"], errors="ignore").merge(costs, on=SERIES)
    known = known[known["unit_cost"].notna() & (known["price"] > 0)].reset_index(drop=True)
    rows = actual.merge(known[SERIES].assign(series=np.arange(len(known))), on=SERIES)
    rows = rows[rows["price"] > 0].reset_index(drop=True)
    units = recent_units(history).rename(columns={"units": "usual"})
    book = known.merge(units, on=SERIES, how="left").drop(columns="units")
    book = book.rename(columns={"usual": "units"})
    category = rows["category"].fillna(rows["sku"]).astype(str)
    rows["market"] = rows.groupby(["zone", "period", category], sort=False).ngroup()
    rows["usual"] = book["units"].to_numpy()[rows["series"]]
    estimates = _estimates(panel, known, folds, held.start)
    return Market(_listings(known), rows, *estimates, book, _charged(panel, known))


def _plausible(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows whose price and units are within the limits around their series' medians."""
    sold = panel[(panel["units"] > 0) & (panel["price"] > 0)]
    medians = sold.groupby(SERIES)[["price", "units"]].median().add_prefix("median_").reset_index()
    usual = panel[SERIES].merge(medians, on=SERIES, how="left")
    price = (panel["price"] / usual["median_price"].to_numpy()).fillna(1.0)
    units = (panel["units"] / usual["median_units"].to_numpy()).fillna(1.0)
    credible = price.between(1 / MAX_PRICE_RATIO, MAX_PRICE_RATIO) & (units <= MAX_UNITS_RATIO)
    if not credible.all():
        log.info(
            "The profit backtest leaves out %d of %d rows with a price or units far from usual.",
            (~credible).sum(),
            len(panel),
        )
    return panel[credible]


def _charged(panel: pd.DataFrame, known: pd.DataFrame) -> Floats:
    """[series, 2]: the range of prices with sales, widened by `RANGE_MARGIN`."""
    sold = panel[(panel["units"] > 0) & (panel["price"] > 0)]
    extremes = sold.groupby(SERIES)["price"].agg(["min", "max"]).reset_index()
    of_series = known[[*SERIES, "price"]].merge(extremes, on=SERIES, how="left")
    low = of_series["min"].fillna(of_series["price"]).to_numpy(float) * (1 - RANGE_MARGIN)
    high = of_series["max"].fillna(of_series["price"]).to_numpy(float) * (1 + RANGE_MARGIN)
    return np.column_stack([low, high])


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


def _estimates(
    panel: pd.DataFrame, known: pd.DataFrame, folds: int, start: date
) -> tuple[Floats, Floats, Ints, float, pd.DataFrame]:
    """The judge's estimates, in the order of `Market`'s attributes.

    Returns:
        own elasticity, standard error and department code of each series; the cross elasticity;
        the residuals from `start` on.
    """
    rows = usable_rows(with_series_codes(panel))
    others = rest_of_category(rows, log_price(rows)[:, None])
    remainder = residualise(rows, folds, rivals=False, other_prices=others)
    cross = _cross(remainder)
    units = remainder.units - cross * remainder.other_prices[:, 0]
    weighted = remainder.weight * remainder.price
    slopes = pd.DataFrame({"xy": weighted * units, "xx": weighted * remainder.price})
    slopes["department"] = rows["department"].to_numpy()
    shop = _ratio(float(slopes["xy"].sum()), float(slopes["xx"].sum()))
    noise = np.average((units - shop * remainder.price) ** 2 * remainder.weight)
    sums = slopes.groupby("department")[["xy", "xx"]].sum() / max(noise, 1e-12)
    # A normal prior around the shop's slope: precision-weighted mean of prior and data.
    precision = sums["xx"] + DEPARTMENT_SD**-2
    shrunk = (sums["xy"] + shop * DEPARTMENT_SD**-2) / precision
    department = known["department"].fillna("")
    slope = department.map(shrunk).fillna(shop).to_numpy(float)
    error = department.map(precision**-0.5).fillna(DEPARTMENT_SD).to_numpy(float)
    kept = rows[[*SERIES, "period"]].assign(
        units=units, price=remainder.price, weight=remainder.weight
    )
    kept = kept[kept["period"] >= pd.Timestamp(start)].reset_index(drop=True)
    return np.minimum(slope, LEAST_ELASTIC), error, pd.factorize(department)[0], cross, kept


def _ratio(numerator: float, denominator: float) -> float:
    """0 where no price has moved, so that no slope can be estimated."""
    return numerator / denominator if denominator > 0 else 0.0


def _cross(remainder: Residuals) -> float:
    """The shop's elasticity to the other prices of a category, with own price; at least 0."""
    prices = np.column_stack([remainder.price, remainder.other_prices[:, 0]])
    gram = prices.T @ (remainder.weight[:, None] * prices)
    if gram[1, 1] <= 1e-9 * gram[0, 0]:
        return 0.0
    slopes = np.linalg.solve(gram, prices.T @ (remainder.weight * remainder.units))
    return max(float(slopes[1]), 0.0)
