"""The long-run term and the public price of each row of a price book, from a model's tables.

This applies `pricebook.pricing.objective` to a price book: it chooses the objective that params
name, and fills its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.response.segments import EVERYONE
from pricebook.config import Objective, Quote
from pricebook.pricing import guardrails
from pricebook.pricing import objective as objectives
from pricebook.pricing.decision import Decision, Listings, decide_many
from pricebook.pricing.objective import Rows

Floats = NDArray[np.float64]

SERIES = ["sku", "zone"]
VALUES = {"volume": objectives.volume, "revenue": objectives.revenue}
MAX_PRICE_RATIO = 16.0  # of a price to the reference price, where a model's demand is read
MONEY = ("reference_price", "unit_cost", "map_price", "competitor_price", "public_price")
TERMS = ("cannibalised", "long_run")


@dataclass(frozen=True)
class Book:
    """A price book with what an objective needs, row by row.

    Attributes:
        rows: the numbers of each row.
        departments: the name of each department code.
    """

    rows: Rows
    departments: tuple[str, ...]

    @classmethod
    def from_tables(
        cls,
        book: pd.DataFrame,
        elasticities: pd.DataFrame,
        cannibalised: Floats,
        units: pd.DataFrame,
        limits: Quote,
    ) -> Book:
        """Join the tables.

        Args:
            book: sku, zone, department, list_price, unit_cost, map_price, reference_price.
            elasticities: `ResponseModel.elasticities()`.
            cannibalised: the margin that each unit takes from substitutes [n].
            units: sku, zone, units per period; a row without units has none.
            limits: they set the floors.
        """
        own = elasticities.loc[elasticities["segment"] == EVERYONE, [*SERIES, "elasticity"]]
        keys = book[SERIES].merge(own, on=SERIES, how="left").merge(units, on=SERIES, how="left")
        codes, names = pd.factorize(book["department"].fillna("").astype(str), sort=True)
        list_price, unit_cost = _floats(book["list_price"]), _floats(book["unit_cost"])
        listed = np.nan_to_num(np.round(list_price)).astype(np.int64)
        rows = Rows(
            elasticity=_floats(keys["elasticity"]),
            list_price=list_price,
            marginal_cost=unit_cost + cannibalised,
            floor=guardrails.floors(unit_cost, _floats(book["map_price"]), listed, limits),
            usual_price=_floats(book["reference_price"]),
            units=_floats(keys["units"].fillna(0.0)),
            department=codes.astype(np.int64),
        )
        return cls(rows, tuple(map(str, names)))

    def unknown_departments(self, objective: Objective) -> tuple[str, ...]:
        """The departments of a mapping that no row has, such as misspelt ones."""
        named = set(objective) if isinstance(objective, dict) else set()
        return tuple(sorted(named - set(self.departments)))

    def long_run(self, objective: Objective) -> Floats:
        """The long-run term of each row [n], 0 or below.

        A department that a mapping does not name, and a row that no model prices under `volume` or
        `revenue`, has a term of 0.
        """
        rows, count = self.rows, len(self.rows.list_price)
        if objective == "calibrated":
            return self.calibrated
        if isinstance(objective, str) and objective in VALUES:
            return self._terms_of(self.prices(objective))
        if isinstance(objective, dict):
            return np.array([objective.get(self.departments[d], 0.0) for d in rows.department])
        return np.full(count, 0.0 if isinstance(objective, str) else float(objective))

    @cached_property
    def calibrated(self) -> Floats:
        """The calibrated long-run terms [n]."""
        return objectives.calibrated(self.rows)

    def prices(self, objective: str) -> Floats:
        """The best prices [n] for `volume` or `revenue`; NaN where no model prices the row."""
        priced = self.rows.priced
        prices = np.full(len(priced), np.nan)
        if priced.any():
            rows = self.rows.in_the_long_run(self.calibrated).take(priced)
            prices[priced] = objectives.most(rows, VALUES[objective])
        return prices

    def _terms_of(self, prices: Floats) -> Floats:
        return np.nan_to_num(objectives.implied_terms(self.rows, prices), nan=0.0)


def listings(book: pd.DataFrame) -> Listings:
    """A price book as listings. A column of money that it lacks is unknown, a term is 0."""
    unknown = pd.Series(np.nan, book.index)
    columns = {name: _floats(book.get(name, unknown)) for name in MONEY}
    terms = {name: np.nan_to_num(_floats(book.get(name, unknown))) for name in TERMS}
    return Listings(
        sku=book["sku"].to_numpy(object),
        zone=book["zone"].to_numpy(object),
        list_price=_floats(book["list_price"]).round().astype(np.int64),
        cost_assumed=book["cost_assumed"].to_numpy(bool),
        modelled=book["modelled"].to_numpy(bool),
        **columns,
        **terms,
    )


def public_decisions(
    rows: Listings, elasticities: pd.DataFrame, limits: Quote, segment: str = EVERYONE
) -> list[Decision]:
    """The decision for each listing, for everyone or for the shoppers of a segment.

    Args:
        elasticities: `ResponseModel.elasticities()`.
    """
    keys = pd.DataFrame({"sku": rows.sku, "zone": rows.zone})
    of_segment = elasticities[elasticities["segment"] == segment]
    own = _floats(keys.merge(of_segment, on=SERIES, how="left")["elasticity"])
    by_key = dict(zip(zip(rows.sku, rows.zone, strict=True), own, strict=True))

    def demand_ratio(some: Listings, _: object, ratios: Floats) -> Floats:
        slopes = np.array([by_key[key] for key in zip(some.sku, some.zone, strict=True)])
        bounded = np.clip(ratios, 1 / MAX_PRICE_RATIO, MAX_PRICE_RATIO)
        return np.asarray(bounded ** slopes[:, None])

    return decide_many(rows, [segment] * len(rows), limits, demand_ratio)


def _floats(column: pd.Series) -> Floats:
    return np.asarray(column.to_numpy(float, na_value=np.nan), np.float64)
