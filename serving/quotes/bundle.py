"""A bundle, one folder: price book, response model, forecast and the shop's limits.

The price list is a bundle without models; every price of it is the list price.

A loaded bundle never changes. The service replaces it as a whole, so no quote mixes two bundles.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from models.runtime import ResponseRuntime, Series
from pricebook import money
from pricebook.config import Quote as Limits
from pricebook.errors import PricebookError, ServiceError
from pricebook.events import ALL_ZONES
from pricebook.money import Floats
from pricebook.pricing.decision import Listings
from pricebook.pricing.prior_price import LONG_AGO, PriceHistory, Rules
from pricebook.pricing.quote import EVERYONE, Terms, offers

FILES = ("bundle.json", "price_book.parquet")
MODEL_FILES = ("forecast.parquet", "response.tflite", "response.json")
GOLDEN_QUOTES = 64  # listings that are quoted to check a bundle before it serves
MONEY_COLUMNS = (
    "reference_price",
    "unit_cost",
    "map_price",
    "competitor_price",
    "cannibalised",
    "lowest_30d",
)
NEWER_COLUMNS = ("long_run", "public_price")  # bundles of earlier versions lack them
SOLD_SINCE = "sold_since"  # bundles of earlier versions lack it, too
HOURS_OF_GRAIN = {"day": 24, "week": 168, "month": 730}
LABELS = ("department", "category", "product_type")
COLUMNS = ("sku", "zone", "list_price", "cost_assumed", "modelled", *MONEY_COLUMNS, *LABELS)

Key = tuple[str, str]  # sku, zone


class ModelInfo(BaseModel):
    """A model of the bundle."""

    model_config = ConfigDict(coerce_numbers_to_str=True, frozen=True)

    version: str


class Manifest(BaseModel):
    """The contents of bundle.json.

    Attributes:
        models: the demand and the response model, by these names; empty in the price list.
        as_of: the cut-off of the data.
        minor_digits: decimal digits of the currency, 2 for USD.
        grain: the length of a period: day, week or month.
        horizon: periods that the forecast covers.
        limits: the shop's limits for quotes (`quote` in params).
        built_from: the verdict that promoted the models.
        why: in the price list, why there is no champion.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True, frozen=True)

    models: dict[str, ModelInfo]
    as_of: date
    currency: str
    minor_digits: int
    grain: str
    horizon: int
    limits: Limits = Field(alias="quote")
    built_from: str
    why: str = ""

    @property
    def pricing_model(self) -> tuple[str, str]:
        """Name and version of the model that decides prices; ("none", "0") in the price list."""
        model = self.models.get("response")
        return ("none", "0") if model is None else ("response", model.version)


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of demand at the reference price.

    Attributes:
        rows: for each sku and zone the row numbers of its steps, in the order of time.
        columns: the table, by column.
    """

    rows: dict[Key, list[int]]
    columns: dict[str, list[Any]]


NO_FORECASTS = Forecasts({}, {})


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes:
        listings: the price book.
        labels: department, category and product type of each row of the price book.
        rows: the row number of each sku and zone.
        runtime: the response model; None in the price list.
        sold_since: the first day each row was on the market; None if it was not at the cut-off.
    """

    manifest: Manifest
    listings: Listings
    labels: dict[str, list[str]]
    rows: dict[Key, int]
    forecasts: Forecasts
    runtime: ResponseRuntime | None
    sold_since: list[date | None]

    def row(self, sku: str, zone: str | None) -> int | None:
        """The row number of a sku in a zone; None if it is not listed.

        A sku without prices by zone has one row, which is valid in every zone.
        """
        row = self.rows.get((sku, zone or ALL_ZONES))
        return self.rows.get((sku, ALL_ZONES)) if row is None else row

    @cached_property
    def places(self) -> list[Key]:
        """The sku and zone of each row."""
        return list(zip(self.listings.sku.tolist(), self.listings.zone.tolist(), strict=True))

    @cached_property
    def has_one_zone(self) -> bool:
        """Whether the shop has the same prices in all zones."""
        return set(self.listings.zone.tolist()) <= {ALL_ZONES}

    @cached_property
    def hourly_revenue(self) -> int:
        """Revenue per hour that the first forecast period expects, in minor units."""
        columns = self.forecasts.columns
        first = [steps[0] for steps in self.forecasts.rows.values()]
        revenue = [
            (columns["mean"][row] or 0.0) * (columns["reference_price"][row] or 0.0)
            for row in first
        ]
        return int(np.nansum(revenue) / HOURS_OF_GRAIN[self.manifest.grain])

    def zones(self, sku: str) -> list[str]:
        """The zones in which a sku is listed, sorted."""
        return sorted(self.listings.zone[self.listings.sku == sku].tolist())

    def earlier_prices(self, row: int) -> PriceHistory | None:
        """The public prices of a row before its first quote; None if it was not on the market.

        They are the lowest price of the 30 days before the cut-off, or the list price if that is
        lower.
        """
        first, lowest = self.sold_since[row], _lowest_price(self.listings, row)
        if first is None or lowest is None:
            return None
        return PriceHistory.before_quotes(lowest, first)

    @cached_property
    def discount_rules(self) -> list[Rules | None]:
        """The rules of the prior price of each row; None if no discount may be announced."""
        labels = list(zip(self.labels["department"], self.labels["category"], strict=True))
        rules = {pair: Rules.from_limits(self.manifest.limits, *pair) for pair in set(labels)}
        return [rules[pair] for pair in labels]

    def series(self, sku: str, zone: str, segment: str) -> Series:
        """The input of the response model for a listed sku.

        Raises:
            KeyError: the sku is not listed in this zone.
        """
        row = self.rows[sku, zone]
        return Series(
            sku=sku, zone=zone, segment=segment, **{name: self.labels[name][row] for name in LABELS}
        )

    def demand(self, listings: Listings, segments: Sequence[str], ratios: Floats) -> Floats:
        """Demand relative to demand at the reference price; a `DemandRatio`.

        `ratios` are prices divided by the reference price, of shape (n, k), like the result.

        Raises:
            ServiceError: the bundle has no response model.
        """
        if self.runtime is None:
            raise ServiceError(f"There is no response model. Received: {self.manifest.built_from}")
        keys = zip(listings.sku, listings.zone, segments, strict=True)
        return self.runtime.demand_ratio([self.series(*key) for key in keys], ratios)


def load(folder: Path) -> Bundle:
    """Read a bundle from its folder.

    Raises:
        ServiceError: a file is missing or unreadable, or a list price is not above zero.
    """
    _check_files(folder, FILES)
    try:
        manifest = Manifest.model_validate(json.loads((folder / "bundle.json").read_text()))
    except (ValueError, OSError) as error:
        raise ServiceError(f"bundle.json cannot be read: {error}. Received: {folder}") from error
    if manifest.models:
        _check_files(folder, MODEL_FILES)
    try:
        book = _read(folder / "price_book.parquet", COLUMNS, (*NEWER_COLUMNS, SOLD_SINCE))
        listings = _listings(book)
        forecasts, runtime = _models(folder) if manifest.models else (NO_FORECASTS, None)
    except (PricebookError, ValueError, KeyError, OSError, RuntimeError) as error:
        raise ServiceError(f"The bundle cannot be read: {error}. Received: {folder}") from error
    if (listings.list_price <= 0).any():
        sku = listings.sku[listings.list_price <= 0][0]
        raise ServiceError(f"price_book.parquet: list_price of {sku} is not above zero.")
    pa.default_memory_pool().release_unused()  # return the memory of the tables to the system
    labels = {name: _strings(book[name]) for name in LABELS}
    rows = {key: row for row, key in enumerate(zip(listings.sku, listings.zone, strict=True))}
    return Bundle(manifest, listings, labels, rows, forecasts, runtime, _sold_since(book))


def _check_files(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise ServiceError(f"The bundle lacks {name}. Received: {folder}")


def _models(folder: Path) -> tuple[Forecasts, ResponseRuntime]:
    return _forecasts(_read(folder / "forecast.parquet")), ResponseRuntime.load(folder)


def _read(
    path: Path, columns: Sequence[str] | None = None, optional: Sequence[str] = ()
) -> pa.Table:
    """Read a Parquet file. One thread needs less memory, which the worker would keep."""
    with pq.ParquetFile(path) as file:
        present = [name for name in optional if name in file.schema_arrow.names]
        return file.read(columns and [*columns, *present], use_threads=False)


def _listings(book: pa.Table) -> Listings:
    return Listings(
        sku=np.array(book["sku"].to_pylist(), dtype=object),
        zone=np.array(_strings(book["zone"]), dtype=object),
        list_price=book["list_price"].to_numpy().astype(np.int64),
        cost_assumed=book["cost_assumed"].to_numpy().astype(np.bool_),
        modelled=book["modelled"].to_numpy().astype(np.bool_),
        **{name: _floats(book[name]) for name in MONEY_COLUMNS},
        **{name: _floats(book[name]) for name in NEWER_COLUMNS if name in book.column_names},
    )


def _floats(column: pa.ChunkedArray) -> Floats:
    """A numeric column; null becomes NaN."""
    filled = column.cast(pa.float64()).fill_null(float("nan"))
    return np.asarray(filled.to_numpy(), dtype=np.float64)


def _sold_since(book: pa.Table) -> list[date | None]:
    """The first day of each row on the market. Without the column all are there for long."""
    if SOLD_SINCE not in book.column_names:
        return [LONG_AGO] * book.num_rows
    return list(book[SOLD_SINCE].cast(pa.date32()).to_pylist())


def _lowest_price(listings: Listings, row: int) -> int | None:
    """The lower of `lowest_30d` and the list price; None if `lowest_30d` is not known."""
    if listings.lowest_30d is None or np.isnan(lowest := listings.lowest_30d[row]):
        return None
    return min(int(lowest), int(listings.list_price[row]))


def _strings(column: pa.ChunkedArray) -> list[str]:
    """A text column; null becomes "". Equal strings share one object, which saves memory."""
    return [sys.intern(text or "") for text in column.to_pylist()]


def _forecasts(table: pa.Table) -> Forecasts:
    columns = table.sort_by("step").to_pydict()
    rows: dict[Key, list[int]] = {}
    for row, key in enumerate(zip(columns["sku"], columns["zone"], strict=True)):
        rows.setdefault(key, []).append(row)
    return Forecasts(rows, columns)


def check(bundle: Bundle) -> None:
    """Quote a sample of modelled skus, and check that every quote satisfies the bounds.

    Raises:
        ServiceError: the bundle must not serve, because predicted demand rises with the price or is
            not a number, or a price is not a rung between floor and list price.
    """
    modelled = np.flatnonzero(bundle.listings.modelled)
    if modelled.size and bundle.manifest.models:
        evenly = np.unique(np.linspace(0, modelled.size - 1, GOLDEN_QUOTES).astype(int))
        sample = bundle.listings.take(modelled[evenly])
        _check_demand(bundle, sample)
        _check_prices(bundle, sample)


def _check_demand(bundle: Bundle, sample: Listings) -> None:
    ratios = np.tile(np.linspace(0.7, 1.1, 9), (len(sample), 1))
    demand = bundle.demand(sample, [EVERYONE] * len(sample), ratios)
    if not np.isfinite(demand).all():
        raise ServiceError("The response model predicts a demand that is not a number.")
    # The tolerance allows for the rounding of the 32-bit floats in the exported model.
    if (np.diff(demand) > 1e-5 * demand[:, 1:]).any():
        raise ServiceError("The response model predicts a demand that rises with the price.")


def _check_prices(bundle: Bundle, sample: Listings) -> None:
    limits = bundle.manifest.limits
    for offer in offers([Terms()] * len(sample), sample, limits, bundle.demand):
        lowest = min(offer.floor or 0, offer.list_price)
        rungs = money.rungs(offer.list_price, limits.endings)
        if not lowest <= offer.price <= offer.list_price or offer.price not in rungs:
            raise ServiceError(f"A golden quote breaks a bound. Received: {offer}")
