"""How a model pair would have done in periods it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.controls import coded, usable
from models.demand import four_period_mean
from models.orthogonal import residuals
from models.response import ResponseModel
from models.segments import with_own_elasticity
from pricebook import metrics
from pricebook.config import Quote
from pricebook.decision import Listings, decide_many
from pricebook.errors import EmptyHistory

Floats = NDArray[np.float64]

SERIES = ["sku", "zone"]
PLANNED = [*SERIES, "period", "price", "display", "mailer", "promotion"]


@dataclass(frozen=True)
class HeldOut:
    """A panel cut in two: what a model may learn from, and the periods it is judged on."""

    history: pd.DataFrame
    actual: pd.DataFrame

    @property
    def planned(self) -> pd.DataFrame:
        """The held-out periods without what only hindsight knows."""
        return self.actual[PLANNED]

    @property
    def start(self) -> date:
        """The first held-out period."""
        return self._day("min")

    @property
    def end(self) -> date:
        """The last held-out period."""
        return self._day("max")

    def _day(self, which: str) -> date:
        return date.fromisoformat(str(self.actual["period"].agg(which))[:10])


def hold_out(panel: pd.DataFrame, horizon: int) -> HeldOut:
    """Hold out the last `horizon` periods of a panel.

    Raises:
        EmptyHistory: nothing would be left to learn from.
    """
    periods = np.sort(panel["period"].unique())
    if len(periods) <= 2 * horizon:
        raise EmptyHistory(
            f"train.horizon holds out {horizon} periods and needs as many again before them. "
            f"Received: {len(periods)} periods"
        )
    seen = panel["period"] < periods[-horizon]
    return HeldOut(panel[seen].reset_index(drop=True), panel[~seen].reset_index(drop=True))


def largest(history: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """The keys of the `count` series with most units; of all where `count` is None."""
    units = history.groupby(SERIES, as_index=False)["units"].sum()
    ranked = units.sort_values(["units", *SERIES], ascending=[False, True, True])
    return ranked.head(count or len(ranked))[SERIES]


def paired(forecast: pd.DataFrame, held: HeldOut, count: int | None) -> pd.DataFrame:
    """Forecast and actual units side by side, for the largest series."""
    actual = held.actual[[*SERIES, "period", "units", "department"]]
    return forecast.merge(actual, on=[*SERIES, "period"]).merge(
        largest(held.history, count), on=SERIES
    )


def demand_metrics(forecast: pd.DataFrame, held: HeldOut, count: int | None) -> dict[str, float]:
    """Held-out error, bias and calibration of a forecast, beside the four-period mean's error."""
    horizon = held.actual["period"].nunique()
    both = paired(forecast, held, count)
    naive = paired(four_period_mean(held.history, horizon), held, count)
    y, mean = both["units"].to_numpy(float), both["mean"].to_numpy(float)
    low, high = both["q10"].to_numpy(float), both["q90"].to_numpy(float)
    return {
        "wape": metrics.wape(y, mean),
        "wape_four_period_mean": metrics.wape(
            naive["units"].to_numpy(float), naive["mean"].to_numpy(float)
        ),
        "bias": metrics.bias(y, mean),
        "coverage_80": metrics.coverage(y, low, high),
        "pinball_50": metrics.pinball(y, both["q50"].to_numpy(float), 0.5),
        "wape_all": _wape(paired(forecast, held, None)),
    }


def department_wape(forecast: pd.DataFrame, held: HeldOut, count: int | None) -> pd.DataFrame:
    """Error by department: columns department, units, wape."""
    both = paired(forecast, held, count)
    both["error"] = (both["mean"] - both["units"]).abs()
    sums = both.groupby("department", dropna=False, as_index=False)[["units", "error"]].sum()
    sums["wape"] = sums["error"] / sums["units"].clip(lower=1)
    return sums[["department", "units", "wape"]]


def _wape(both: pd.DataFrame) -> float:
    return metrics.wape(both["units"].to_numpy(float), both["mean"].to_numpy(float))


def response_metrics(model: ResponseModel) -> dict[str, float]:
    """What the response model says of the shop: its elasticities, their spread and signs."""
    elasticities, summary = model.elasticities(), model.summary
    everyone = elasticities[elasticities["segment"] == "everyone"]
    values = everyone["elasticity"]
    return {
        "elasticity_pooled": summary.pooled,
        "elasticity_pooled_stderr": summary.pooled_stderr,
        "elasticity_without_promotion_controls": summary.pooled_without_promotion_controls,
        "elasticity_mean": float(values.mean()),
        "elasticity_p10": float(values.quantile(0.1)),
        "elasticity_p90": float(values.quantile(0.9)),
        "stderr_median": float(everyone["stderr"].median()),
        "share_negative": float((elasticities["elasticity"] < 0).mean()),
        "segments_with_own_elasticity": float(len(with_own_elasticity(elasticities))),
    }


def as_model_input(held: HeldOut) -> pd.DataFrame:
    """History and plan in one frame, as the registered model takes it; a plan has no units."""
    return pd.concat([held.planned.assign(units=np.nan), held.history], ignore_index=True)


@dataclass(frozen=True)
class Market:
    """What a price would have done in the held-out periods, by a judge no model has a hand in.

    The judge takes the units that were sold at the price that was charged, and moves them along a
    constant-elasticity curve to the price to be judged. Its elasticities are departments' least
    squares slopes on orthogonalised residuals of all periods, held-out ones included, shrunk to the
    shop's. It is the same for every pair judged on one data version.

    Columns of `rows`: series, units, price, a row a held-out period. `elasticity` is per series.
    """

    listings: Listings
    rows: pd.DataFrame
    elasticity: Floats

    def profit(self, prices: Floats) -> Floats:
        """Gross profit per series, in minor units, had these prices (series,) been charged."""
        series = self.rows["series"].to_numpy()
        charged = prices[series]
        ratio = (charged / self.rows["price"].to_numpy(float)) ** self.elasticity[series]
        gained = (charged - self.listings.unit_cost[series]) * self.rows["units"] * ratio
        profit: Floats = np.bincount(series, gained, minlength=len(prices)).astype(float)
        return profit

    def status_quo(self) -> Floats:
        """Gross profit per series at the prices that were charged."""
        rows, series = self.rows, self.rows["series"].to_numpy()
        gained = (rows["price"] - self.listings.unit_cost[series]) * rows["units"]
        profit: Floats = np.bincount(series, gained, minlength=len(self.listings)).astype(float)
        return profit

    def own_prices(self, elasticities: pd.DataFrame, limits: Quote) -> Floats:
        """The prices (series,) a response model's elasticities lead to, within the guardrails."""
        everyone = elasticities[elasticities["segment"] == "everyone"]
        keys = pd.DataFrame({"sku": self.listings.sku, "zone": self.listings.zone})
        own = keys.merge(everyone, on=SERIES, how="left")["elasticity"].to_numpy(float)
        by_key = dict(zip(zip(keys["sku"], keys["zone"], strict=True), own, strict=True))

        def ratio(listings: Listings, _: object, ratios: Floats) -> Floats:
            found = [by_key[key] for key in zip(listings.sku, listings.zone, strict=True)]
            raised: Floats = ratios ** np.array(found)[:, None]
            return raised

        asked = ["everyone"] * len(self.listings)
        return np.array([d.price for d in decide_many(self.listings, asked, limits, ratio)], float)


def market(held: HeldOut, price_book: pd.DataFrame, folds: int) -> Market:
    """The held-out periods as a market of the series with a known cost and a price."""
    latest = held.history.groupby(SERIES, as_index=False).tail(1)
    costs = price_book[[*SERIES, "unit_cost", "cost_assumed", "map_price"]]
    known = latest.drop(columns=["map_price"], errors="ignore").merge(costs, on=SERIES)
    known = known[known["unit_cost"].notna() & (known["price"] > 0)].reset_index(drop=True)
    series = known[SERIES].assign(series=np.arange(len(known)))
    rows = held.actual.merge(series, on=SERIES)
    panel = pd.concat([held.history, held.actual], ignore_index=True)
    return Market(_listings(known), rows[rows["price"] > 0], _judged(panel, known, folds))


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


def _judged(panel: pd.DataFrame, known: pd.DataFrame, folds: int) -> Floats:
    """Elasticity per series: its department's slope, shrunk to the shop's (variance .25)."""
    rows = usable(coded(panel))
    left = residuals(rows, folds)
    weighted = left.weight * left.price
    slopes = pd.DataFrame({"xy": weighted * left.units, "xx": weighted * left.price})
    slopes["department"] = rows["department"].to_numpy()
    shop = slopes["xy"].sum() / slopes["xx"].sum()
    noise = np.average((left.units - shop * left.price) ** 2 * left.weight)
    sums = slopes.groupby("department")[["xy", "xx"]].sum()
    shrunk = (sums["xy"] / noise + shop / 0.25) / (sums["xx"] / noise + 1 / 0.25)
    judged = known["department"].fillna("").map(shrunk).fillna(shop)
    elasticity: Floats = np.minimum(judged.to_numpy(float), -0.05)
    return elasticity


def gain(new: Floats, old: Floats, seed: int) -> tuple[float, float]:
    """Total gain of one pair over another and its standard error, by bootstrap over series."""
    difference = new - old
    draws = np.random.default_rng(seed).integers(0, len(difference), (500, len(difference)))
    return float(difference.sum()), float(difference[draws].sum(axis=1).std())
