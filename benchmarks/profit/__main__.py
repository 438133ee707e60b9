"""Compare the profit of pricing policies in simulated markets, with an oracle as the upper bound.

    python -m benchmarks.profit [--seeds 20]

The shop follows its usual policy for two years. Then each policy sets the prices of the same 52
weeks, from the same stock, with the shop's displays and mailers, limited stock and competitors that
react. All prices are rungs between floor and list price. Pricebook's policies use the response
model, fitted once on the history, the cost of sales lost by substitutes, and the guardrails with
their step limit. They need no demand forecast, because the best price does not depend on the level
of demand.

There are two kinds of markets. In the first, as many shoppers visit whatever the shop charges, and
half of the list prices are too high. In the second, shoppers also choose the shop by its price
image, and list prices are right on average in the long run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.inputs.simulated import each_seed, seed_range
from benchmarks.profit import ours, rivals
from benchmarks.profit.oracle import oracles
from benchmarks.profit.shop import WEEKS, Shop, best, draw_shop, run
from benchmarks.report import Bar, Plot, print_result, write_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SEEDS = 20
STATUS_QUO, ORACLE = "status quo", "oracle"
COST_PLUS, MARK_UP = "cost-plus", "best single mark-up, in hindsight"
PROFIT, CALIBRATED = "Pricebook (profit)", "Pricebook (calibrated)"
GAIN = "share of the oracle's gain"
WITHOUT, WITH = "profit", "profit-store-choice"  # the names of the results
SHARES = {WITHOUT: {PROFIT: 0.865, CALIBRATED: 0.75}, WITH: {CALIBRATED: 0.85}}  # targets
STRETCH = 0.9
TITLES = {
    WITHOUT: "Profit over {weeks} weeks in {markets} simulated markets",
    WITH: "Profit over {weeks} weeks in {markets} simulated markets with store choice",
}
NOTES = {
    WITHOUT: (
        "As many shoppers visit whatever the shop charges, so short-run and long-run profit are "
        "the same. Half of the list prices are too high. `Pricebook (calibrated)` assumes that "
        "list prices are right on average, which costs it part of the gain here."
    ),
    WITH: (
        "The same markets, but who visits depends on what the shop has been charging: a shop that "
        "stays 1 % dearer loses about 2 % of its visits. Costs are such that list prices are right "
        "on average in the long run, and wrong by 15 % sku by sku (standard deviation). That is "
        "what `Pricebook (calibrated)` assumes, so the table shows what it earns where its "
        "assumption holds on average. Its other assumption, the same long-run term for every sku "
        "of a department, does not hold here. The stronger store choice is relative to choice "
        "within the shop, the more that costs: in four other markets with `price_sensitivity` 1 "
        "instead of 1.6 it earned 0.63 of the gain, less than the best single mark-up. "
        "Profit is long-run profit: it includes the change in "
        "visits. Short-run profit is what the same prices earn if as many shoppers visit as at the "
        "start. The oracle knows the true demand and what this week's prices do to later visits."
    ),
}


def every_policy(shop: Shop) -> dict[str, dict[str, float]]:
    """The results of all policies in one market."""
    known = ours.Elasticities.fit(shop)
    return {
        STATUS_QUO: run(
            shop, lambda week, state, usual_offer, trajectory: np.asarray(usual_offer.price)
        ),
        COST_PLUS: run(shop, rivals.cost_plus(shop)),
        MARK_UP: best(shop, (rivals.marked_up(shop, m) for m in rivals.MARKUPS)),
        "greedy on LightGBM": run(shop, rivals.greedy(shop)),
        "Thompson sampling, linear demand": run(shop, rivals.thompson(shop)),
        PROFIT: run(shop, ours.profit(shop, known)),
        CALIBRATED: run(shop, ours.calibrated(shop, known)),
        ORACLE: best(shop, oracles(shop)),
    }


def rows(markets: Sequence[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """A row for each policy: means over the markets, and its share of the oracle's gain."""
    profit = {name: np.array([market[name]["profit"] for market in markets]) for name in markets[0]}
    oracle_gain = profit[ORACLE] - profit[STATUS_QUO]
    table = []
    for name, policy_profit in profit.items():
        figures = markets[0][name]
        means = {k: float(np.mean([market[name][k] for market in markets])) for k in figures}
        gain = policy_profit - profit[STATUS_QUO]
        share = float(gain.sum() / oracle_gain.sum())
        # The standard error of a ratio of sums, by the delta method.
        residual = gain - share * oracle_gain
        error = float(np.std(residual, ddof=1) / np.sqrt(len(gain)) / oracle_gain.mean())
        table.append({"policy": name, GAIN: share, "±": error, **means})
    return table


def bars(name: str, table: Sequence[dict[str, Any]]) -> list[Bar]:
    """The targets of a table: shares of the oracle's gain, and more profit than each alternative.

    Without store choice, Pricebook's policy is `profit`. With store choice it is `calibrated`, and
    `profit` is one of the alternatives.
    """
    by_policy = {row["policy"]: row for row in table}
    policy = CALIBRATED if name == WITH else PROFIT
    others = [other for other in by_policy if other not in (PROFIT, CALIBRATED, ORACLE)]
    if name == WITH:
        others.append(PROFIT)
    return [
        *(
            Bar(f"{which}, {GAIN}", by_policy[which][GAIN], share, at_most=False)
            for which, share in SHARES[name].items()
        ),
        Bar(f"{policy}, {GAIN} (stretch target)", by_policy[policy][GAIN], STRETCH, at_most=False),
        *(
            Bar(
                f"profit of {policy} / {other}",
                by_policy[policy]["profit"] / by_policy[other]["profit"],
                1.0,
                at_most=False,
            )
            for other in others
        ),
    ]


def main() -> None:
    seeds = seed_range(__doc__, SEEDS)
    for name, title_format in TITLES.items():
        results = each_seed(
            seeds,
            f"{name}, market",
            lambda seed, name=name: every_policy(draw_shop(seed, name == WITH)),
        )
        table = rows(results)
        title = title_format.format(weeks=WEEKS, markets=len(seeds))
        targets = bars(name, table)
        print_result(title, table, targets)
        if seeds == range(SEEDS):
            plot = Plot("policy", GAIN)
            command = "python -m benchmarks.profit"
            write_result(name, title, command, table, targets, plot, note=NOTES[name])


if __name__ == "__main__":
    main()
