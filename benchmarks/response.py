"""Compare the price response with least squares and with EconML's and DoubleML's estimators.

    python -m benchmarks.response [--seeds 20]

The first part uses simulated markets, whose elasticities are known. All methods use the same rows
and the same controls: display, mailer, stock, the competitor's price, season, and the price and
promotions of the category's other skus. The second part uses the Complete Journey, whose
elasticities are unknown. It measures the effect of the promotion controls, the correlation
between the elasticities of two halves of the stores, and the errors of the prices. A third part
(`benchmarks.conditions`) has simulated markets with few transactions, and without promotions.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import conditions
from benchmarks.inputs.panel import benchmark_panel
from benchmarks.inputs.simulated import SimulatedShop, simulate_shop
from benchmarks.report import Bar, Plot, print_result, write_result
from models.response.controls import (
    control_columns,
    group_means,
    log_price,
    usable_rows,
    with_series_codes,
)
from models.response.model import ResponseModel, fit
from models.response.residuals import residualise
from models.response.slopes import series_slopes
from pricebook.config import Response

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAME, TITLE = "response", "Price response"
COMMAND = "python -m benchmarks.response"
FOLDS, CHUNKS = 4, 16  # each fold is four of sixteen separate chunks of time
HALVES = ("hash(t.store_id) % 2 = 0", "hash(t.store_id) % 2 = 1")
NO_SHOPPERS = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units", "price"])
Result = TypeVar("Result")
PENALTIES = np.logspace(-3, 3, 13)
OURS, LEAST_SQUARES = "Pricebook", "least squares, sku and week effects"


@dataclass(frozen=True)
class Rows:
    """The data of all methods. Log units and log price are differences from the sku's mean."""

    units: Floats
    price: Floats
    controls: Floats
    category: Ints
    sku: Ints
    block: Ints

    @property
    def splits(self) -> list[tuple[Ints, Ints]]:
        return [
            (np.flatnonzero(self.block != block), np.flatnonzero(self.block == block))
            for block in range(FOLDS)
        ]

    @property
    def skus(self) -> Floats:
        """An indicator column for each sku."""
        return np.eye(self.sku.max() + 1)[self.sku]


def rows(panel: pd.DataFrame) -> Rows:
    """Prepare a panel for the other methods."""
    sold = usable_rows(with_series_codes(panel)).query("units > 0")
    sku = np.asarray(pd.factorize(sold["series"], sort=True)[0], np.int64)
    period = np.asarray(pd.factorize(sold["period"], sort=True)[0], np.int64)
    logs = np.column_stack([np.log(sold["units"].to_numpy(float)), log_price(sold)])
    stock = sold[["on_hand_share"]].to_numpy(float)
    columns = np.hstack([control_columns(sold, promotions=True, rivals=True), stock])
    within = np.hstack([logs, columns])
    within = within - group_means(within, sku)
    category = np.asarray(pd.factorize(sold["category"], sort=True)[0], np.int64)
    block = period * CHUNKS // (period.max() + 1) % FOLDS
    return Rows(within[:, 0], within[:, 1], _scaled(within[:, 2:]), category, sku, block)


def _scaled(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return np.asarray(values[:, spread > 1e-9] / spread[spread > 1e-9])


def ridge(data: Rows) -> Floats:
    """EconML's LinearDML with ridge regressions. The controls interact with the category."""
    from sklearn.linear_model import RidgeCV

    by_category = np.eye(data.category.max() + 1)[data.category]
    products = np.einsum("mq,mc->mcq", data.controls, by_category).reshape(len(data.units), -1)
    nuisance = _scaled(np.hstack([data.controls, products]))
    return _econml(data, lambda: RidgeCV(PENALTIES), nuisance)


def _econml(data: Rows, model: Callable[[], Any], nuisance: Floats) -> Floats:
    from econml.dml import LinearDML

    estimator = LinearDML(
        model_y=model(),
        model_t=model(),
        cv=data.splits,
        fit_cate_intercept=False,
        random_state=0,
    )
    estimator.fit(data.units, data.price, X=data.skus, W=nuisance)
    return np.asarray(estimator.effect(np.eye(data.sku.max() + 1)), np.float64)


def doubleml(data: Rows) -> Floats:
    """DoubleML's partially linear regression, separately for each sku, with lassos."""
    return np.array([_doubleml(data, sku) for sku in range(data.sku.max() + 1)])


def _doubleml(data: Rows, sku: int) -> float:
    from doubleml import DoubleMLData, DoubleMLPLR
    from sklearn.linear_model import LassoCV

    of_sku = data.sku == sku
    arrays = _scaled(data.controls[of_sku]), data.units[of_sku], data.price[of_sku]
    blocks = [np.flatnonzero(data.block[of_sku] == block) for block in range(FOLDS)]
    all_rows = np.arange(of_sku.sum())
    estimator = DoubleMLPLR(
        DoubleMLData.from_arrays(*arrays),
        LassoCV(cv=4),
        LassoCV(cv=4),
        n_folds=FOLDS,
        draw_sample_splitting=False,
    )
    estimator.set_sample_splitting([(np.setdiff1d(all_rows, test), test) for test in blocks])
    return float(estimator.fit().coef[0])


def least_squares(panel: pd.DataFrame, columns: tuple[str, ...] = ()) -> float:
    """The slope of log units on log price, controlling for sku, week and `columns`."""
    sold = panel[(panel["units"] > 0) & (panel["price"] > 0)]
    groups = [np.unique(sold[name], return_inverse=True)[1] for name in ("sku", "period")]
    logs = np.log(sold[["units", "price"]].to_numpy(float))
    within = np.hstack([logs, sold[list(columns)].to_numpy(float)])
    for _ in range(50):
        for group in groups:
            within = within - group_means(within, group)
    return float(np.linalg.lstsq(within[:, 1:], within[:, 0], rcond=None)[0][0])


RIVALS: dict[str, Callable[[Rows], Floats]] = {
    "EconML LinearDML, ridge by category": ridge,
    "DoubleML PLR per sku, lasso": doubleml,
}


def market(seed: int) -> list[dict[str, Any]]:
    """A row for each method: error of the pooled elasticity, error per sku, coverage, seconds."""
    shop = simulate_shop(seed)
    truth = shop.by_sku.sort_values("sku")["elasticity"].to_numpy()
    data = rows(shop.panel)
    results = [_ours(shop, truth)]
    for name, method in RIVALS.items():
        value, seconds = _timed(lambda method=method: method(data))  # type: ignore[misc]
        results.append(_row(name, float(value.mean()), value, truth, seconds))
    pooled, seconds = _timed(lambda: least_squares(shop.panel))
    results.append(_row(LEAST_SQUARES, pooled, np.full(len(truth), pooled), truth, seconds))
    return results


def _ours(shop: SimulatedShop, truth: Floats) -> dict[str, Any]:
    model, seconds = _timed(lambda: fit(shop.panel, NO_SHOPPERS, Response(), 7))
    own = model.by_sku().sort_values("sku")
    row = _row(OURS, model.summary.pooled, own["elasticity"].to_numpy(), truth, seconds)
    inside = (own["low"].to_numpy() <= truth) & (truth <= own["high"].to_numpy())
    return {**row, "coverage of the 90 % interval": float(inside.mean())}


def _timed(call: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def _row(name: str, pooled: float, value: Floats, truth: Floats, seconds: float) -> dict[str, Any]:
    error = float(np.sqrt(np.mean((value - truth) ** 2)))
    bias = pooled / float(truth.mean()) - 1
    return {
        "method": name,
        "pooled relative bias": bias,
        "error per sku": error,
        "seconds": seconds,
    }


def summary(markets: pd.DataFrame) -> tuple[list[dict[str, Any]], list[Bar]]:
    """Means over the seeds, and their targets."""
    table = markets.groupby("method", sort=False).mean(numeric_only=True).drop(columns="seed")
    ours, best = table.loc[OURS], table.loc[list(RIVALS)].sort_values("error per sku").iloc[0]
    bars = [
        Bar("pooled elasticity, absolute relative bias", abs(ours["pooled relative bias"]), 0.05),
        Bar(
            "least squares, absolute relative bias",
            abs(table.loc[LEAST_SQUARES, "pooled relative bias"]),
            0.25,
            at_most=False,
        ),
        Bar(
            "coverage of the 90 % interval",
            ours["coverage of the 90 % interval"],
            0.85,
            at_most=False,
        ),
        Bar("coverage of the 90 % interval", ours["coverage of the 90 % interval"], 0.95),
        Bar(
            f"error per sku, ours / {best.name}", ours["error per sku"] / best["error per sku"], 0.8
        ),
        Bar(f"seconds, ours / {best.name}", ours["seconds"] / best["seconds"], 1.0),
    ]
    return [{str(k): v for k, v in row.items()} for row in _records(table)], bars


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    without_nan = table.astype(object).where(table.notna(), None)
    return list(without_nan.reset_index().to_dict("records"))


def journey() -> tuple[list[dict[str, Any]], list[Bar], dict[str, Any]]:
    """The elasticities of the Complete Journey's 500 best sellers: a table, bars and details."""
    panel = conditions.journey_panel()
    model = fit(panel, NO_SHOPPERS, Response(), 7)
    elasticities, totals = model.elasticities(), model.summary
    margin = 1.645 * totals.pooled_stderr  # a 90 % interval
    table = [
        {
            "method": OURS,
            "with promotion controls": totals.pooled,
            "low": totals.pooled - margin,
            "high": totals.pooled + margin,
            "without promotion controls": totals.pooled_without_promotion_controls,
            "reliability": totals.reliability,
            "uncorrected": totals.pooled_uncorrected,
        },
        {
            "method": LEAST_SQUARES,
            "with promotion controls": least_squares(panel, ("display", "mailer")),
            "without promotion controls": least_squares(panel),
        },
    ]
    shrunk, unshrunk = halves(panel)
    bars = [
        Bar("Complete Journey: largest elasticity", float(elasticities["elasticity"].max()), 0.0),
        Bar(
            f"correlation of elasticities between store halves (unshrunk: {unshrunk:.2f})",
            shrunk,
            0.6,
            at_most=False,
        ),
    ]
    figures = {"halves_shrunk": shrunk, "halves_unshrunk": unshrunk}
    return table, bars, {**figures, "split_sample": conditions.split_sample(panel)}


def halves(panel: pd.DataFrame) -> tuple[float, float]:
    """The correlation of elasticities per sku between two halves of the stores.

    Returns:
        the correlation of the shrunk elasticities, and of the unshrunk ones.
    """
    both = [benchmark_panel(stores=half) for half in HALVES]
    skus = set(both[0]["sku"]) & set(both[1]["sku"]) & set(panel["sku"])
    both = [half[half["sku"].isin(skus)] for half in both]
    shrunk = [_by_sku(fit(half, NO_SHOPPERS, Response(), 7)) for half in both]
    slopes = [_slopes(half) for half in both]
    return float(shrunk[0].corr(shrunk[1])), float(slopes[0].corr(slopes[1]))


def _by_sku(model: ResponseModel) -> pd.Series:
    return model.by_sku().set_index("sku")["elasticity"]


def _slopes(panel: pd.DataFrame) -> pd.Series:
    """The unshrunk elasticity of each sku that has one."""
    data, spec = usable_rows(with_series_codes(panel)), Response()
    slopes = series_slopes(
        residualise(data, spec.folds), int(data["series"].max()) + 1, spec.min_sales_periods
    )
    skus = data.drop_duplicates("series").set_index("series")["sku"]
    slope = pd.Series(slopes.slope).where(slopes.precision > 0).reindex(skus.index)
    return pd.Series(slope.to_numpy(), index=skus.to_numpy()).dropna()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="how many markets to simulate")
    seeds = parser.parse_args().seeds
    warnings.filterwarnings("ignore")
    # Warm up, so that no measured time includes the start of TensorFlow or EconML.
    fit(simulate_shop(0).panel, NO_SHOPPERS, Response(epochs=1), 7)
    ridge(rows(simulate_shop(0).panel))
    markets = pd.DataFrame([{"seed": seed, **row} for seed in range(seeds) for row in market(seed)])
    table, bars = summary(markets)
    print_result(f"{TITLE}: means over {seeds} simulated markets", table, bars)
    hard = pd.DataFrame([row for seed in range(seeds) for row in conditions.conditions(seed)])
    hard_table, hard_bars = conditions.summary(hard)
    print_result(f"{TITLE}: means over {seeds} markets, harder conditions", hard_table, hard_bars)
    real, real_bars, figures = journey()
    print_result(f"{TITLE}: the Complete Journey's 500 best sellers", real, real_bars)
    print_result(f"{TITLE}: errors in its prices", [figures["split_sample"]], [])
    plot = Plot("method", "error per sku")
    by_seed = markets.astype(object).where(markets.notna(), None).to_dict("records")
    command = COMMAND if seeds == 20 else f"{COMMAND} --seeds {seeds}"
    write_result(
        NAME,
        TITLE,
        command,
        table,
        [*bars, *hard_bars, *real_bars],
        plot,
        conditions=hard_table,
        journey=real,
        **figures,
        by_seed=by_seed,
    )


if __name__ == "__main__":
    main()
