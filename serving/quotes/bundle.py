"""The champion as one folder: price book, exported response model, forecast, and the shop's limits.

A bundle is immutable once loaded; the service swaps whole bundles, so a quote never mixes two.
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
from pricebook.money import Floats
from pricebook.pricing.decision import Listings
from pricebook.pricing.quote import EVERYONE, Terms, offers

FILES = (
    "bundle.json",
    "price_book.parquet",
    "forecast.parquet",
    "response.tflite",
    "response.json",
)
ANYWHERE = "all"  # the zone of a shop that prices as one
GOLDEN = 64  # listings a bundle must quote soundly before it may serve
MONEY = (
    "reference_price",
    "unit_cost",
    "map_price",
    "competitor_price",
    "cannibalised",
    "lowest_30d",
)
KIND = ("department", "category", "product_type")
BOOK = ("sku", "zone", "list_price", "cost_assumed", "modelled", *MONEY, *KIND)

Key = tuple[str, str]  # sku, zone


class Model(BaseModel):
    """A model of the pair."""

    model_config = ConfigDict(coerce_numbers_to_str=True, frozen=True)

    version: str


class About(BaseModel):
    """bundle.json."""

    model_config = ConfigDict(coerce_numbers_to_str=True, frozen=True)

    models: dict[str, Model]
    as_of: date
    currency: str
    minor_digits: int
    grain: str
    horizon: int
    limits: Limits = Field(alias="quote")
    built_from: str


@dataclass(frozen=True)
class Forecasts:
    """Demand at the reference price: `rows[key]` are the steps, in order, of a series."""

    rows: dict[Key, list[int]]
    columns: dict[str, list[Any]]


@dataclass(frozen=True)
class Bundle:
    """A loaded champion. `rows[sku, zone]` is a row of the listings and of `kinds`."""

    about: About
    listings: Listings
    kinds: dict[str, list[str]]
    rows: dict[Key, int]
    forecasts: Forecasts
    runtime: ResponseRuntime

    def row(self, sku: str, zone: str | None) -> int | None:
        """The row of a sku in its zone, or in the shop as one; None where it is not listed."""
        found = self.rows.get((sku, zone or ANYWHERE))
        return self.rows.get((sku, ANYWHERE)) if found is None else found

    @cached_property
    def places(self) -> list[Key]:
        """The sku and zone of each row."""
        return list(zip(self.listings.sku.tolist(), self.listings.zone.tolist(), strict=True))

    @cached_property
    def as_one(self) -> bool:
        """Whether the shop prices as one, whatever the zone."""
        return set(self.listings.zone.tolist()) <= {ANYWHERE}

    def zones(self, sku: str) -> list[str]:
        return sorted(self.listings.zone[self.listings.sku == sku].tolist())

    def series(self, sku: str, zone: str, segment: str) -> Series:
        row = self.rows[sku, zone]
        return Series(
            sku=sku, zone=zone, segment=segment, **{name: self.kinds[name][row] for name in KIND}
        )

    def demand(self, listings: Listings, segments: Sequence[str], ratios: Floats) -> Floats:
        """Demand (n, k) over demand at the reference price; a `DemandRatio`."""
        asked = zip(listings.sku, listings.zone, segments, strict=True)
        return self.runtime.demand_ratio([self.series(*one) for one in asked], ratios)


def load(folder: Path) -> Bundle:
    """Read a bundle.

    Raises:
        ServiceError: a file is missing or unreadable, or a price is not above zero; names it.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise ServiceError(f"The bundle lacks {name}. Received: {folder}")
    try:
        about = About.model_validate(json.loads((folder / "bundle.json").read_text()))
        book = _read(folder / "price_book.parquet", list(BOOK))
        forecasts = _forecasts(_read(folder / "forecast.parquet"))
        runtime = ResponseRuntime.load(folder)
        listings = _listings(book)
    except (PricebookError, ValueError, KeyError, OSError, RuntimeError) as error:
        raise ServiceError(f"The bundle cannot be read: {error}. Received: {folder}") from error
    if (listings.list_price <= 0).any():
        sku = listings.sku[listings.list_price <= 0][0]
        raise ServiceError(f"price_book.parquet: list_price of {sku} is not above zero.")
    pa.default_memory_pool().release_unused()
    kinds = {name: _labels(book[name]) for name in KIND}
    rows = {key: row for row, key in enumerate(zip(listings.sku, listings.zone, strict=True))}
    return Bundle(about, listings, kinds, rows, forecasts, runtime)


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file on one thread, which keeps the worker small."""
    with pq.ParquetFile(path) as file:
        return file.read(columns, use_threads=False)


def _listings(book: pa.Table) -> Listings:
    return Listings(
        sku=np.array(book["sku"].to_pylist(), dtype=object),
        zone=np.array(_labels(book["zone"]), dtype=object),
        list_price=book["list_price"].to_numpy().astype(np.int64),
        cost_assumed=book["cost_assumed"].to_numpy().astype(np.bool_),
        modelled=book["modelled"].to_numpy().astype(np.bool_),
        **{name: _floats(book[name]) for name in MONEY},
    )


def _floats(column: pa.ChunkedArray) -> Floats:
    """Numbers, NaN where null."""
    filled = column.cast(pa.float64()).fill_null(float("nan"))
    return np.asarray(filled.to_numpy(), dtype=np.float64)


def _labels(column: pa.ChunkedArray) -> list[str]:
    """Strings, "" where null; equal ones are one object, for there are few and many rows."""
    return [sys.intern(label or "") for label in column.to_pylist()]


def _forecasts(table: pa.Table) -> Forecasts:
    columns = table.sort_by("step").to_pydict()
    rows: dict[Key, list[int]] = {}
    for row, key in enumerate(zip(columns["sku"], columns["zone"], strict=True)):
        rows.setdefault(key, []).append(row)
    return Forecasts(rows, columns)


def check(bundle: Bundle) -> None:
    """Quote a spread of modelled skus and see that every quote is sound.

    Raises:
        ServiceError: demand rises with price or is not a number, a quote breaks a bound, or no
            sku could be repriced although some are modelled; the bundle must not serve.
    """
    modelled = np.flatnonzero(bundle.listings.modelled)
    if not modelled.size:
        return
    spread = np.unique(np.linspace(0, modelled.size - 1, GOLDEN).astype(int))
    some = bundle.listings.take(modelled[spread])
    ratios = np.tile(np.linspace(0.7, 1.1, 9), (len(some), 1))
    demand = bundle.demand(some, [EVERYONE] * len(some), ratios)
    if not np.isfinite(demand).all() or (np.diff(demand) > 1e-5 * demand[:, 1:]).any():
        raise ServiceError("The response model says that demand rises with price, or nothing.")
    for offer in offers([Terms()] * len(some), some, bundle.about.limits, bundle.demand):
        lowest = min(offer.floor or 0, offer.list_price)
        rungs = money.rungs(offer.list_price, bundle.about.limits.endings)
        if not lowest <= offer.price <= offer.list_price or offer.price not in rungs:
            raise ServiceError(f"A golden quote is unsound. Received: {offer}")
