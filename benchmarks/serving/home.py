"""A simulated shop with all files that the price service needs, and requests for it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pricebook.config import Personal, Quote, Settings
from pricebook.files import atomic_dir, write_json

SKUS, MODELLED, SHOPPERS = 5_000, 200, 2_000
PERIODS = pd.date_range("2024-07-01", periods=78, freq="7D")
SEGMENTS = {"deal seeker": -3.5, "regular": -1.5}
# No budget and no cap binds, so that every quote of a load has the price that it is compared with.
LIMITS = Quote(
    competitor_band=0.0,
    max_step=0.5,
    max_markdown=0.5,
    personal=Personal(budget=1.0, max_offers=10**9),
)
SEED = 7


@dataclass(frozen=True)
class Shop:
    """A home, and an API key with all scopes of the service."""

    settings: Settings
    key: str


def make_shop(home: Path) -> Shop:
    """Make the shop in another process, so that TensorFlow is not loaded in the measuring one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_make_shop, home).result()


def _make_shop(home: Path) -> Shop:
    from ledger import open_ledger
    from ledger.keys import Grant, Scope, issue

    settings = Settings(home=home)
    book = price_book()
    _bundle(settings.bundle, book)
    _online_store(settings)
    grant = Grant("shop", frozenset({Scope.QUOTE, Scope.EVENTS}), per_second=1e6)
    return Shop(settings, issue(open_ledger(settings.ledger), grant, datetime.now(UTC)))


def price_book() -> pd.DataFrame:
    """A price book with different list prices. Each cost is half of the list price."""
    rng = np.random.default_rng(SEED)
    price = rng.integers(10, 200, SKUS) * 10 + 9
    usual = (price * 0.95).astype(int)
    kind = np.arange(SKUS) % 50
    numbers = {"unit_cost": price // 2, "last_price": usual, "lowest_30d": price}
    columns = {
        "sku": [f"sku-{number:05}" for number in range(SKUS)],
        "zone": "all",
        "department": [f"department {number // 10}" for number in kind],
        "category": [f"category {number}" for number in kind],
        "product_type": [f"type {number}" for number in kind],
        "list_price": price,
        "reference_price": usual,
        "cost_assumed": False,
        "modelled": True,
        "cannibalised": 0.0,
        "long_run": -1.0,
        "public_price": np.nan,
    }
    integers = {name: pd.array(column, dtype="Int64") for name, column in numbers.items()}
    unknown = pd.array([pd.NA] * SKUS, dtype="Int64")
    return pd.DataFrame(columns | integers | {"map_price": unknown, "competitor_price": unknown})


def _bundle(folder: Path, book: pd.DataFrame) -> None:
    from models.export import export
    from models.response.model import fit
    from pricebook.config import Response

    panel, segments = _panel(book.head(MODELLED))
    export(fit(panel, segments, Response(epochs=60, min_sales_periods=4), seed=SEED), folder)
    book.to_parquet(folder / "price_book.parquet")
    steps = {"step": 1, "period": PERIODS[0].date(), "mean": 9.0, "q50": 8.0, "zone": "all"}
    pd.DataFrame({"sku": book["sku"], **steps, "reference_price": 450.0}).to_parquet(
        folder / "forecast.parquet"
    )
    about = {
        "models": {"demand": {"version": 1}, "response": {"version": 1}},
        "as_of": "2026-01-01",
        "currency": "USD",
        "minor_digits": 2,
        "grain": "week",
        "horizon": 1,
        "quote": LIMITS.model_dump(mode="json"),
        "built_from": "verdict-1",
    }
    write_json(folder / "bundle.json", about)


def _panel(book: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Units in total and by segment. One segment is more price-sensitive than the other."""
    rng = np.random.default_rng(SEED)
    kinds = ["sku", "zone", "department", "category", "product_type", "reference_price"]
    rows = book[kinds].merge(pd.DataFrame({"period": PERIODS.date}), how="cross")
    ratio = rng.choice([1.0, 0.95, 0.9, 0.8, 0.7], len(rows))
    rows = rows.assign(
        price=rows["reference_price"] * ratio, display=0.0, mailer=0.0, promotion=0.0
    )
    segments = [
        rows.assign(segment=name, units=rng.poisson(60 * ratio**elasticity))
        for name, elasticity in SEGMENTS.items()
    ]
    return rows.assign(units=sum(segment["units"] for segment in segments)), pd.concat(segments)


def _online_store(settings: Settings) -> None:
    """Shoppers of both segments. Seven in ten have consented to personal offers."""
    from pipelines.feature_store import open_store

    settings.features.mkdir(parents=True)
    now, numbers = datetime.now(UTC), np.arange(SHOPPERS)
    figures = ("recency_days", "orders_13", "spend_13", "basket_mean", "discount_affinity")
    shoppers = pd.DataFrame({"customer_id": [shopper_id(n) for n in range(SHOPPERS)]}).assign(
        **dict.fromkeys(figures, 1),
        top_categories=[["category 1"]] * SHOPPERS,
        top_category_shares=[[1.0]] * SHOPPERS,
        segment=np.where(numbers % 2, "regular", "deal seeker"),
        consent_personalised=numbers % 10 < 7,
        shopper_at=now,
        event_timestamp=now,
        created_timestamp=now,
    )
    shoppers.to_parquet(settings.features / "shopper.parquet")
    open_store(settings).write_to_online_store("shopper", shoppers)


def shopper_id(number: int) -> str:
    return f"shopper-{number:04}"


def quote_requests(count: int, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """Requests for skus with Zipf popularity (one over the rank); half of them name a shopper."""
    draw = random.Random(seed)
    popular = [1 / rank for rank in range(1, SKUS + 1)]
    for sku in draw.choices(range(SKUS), popular, k=count):
        request = {"sku": f"sku-{sku:05}"}
        named = {"customer_id": shopper_id(draw.randrange(SHOPPERS))}
        yield request | named if draw.random() < 0.5 else request


def events(count: int, at: datetime, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """Views, carts, stock counts and competitor prices of half of the skus, just before `at`."""
    draw = random.Random(seed)
    for number in range(count):
        sku = draw.randrange(SKUS // 2, SKUS)
        fields: dict[str, Any] = draw.choice(
            [
                {"kind": "view", "customer_id": shopper_id(draw.randrange(SHOPPERS))},
                {"kind": "cart", "customer_id": shopper_id(draw.randrange(SHOPPERS))},
                {"kind": "stock", "on_hand": draw.randrange(500)},
                {"kind": "competitor_price", "competitor": "corner", "price": 3_000},
            ]
        )
        occurred_at = (at - timedelta(seconds=draw.random())).isoformat()
        yield {
            "event_id": f"{seed}-{number}-{at.timestamp()}",
            "occurred_at": occurred_at,
            "sku": f"sku-{sku:05}",
            **fields,
        }


def promote(settings: Settings, change: Callable[[Path], None]) -> None:
    """Replace the champion's folder by a changed copy in one step, as `pipelines.promote` does."""
    with atomic_dir(settings.bundle) as partial:
        shutil.copytree(settings.bundle, partial, dirs_exist_ok=True)
        change(partial)


def with_version(version: int) -> Callable[[Path], None]:
    """A change to a version whose list prices all end in its digit, so versions share no price."""

    def change(folder: Path) -> None:
        about = json.loads((folder / "bundle.json").read_text())
        about["models"]["response"]["version"] = str(version)
        about["quote"]["endings"] = list(range(10))
        write_json(folder / "bundle.json", about)
        book = pd.read_parquet(folder / "price_book.parquet")
        price = book["list_price"] // 10 * 10 + version
        book.assign(list_price=price).to_parquet(folder / "price_book.parquet")

    return change
