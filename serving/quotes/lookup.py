"""Which rows of the price book are asked for; what is not listed is refused with what is."""

from __future__ import annotations

from collections.abc import Sequence

from serving.http.errors import RequestError
from serving.http.schemas import ForecastRequest, QuoteRequest
from serving.quotes.bundle import Bundle

Asked = QuoteRequest | ForecastRequest


def rows_of(bundle: Bundle, asked: Sequence[Asked]) -> list[int]:
    """The row of the listings each request is about.

    Raises:
        RequestError: 404, the price book does not list a sku, or not in that zone.
    """
    found = [bundle.row(one.sku, one.zone) for one in asked]
    rows = [row for row in found if row is not None]
    if len(rows) < len(asked):
        raise _unknown(bundle, [one for one, row in zip(asked, found, strict=True) if row is None])
    return rows


def _unknown(bundle: Bundle, asked: Sequence[Asked]) -> RequestError:
    first = asked[0]
    if zones := bundle.zones(first.sku):
        wanted = f"in zone {first.zone!r}" if first.zone else "without a zone"
        detail = f"{first.sku} is priced by zone, and not {wanted}; it has {', '.join(zones[:10])}."
        return RequestError(404, "unknown_zone", detail, first.zone)
    skus = sorted({one.sku for one in asked})
    if len(skus) == 1:
        return RequestError(404, "unknown_sku", "The price book does not list this sku.", skus[0])
    return RequestError(404, "unknown_sku", "The price book does not list these skus.", skus[:20])
