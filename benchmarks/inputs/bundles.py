"""Bundles of simulated shops, to quote from without a home."""

from __future__ import annotations

from datetime import date
from typing import Any

from pricebook.config import Quote
from pricebook.pricing.decision import Listings
from serving.quotes.bundle import LABELS, Bundle, Forecasts, Manifest


def simulated_bundle(
    listings: Listings, limits: Quote, runtime: Any, name: str, seed: int
) -> Bundle:
    """A bundle of one department, without forecasts, for a shop that counts in dollars and weeks.

    Args:
        runtime: has the `demand_ratio` of a `ResponseRuntime`.
        name: what the seed belongs to: a market or a shop.
    """
    count = len(listings)
    manifest = Manifest(
        models={"response": {"version": seed}},
        as_of=date(2026, 1, 5),
        currency="USD",
        minor_digits=2,
        grain="week",
        horizon=1,
        quote=limits,
        built_from=f"{name} {seed}",
    )
    return Bundle(
        manifest,
        listings,
        labels={label: [""] * count for label in LABELS},
        rows={(sku, "all"): row for row, sku in enumerate(listings.sku.tolist())},
        forecasts=Forecasts({}, {}),
        runtime=runtime,
        sold_since=[None] * count,
    )
