"""Whom and what the demo asks for: skus that sell, skus that price moves, several shoppers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import Any

from pricebook.config import Settings
from pricebook.files import read_json

BEST_SELLERS = 2  # each of another department
MOST_ELASTIC = 2


@dataclass(frozen=True)
class Errand:
    """A quote to ask for: the sku's name, the shopper in words, and the body of POST /quote."""

    name: str
    shopper: str
    body: dict[str, Any]


def quote_requests(settings: Settings) -> list[Errand]:
    """The skus that price moves most and those that sell most: to anybody, and to a shopper of each
    segment in turn; and a sku that is in the price book but not modelled, if there is one."""
    skus = list(dict.fromkeys([*_most_elastic(settings), *_best_sellers(settings)]))
    errands = [_errand(sku, "anybody") for sku in skus]
    for sku, (customer, segment) in zip(cycle(skus), _shoppers(settings), strict=False):
        errands.append(_errand(sku, f"{segment}, consents", customer_id=customer, consent=True))
    return errands + [_errand(sku, "anybody") for sku in _not_modelled(settings)]


def forecast_request(settings: Settings) -> dict[str, Any]:
    """The best seller, as far as the model looks."""
    sku, zone, _ = _best_sellers(settings)[0]
    return {"sku": sku, "zone": zone}


def _errand(sku: tuple[str, str, str], shopper: str, **rest: Any) -> Errand:
    code, zone, name = sku
    return Errand(f"{name or code}", shopper, {"sku": code, "zone": zone, **rest})


def _best_sellers(settings: Settings) -> list[tuple[str, str, str]]:
    return _ask(
        """
        with sold as (
            select sku, zone, sum(mean) as units from read_parquet($forecast) group by all
        ), ranked as (
            select sku, zone, name, units,
                row_number() over (partition by department order by units desc, sku) as place
            from read_parquet($book) join sold using (sku, zone)
        )
        select sku, zone, name from ranked where place = 1 order by units desc, sku limit $count
        """,
        forecast=str(settings.bundle / "forecast.parquet"),
        book=str(settings.bundle / "price_book.parquet"),
        count=BEST_SELLERS,
    )


def _most_elastic(settings: Settings) -> list[tuple[str, str, str]]:
    told = read_json(settings.bundle / "response.json")
    felt = told["elasticities"]["everyone"]["elasticity"]
    ranked = sorted(zip(felt, told["vocabularies"]["series"], strict=True))
    return [_named(settings, *series) for _, series in ranked[:MOST_ELASTIC]]


def _named(settings: Settings, sku: str, zone: str) -> tuple[str, str, str]:
    query = "select name from read_parquet($book) where sku = $sku and zone = $zone"
    book = str(settings.bundle / "price_book.parquet")
    ((name,),) = _ask(query, book=book, sku=sku, zone=zone)
    return sku, zone, name


def _not_modelled(settings: Settings) -> list[tuple[str, str, str]]:
    return _ask(
        """
        select sku, zone, name from read_parquet($book)
        where not modelled and list_price > 0 order by list_price desc, sku limit 1
        """,
        book=str(settings.bundle / "price_book.parquet"),
    )


def _shoppers(settings: Settings) -> list[tuple[str, str]]:
    path = settings.features / "shopper.parquet"
    if not path.exists():
        return []
    return _ask(
        """
        with latest as (
            select customer_id, segment, spend_13 from read_parquet($shoppers)
            qualify row_number() over (
                partition by customer_id order by event_timestamp desc
            ) = 1
        )
        select customer_id, segment from latest
        qualify row_number() over (partition by segment order by spend_13 desc, customer_id) = 1
        order by segment
        """,
        shoppers=str(path),
    )


def _ask(query: str, **values: Any) -> list[Any]:
    import duckdb

    with duckdb.connect() as con:
        return con.execute(query, values).fetchall()
