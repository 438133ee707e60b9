"""Make the data of the corner shop: a made-up grocer in Berlin, from a simulated market.

    python examples/corner_shop/make.py [folder]

Writes the files that params.yaml in this folder describes. Each has a different format, as exports
of real shops do. Some rows are bad on purpose (`_add_bad_rows`). The seed is fixed, so every run
writes the same files.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pricebook.simulation.market import Market, Offer, Sales, Spec, State

BERLIN = ZoneInfo("Europe/Berlin")
OPENING = datetime(2025, 6, 2)  # noqa: DTZ001  a Monday, in local time
WEEKS = 74
COMPETITORS = ("Discounter", "Supermarkt")
RISE_WEEK, RISE = 40, 1.05  # every third list price rises by 5 %

# category: department, product types, brands, packs
RANGE = {
    "Coffee": ("Pantry", ("Espresso", "Filter Coffee"), ("Morgenrot", "Kiez"), ("250 g", "500 g")),
    "Tea": ("Pantry", ("Green Tea", "Rooibos"), ("Teehaus", "Kiez"), ("20 bags", "100 g")),
    "Chocolate": ("Sweets", ("Dark", "Milk"), ("Kakaowerk", "Kiez"), ("100 g", "200 g")),
    "Pasta": ("Pantry", ("Spaghetti", "Penne"), ("Nonna", "Kiez"), ("500 g", "1 kg")),
    "Juice": ("Drinks", ("Apple Juice", "Orange Juice"), ("Havelland", "Kiez"), ("0.7 l", "1 l")),
    "Beer": ("Drinks", ("Pils", "Weizen"), ("Spree", "Panke"), ("0.5 l", "6 x 0.33 l")),
    "Cheese": ("Fresh", ("Gouda", "Camembert"), ("Almhof", "Kiez"), ("150 g", "300 g")),
    "Detergent": ("Household", ("Liquid", "Powder"), ("Rein", "Kiez"), ("1 l", "2 l")),
}


@dataclass(frozen=True)
class Week:
    """A simulated week: list prices, the prices charged, the state of the market, and sales."""

    start: datetime
    listed: np.ndarray
    offer: Offer
    state: State
    sales: Sales


def simulate(market: Market, rng: np.random.Generator) -> list[Week]:
    """Run the market for all weeks."""
    state, weeks = market.opening(), []
    for number in range(WEEKS):
        listed = _listed(market, number)
        offer = market.policy(state, rng)
        offer = replace(offer, price=_shelf(offer.price, market.list_price, listed))
        following, sales = market.step(state, offer, rng)
        weeks.append(Week(OPENING + timedelta(weeks=number), listed, offer, state, sales))
        state = following
    return weeks


def _listed(market: Market, week: int) -> np.ndarray:
    """The list prices of a week, which end in 9 after the rise."""
    rises = (np.arange(market.spec.skus) % 3 == 0) & (week >= RISE_WEEK)
    risen = np.rint(market.list_price * RISE / 10).astype(np.int64) * 10 - 1
    return np.where(rises, np.maximum(risen, market.list_price), market.list_price)


def _shelf(price: np.ndarray, before: np.ndarray, listed: np.ndarray) -> np.ndarray:
    """The prices charged, moved with the list price; those below list end in 9."""
    moved = np.maximum(np.rint(price * listed / before / 10).astype(np.int64) * 10 - 1, 9)
    return np.where(price == before, listed, moved)


def sku_name(number: int) -> str:
    return f"A{1000 + number}"


def products(market: Market) -> Iterable[Sequence[Any]]:
    """Canonical names, amounts like 12.34. Every tenth sku has a MAP; one has no category."""
    yield (
        *("sku", "name", "product_type", "category", "department", "brand"),
        *("unit_cost", "list_price", "map_price", "pack_size"),
    )
    listed, places = _listed(market, WEEKS), np.zeros(len(RANGE), int)
    for number, belongs in enumerate(market.category):
        category = list(RANGE)[belongs]
        department, types, brands, packs = RANGE[category]
        kind, brand, pack = (
            options[places[belongs] // step % 2]
            for options, step in ((types, 1), (brands, 2), (packs, 4))
        )
        places[belongs] += 1
        yield (
            *(sku_name(number), f"{brand} {kind} {pack}", f"{category}: {kind}"),
            *("" if number == 59 else category, department, brand),
            *(_euros(market.unit_cost[number]), _euros(listed[number])),
            *(_euros(listed[number] * 0.9) if number % 10 == 0 else "", pack),
        )


def orders(market: Market, weeks: list[Week], rng: np.random.Generator) -> dict[int, list[Any]]:
    """The export of the till, one file per year, with local times and decimal commas."""
    lines: dict[int, list[Any]] = {2025: [], 2026: []}
    for number, week in enumerate(weeks):
        carded = rng.random(week.sales.visit.max() + 1) < 0.88
        vouchers = rng.random(len(week.sales.sku)) < 0.02
        for place, (visit, shopper, minute, sku, units) in enumerate(_lines(week.sales)):
            when = week.start + timedelta(minutes=minute)
            voucher = round(0.1 * week.listed[sku] * units) if vouchers[place] else 0
            lines[when.year].append(
                [
                    *(f"{number:03}-{visit:04}", f"{when:%d.%m.%Y %H:%M}", sku_name(sku), units),
                    _comma(week.offer.price[sku] * units - voucher),
                    *(_comma(week.listed[sku] * units), _comma(voucher)),
                    f"K{shopper:04}" if carded[visit] else "",
                ]
            )
    return lines


def _lines(sales: Sales) -> list[tuple[int, ...]]:
    columns = (sales.visit, sales.shopper, sales.minute, sales.sku, sales.units)
    return [tuple(map(int, line)) for line in zip(*columns, strict=True)]


def _add_bad_rows(lines: dict[int, list[Any]]) -> None:
    """Add rows that checks find; docs/bring-your-own-data.md lists what happens to each."""
    now = lines[2026]
    now += [list(line) for line in now[100:105]]  # exported twice
    for place, column, value in (
        *(
            (200, 3, 0),
            (201, 3, 0),
            (202, 3, 4012),
            (203, 3, -1),
        ),  # no units twice; a barcode; a return
        *((300, 4, ""), (301, 4, "NaN"), (302, 4, "-2,49"), (303, 4, "0,00")),
        *(
            (400, 1, ""),
            (401, 2, ""),
            (402, 2, "A9999"),
            (450, 2, "A9999"),
        ),  # A9999 is not a product
    ):
        now[place][column] = value


def promotions(weeks: list[Week]) -> Iterable[Sequence[Any]]:
    yield ("sku", "starts_at", "ends_at", "kind", "depth")
    for week in weeks:
        depth = 1 - week.offer.price / week.listed
        for sku in np.flatnonzero(depth > 0):
            kind = "display" if week.offer.display[sku] else "shelf"
            ends = week.start + timedelta(weeks=1)
            yield sku_name(sku), week.start.date(), ends.date(), kind, f"{depth[sku]:.3f}"
    yield "A1001", "2026-10-12", "2026-10-05", "display", "0.100"  # ends before it starts


def customers(market: Market, rng: np.random.Generator) -> Iterable[Sequence[Any]]:
    yield "card", "personal offers", "about"
    consents = rng.choice(["yes", "no", ""], market.spec.shoppers, p=_CONSENT)
    for number, consent in enumerate(consents):
        since = json.dumps({"member_since": int(rng.integers(2018, 2026))})
        yield f"K{number:04}", consent, since
    yield "K0007", "no", "{}"  # repeats the key of an earlier row


_CONSENT = [0.6, 0.25, 0.15]


def competitor_prices(weeks: list[Week], rng: np.random.Generator) -> Iterable[Sequence[Any]]:
    yield "sku", "competitor", "observed_at", "price", "source", "public"
    for week in weeks:
        observed_at = (week.start + timedelta(days=2, hours=10)).isoformat()
        for sku, rival in np.argwhere(rng.random(week.state.rivals.shape) < 0.4):
            price = _euros(week.state.rivals[sku, rival])
            source, public = (("leaflet", "yes"), ("panel", "no"))[rival]
            yield sku_name(sku), COMPETITORS[rival], observed_at, price, source, public
    yield (
        "A1002",
        COMPETITORS[0],
        "2026-10-07T10:00:00",
        "0.00",
        "leaflet",
        "yes",
    )  # a price of zero


def prices(weeks: list[Week]) -> pa.Table:
    changes = [
        {"sku": sku_name(sku), "price": int(week.listed[sku]), "effective_from": _utc(week.start)}
        for before, week in zip([None, *weeks], weeks, strict=False)
        for sku in range(len(week.listed))
        if before is None or before.listed[sku] != week.listed[sku]
    ]
    return pa.Table.from_pylist(changes)


def inventory(weeks: list[Week]) -> pa.Table:
    counts = [
        {
            "sku": sku_name(sku),
            "observed_at": _utc(week.start + timedelta(hours=6)),
            "on_hand": int(week.state.on_hand[sku]),
            "inbound": int(week.state.inbound[sku]),
        }
        for week in weeks
        for sku in range(len(week.listed))
    ]
    counts[-1]["on_hand"] = -3  # stock cannot be negative
    return pa.Table.from_pylist(counts)


def events(weeks: list[Week], rng: np.random.Generator) -> pa.Table:
    """Events of the web shop in the last eight weeks: a view and a cart for some sold lines."""
    rows = []
    for week in weeks[-8:]:
        for visit, shopper, minute, sku, _ in _lines(week.sales):
            if rng.random() < 0.25:
                for kind, before in (("view", 9), ("cart", 4)):
                    when = _utc(week.start + timedelta(minutes=minute - before))
                    rows.append(_event(len(rows), when, visit, shopper, sku, kind, week))
    rows[5]["kind"] = "hover"
    return pa.Table.from_pylist(rows)


def _event(
    number: int, when: datetime, visit: int, shopper: int, sku: int, kind: str, week: Week
) -> dict[str, Any]:
    return {
        "event_id": f"E{number:06}",
        "occurred_at": when,
        "session_id": f"{week.start:%Y%m%d}-{visit:04}",
        "customer_id": f"K{shopper:04}",
        "sku": sku_name(sku),
        "kind": kind,
        "shown_price": int(week.offer.price[sku]),
    }


def _utc(local: datetime) -> datetime:
    return local.replace(tzinfo=BERLIN).astimezone(UTC)


def _euros(cents: float) -> str:
    return f"{cents / 100:.2f}"


def _comma(cents: float) -> str:
    return _euros(cents).replace(".", ",")


def _write(path: Path, rows: Iterable[Sequence[Any]], delimiter: str = ",") -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


TILL = ("receipt", "time", "article", "units", "paid", "before discount", "voucher", "card")


def make(folder: Path) -> None:
    """Write every file of the shop into `folder`."""
    market = Market.draw(Spec(shoppers=500, rivalry=0, rival_noise=0, mailer_share=0))
    rng = np.random.default_rng(market.spec.seed)
    weeks = simulate(market, rng)
    lines = orders(market, weeks, rng)
    _add_bad_rows(lines)
    for year, rows in lines.items():
        _write(folder / "orders" / f"{year}.csv.gz", [TILL, *rows], delimiter=";")
    _write(folder / "products.csv", products(market))
    _write(folder / "promotions.csv", promotions(weeks))
    _write(folder / "customers.csv", customers(market, rng))
    _write(folder / "competitor_prices.csv.gz", competitor_prices(weeks, rng))
    for name, table in (
        ("prices", prices(weeks)),
        ("inventory", inventory(weeks)),
        ("events", events(weeks, rng)),
    ):
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
