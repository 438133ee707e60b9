"""Finds the rows of the price book that a request is about."""

from __future__ import annotations

from collections.abc import Sequence

from serving.http.errors import RequestError
from serving.http.schemas import ForecastRequest, QuoteRequest
from serving.quotes.bundle import Bundle

Request = QuoteRequest | ForecastRequest

MAX_NAMED = 20  # unknown skus that an error names
MAX_ZONES = 10  # zones that an error names


def find_rows(bundle: Bundle, requests: Sequence[Request]) -> list[int]:
    """The row number in the price book of each request.

    Raises:
        RequestError: 404, the price book does not list a sku, or not in the requested zone.
    """
    row_or_none = [bundle.row(request.sku, request.zone) for request in requests]
    rows = [row for row in row_or_none if row is not None]
    if len(rows) < len(requests):
        pairs = zip(requests, row_or_none, strict=True)
        raise _not_listed(bundle, [request for request, row in pairs if row is None])
    return rows


def _not_listed(bundle: Bundle, missing: Sequence[Request]) -> RequestError:
    first = missing[0]
    if zones := bundle.zones(first.sku):
        detail = f"{first.sku} has prices in these zones only: {', '.join(zones[:MAX_ZONES])}."
        return RequestError(404, "unknown_zone", detail, first.zone)
    skus = sorted({request.sku for request in missing})
    if len(skus) == 1:
        return RequestError(404, "unknown_sku", "The price book does not list this sku.", skus[0])
    detail = "The price book does not list these skus."
    return RequestError(404, "unknown_sku", detail, skus[:MAX_NAMED])
