"""Pricebook's policies: the response model's prices after the guardrails, as in the service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchmarks.inputs.simulated import CATEGORIES_OF_A_DEPARTMENT, panel, sku_names
from benchmarks.profit.shop import LIMITS, Floats, Ints, Policy, Shop, Trajectory
from models.response.cannibalisation import MAX_SHARE
from pricebook.config import Response
from pricebook.pricing import guardrails, objective
from pricebook.pricing.cannibalisation import opportunity_cost
from pricebook.pricing.decision import Decision, Listings, decide_many
from pricebook.simulation.market import Offer, State

RECENT, USUAL = 13, 8  # weeks for the usual units and for the reference price
ROUNDS = 4  # iterations between the prices and the margins of substitutes
NOT_A_GUARDRAIL = ("model", "ladder", "long_run")


@dataclass(frozen=True)
class Elasticities:
    """Estimates from the shop's history: own elasticities [n], and to the rest of the category."""

    own: Floats
    cross: Floats

    @classmethod
    def fit(cls, shop: Shop) -> Elasticities:
        """Fit the response model once, on the history."""
        from models.response import model as response

        no_shoppers = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units"])
        model = response.fit(
            panel(shop.market, shop.history, "all"), no_shoppers, Response(), shop.seed
        )
        cross = model.cross()
        cross = cross.loc[cross["kind"] == "category", ["sku", "elasticity"]]
        keys = pd.DataFrame({"sku": sku_names(shop.market)})
        return cls(
            *(
                keys.merge(table, on="sku", how="left")["elasticity"].to_numpy(float)
                for table in (model.by_sku(), cross)
            )
        )

    def lost_margin(self, shop: Shop, units: Floats, price: Floats | Ints) -> Floats:
        """The margin that each additional unit takes from substitutes [n]."""
        margin = np.asarray(price - shop.cost)
        return opportunity_cost(self.own, self.cross, units, margin, shop.market.category)


def profit(shop: Shop, known: Elasticities) -> Policy:
    """Objective `profit`: the highest short-run profit, with substitutes at the same prices."""
    no_term = np.zeros(shop.market.spec.skus)

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        units = shop.recent(trajectory, "units", RECENT).mean(axis=0)
        listings = current_listings(shop, trajectory, no_term)
        price = listings.last_public_price
        for _ in range(ROUNDS):
            lost = known.lost_margin(shop, units, price)
            decisions = _decide(replace(listings, cannibalised=lost), known.own)
            price = np.array([decision.price for decision in decisions], float)
        return _count_rules(trajectory, decisions)

    return decide


def calibrated(shop: Shop, known: Elasticities) -> Policy:
    """Objective `calibrated`, with the terms and the lost margins of one bundle.

    Both are computed at the end of the history. The term makes list prices optimal with the lost
    margins at list prices, so these stay.
    """
    rows = _rows(shop, known)
    terms, lost = objective.calibrated(rows), rows.marginal_cost - shop.cost

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        listings = replace(current_listings(shop, trajectory, terms), cannibalised=lost)
        return _count_rules(trajectory, _decide(listings, known.own))

    return decide


def _rows(shop: Shop, known: Elasticities) -> objective.Rows:
    """What the objective reads of the shop at the end of its history."""
    units = shop.recent(Trajectory(), "units", RECENT).mean(axis=0)
    listed = shop.market.list_price
    most = MAX_SHARE * np.maximum(listed - shop.cost, 0)
    missing = np.full(len(listed), np.nan)
    return objective.Rows(
        elasticity=known.own,
        list_price=listed.astype(float),
        marginal_cost=shop.cost + np.minimum(known.lost_margin(shop, units, listed), most),
        floor=guardrails.floors(shop.cost, missing, listed, LIMITS),
        usual_price=_usual_price(shop, Trajectory()),
        units=units,
        department=shop.market.category // CATEGORIES_OF_A_DEPARTMENT,
    )


def _usual_price(shop: Shop, trajectory: Trajectory) -> Floats:
    return np.asarray(np.median(shop.recent(trajectory, "price", USUAL), axis=0))


def _count_rules(trajectory: Trajectory, decisions: list[Decision]) -> Ints:
    """Count the guardrails that changed a price, and return the prices [n]."""
    rules = [reason.rule for decision in decisions for reason in decision.reasons]
    trajectory.hits.update(rule for rule in rules if rule not in NOT_A_GUARDRAIL)
    return np.array([decision.price for decision in decisions], np.int64)


def current_listings(shop: Shop, trajectory: Trajectory, long_run: Floats) -> Listings:
    """The price book after the weeks so far; steps start from last week's prices."""
    count = shop.market.spec.skus
    return Listings(
        sku=np.array(sku_names(shop.market), object),
        zone=np.full(count, "all", object),
        list_price=shop.market.list_price,
        reference_price=_usual_price(shop, trajectory),
        unit_cost=shop.cost,
        cost_assumed=np.zeros(count, bool),
        map_price=np.full(count, np.nan),
        competitor_price=np.full(count, np.nan),
        modelled=np.ones(count, bool),
        long_run=long_run,
        public_price=shop.recent(trajectory, "price", 1)[0],
    )


def _decide(listings: Listings, own: Floats) -> list[Decision]:
    by_sku = dict(zip(listings.sku, own, strict=True))

    def ratio(rows: Listings, _: Sequence[str], ratios: Floats) -> Floats:
        return np.asarray(ratios ** np.array([by_sku[sku] for sku in rows.sku])[:, None])

    return decide_many(listings, ["everyone"] * len(listings), LIMITS, ratio)
