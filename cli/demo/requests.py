"""The quotes that the demo requests: best sellers, price-sensitive skus, several shoppers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import Any

from pricebook.config import Settings
from pricebook.files import read_json

BEST_SELLERS = 2  # from different departments
MOST_ELASTIC = 2
MOST_EXPENSIVE = 4

Sku = tuple[str, str, str]  # sku, zone, name


@dataclass(frozen=True)
class SampleRequest:
    """A quote to request.

    Attributes:
        name: the sku's name.
        shopper: the shopper in words.
        body: the body of `POST /quote`.
    """

    name: str
    shopper: str
    body: dict[str, Any]


def quote_requests(settings: Settings) -> list[SampleRequest]:
    """Requests for the most price-sensitive and the best-selling skus.

    Each sku is requested for an anonymous shopper, and the skus in turn for a shopper of each
    segment. The last request is for a sku without a model, if the price book has one.

    Without a champion the requests are for the most expensive skus.
    """
    if not (settings.bundle / "bundle.json").exists():
        return [_request(sku, "anonymous") for sku in _most_expensive(settings)]
    skus = list(dict.fromkeys([*_most_elastic(settings), *_best_sellers(settings)]))
    requests = [_request(sku, "anonymous") for sku in skus]
    for sku, (customer, segment) in zip(cycle(skus), _shoppers(settings), strict=False):
        requests.append(_request(sku, f"{segment}, consents", customer_id=customer, consent=True))
    return requests + [_request(sku, "anonymous") for sku in _skus_without_model(settings)]


def forecast_request(settings: Settings) -> dict[str, Any]:
    """The body of `POST /forecast` for the best seller, over the model's horizon."""
    sku, zone, _ = _best_sellers(settings)[0]
    return {"sku": sku, "zone": zone}


def _request(sku: Sku, shopper: str, **fields: Any) -> SampleRequest:
    code, zone, name = sku
    return SampleRequest(f"{name or code}", shopper, {"sku": code, "zone": zone, **fields})


def _best_sellers(settings: Settings) -> list[Sku]:
    return _query(
        """
        with sales as (
            select sku, zone, sum(mean) as units from read_parquet($forecast) group by all
        ), ranked as (
            select sku, zone, name, units,
                row_number() over (partition by department order by units desc, sku) as rank
            from read_parquet($book) join sales using (sku, zone)
        )
        select sku, zone, name from ranked where rank = 1 order by units desc, sku limit $count
        """,
        forecast=str(settings.bundle / "forecast.parquet"),
        book=str(settings.bundle / "price_book.parquet"),
        count=BEST_SELLERS,
    )


def _most_elastic(settings: Settings) -> list[Sku]:
    response = read_json(settings.bundle / "response.json")
    elasticities = response["elasticities"]["everyone"]["elasticity"]
    ranked = sorted(zip(elasticities, response["vocabularies"]["series"], strict=True))
    return [_with_name(settings, *series) for _, series in ranked[:MOST_ELASTIC]]


def _with_name(settings: Settings, sku: str, zone: str) -> Sku:
    query = "select name from read_parquet($book) where sku = $sku and zone = $zone"
    book = str(settings.bundle / "price_book.parquet")
    ((name,),) = _query(query, book=book, sku=sku, zone=zone)
    return sku, zone, name


def _skus_without_model(settings: Settings) -> list[Sku]:
    return _query(
        """
        select sku, zone, name from read_parquet($book)
        where not modelled and list_price > 0 order by list_price desc, sku limit 1
        """,
        book=str(settings.bundle / "price_book.parquet"),
    )


def _most_expensive(settings: Settings) -> list[Sku]:
    return _query(
        """
        select sku, zone, name from read_parquet($book)
        order by list_price desc, sku limit $count
        """,
        book=str(settings.price_list / "price_book.parquet"),
        count=MOST_EXPENSIVE,
    )


def _shoppers(settings: Settings) -> list[tuple[str, str]]:
    path = settings.features / "shopper.parquet"
    if not path.exists():
        return []  # the shop's orders name no customers
    return _query(
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


def _query(query: str, **values: Any) -> list[Any]:
    import duckdb

    with duckdb.connect() as con:
        return con.execute(query, values).fetchall()
