"""The desk: look up, decide, sign, log. One request is a batch of one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np

from pricebook.decision import Listings
from pricebook.quote import EVERYONE, Issuer, Quote, Shopper, list_quotes, quote_many
from serving.bundle import Bundle
from serving.champion import Champion
from serving.journal import Journal
from serving.online import Known, Shoppers, Unreachable
from serving.refusal import Refusal
from serving.schemas import ForecastRequest, QuoteRequest
from serving.signing import sign

log = logging.getLogger("pricebook.desk")

NOBODY_KNOWN = Known(None, None)
PRIVATE = frozenset({"floor"})  # fields of a quote that stay inside
Reply = dict[str, Any]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Desk:
    """Answers requests from the champion in service."""

    champion: Champion
    shoppers: Shoppers
    journal: Journal
    key: bytes
    clock: Callable[[], datetime] = _now
    count: Callable[[Quote], None] = lambda quote: None

    @property
    def bundle(self) -> Bundle:
        """The bundle in service.

        Raises:
            Refusal: 503, there is none.
        """
        if self.champion.bundle is None:
            raise Refusal(503, "no_champion", f"Nothing to quote from: {self.champion.problem}.")
        return self.champion.bundle

    async def quotes(self, asked: Sequence[QuoteRequest]) -> list[Reply]:
        """Signed quotes in the order asked; each is in the log before anybody sees it.

        Raises:
            Refusal: a sku is not listed (404), or there are too many (413); nothing is quoted.
        """
        bundle = self.bundle
        most = bundle.about.limits.max_batch
        if len(asked) > most:
            detail = f"At most {most} quotes may be asked for at once."
            raise Refusal(413, "too_many", detail, len(asked))
        listings = bundle.listings.take(_rows(bundle, asked))
        issuer = bundle.issuer(self.clock())
        shoppers, quotes = await self._decide(bundle, asked, listings, issuer)
        replies = [self._signed(quote) for quote in quotes]
        self._log(bundle, asked, shoppers, listings, quotes, issuer.issued_at)
        for quote in quotes:
            self.count(quote)
        return replies

    async def _decide(
        self, bundle: Bundle, asked: Sequence[QuoteRequest], listings: Listings, issuer: Issuer
    ) -> tuple[list[Shopper], list[Quote]]:
        ids = [uuid4().hex for _ in asked]
        try:
            known = await self.shoppers.look_up(_customers(asked))
        except Unreachable as error:
            shoppers = [_shopper(one, NOBODY_KNOWN) for one in asked]
            return shoppers, list_quotes(ids, listings, issuer, "online_store", str(error))
        shoppers = [_shopper(one, known.get(one.customer_id or "", NOBODY_KNOWN)) for one in asked]
        asks = list(zip(ids, shoppers, strict=True))
        try:
            return shoppers, quote_many(asks, listings, issuer, bundle.demand)
        except Exception:  # whatever a model raises, a shop never waits for it
            log.exception("The response model failed; quoting list prices.")
            return shoppers, list_quotes(ids, listings, issuer, "no_model", "the model failed")

    def _signed(self, quote: Quote) -> Reply:
        reply = {name: value for name, value in _fields(quote).items() if name not in PRIVATE}
        return reply | {"signature": sign(reply, self.key)}

    def _log(
        self,
        bundle: Bundle,
        asked: Sequence[QuoteRequest],
        shoppers: Sequence[Shopper],
        listings: Listings,
        quotes: Sequence[Quote],
        at: datetime,
    ) -> None:
        about = {"as_of": bundle.about.as_of, "verdict": bundle.about.built_from}
        rows = zip(quotes, asked, shoppers, _features(listings), strict=True)
        entries = (
            {
                "quote": _fields(quote),
                "quantity": request.quantity,
                "shopper": shopper,
                "features": features,
                "champion": about,
            }
            for quote, request, shopper, features in rows
        )
        try:
            self.journal.append(entries, at)
        except OSError:
            log.exception("%d quotes could not be logged.", len(quotes))

    def forecast(self, asked: ForecastRequest) -> Reply:
        """Demand for a sku over the horizon, at its reference price or the asked one.

        Raises:
            Refusal: the sku is not listed or has no forecast (404), or the horizon is too far
                (422).
        """
        bundle = self.bundle
        row = _row(bundle, asked.sku, asked.zone)
        sku, zone = bundle.listings.sku[row], bundle.listings.zone[row]
        steps = bundle.forecasts.rows.get((sku, zone))
        if not steps:
            detail = "This sku sells too little to be forecast."
            raise Refusal(404, "no_forecast", detail, asked.sku)
        horizon = asked.horizon or len(steps)
        if horizon > len(steps):
            detail = f"horizon: the forecast has {len(steps)} steps."
            raise Refusal(422, "invalid_body", detail, horizon)
        return _forecast(bundle, row, steps[:horizon], asked.price)


def _forecast(bundle: Bundle, row: int, steps: Sequence[int], price: int | None) -> Reply:
    columns = bundle.forecasts.columns
    sku, zone = bundle.listings.sku[row], bundle.listings.zone[row]
    reference = float(columns["reference_price"][steps[0]])
    ratio = 1.0
    if price is not None:
        series = [bundle.series(sku, zone, EVERYONE)]
        ratio = float(bundle.runtime.demand_ratio(series, np.array([[price / reference]]))[0, 0])
    list_price = int(bundle.listings.list_price[row])
    return {
        "sku": sku,
        "zone": zone,
        "currency": bundle.about.currency,
        "grain": bundle.about.grain,
        "price": price or round(reference),
        "reference_price": round(reference),
        "list_price": list_price,
        "demand_ratio": ratio,
        "notes": _notes(price, list_price),
        "steps": [_step(columns, step, ratio) for step in steps],
        "model_name": "demand",
        "model_version": bundle.about.models["demand"].version,
    }


def _notes(price: int | None, list_price: int) -> list[str]:
    if price is None:
        return ["at the reference price, with no promotion planned"]
    if price > list_price:
        return ["a what-if above the list price: no shopper is ever quoted it"]
    return ["a what-if: demand at the reference price, times the response to this one"]


def _step(columns: Mapping[str, list[Any]], step: int, ratio: float) -> Reply:
    names = sorted(name for name in columns if name[0] == "q" and name[1:].isdigit())
    return {
        "step": columns["step"][step],
        "period": columns["period"][step],
        "mean": columns["mean"][step] * ratio,
        "quantiles": {name: columns[name][step] * ratio for name in names},
    }


def _rows(bundle: Bundle, asked: Sequence[QuoteRequest]) -> np.ndarray[Any, np.dtype[np.int64]]:
    found = [bundle.row(one.sku, one.zone) for one in asked]
    unknown = [one for one, row in zip(asked, found, strict=True) if row is None]
    if unknown:
        raise _unknown(bundle, unknown)
    return np.array(found, dtype=np.int64)


def _row(bundle: Bundle, sku: str, zone: str | None) -> int:
    row = bundle.row(sku, zone)
    if row is None:
        raise _unknown(bundle, [QuoteRequest(sku=sku, zone=zone)])
    return row


def _unknown(bundle: Bundle, asked: Sequence[QuoteRequest]) -> Refusal:
    first = asked[0]
    if zones := bundle.zones(first.sku):
        wanted = f"in zone {first.zone!r}" if first.zone else "without a zone"
        detail = f"{first.sku} is priced by zone, and not {wanted}; it has {', '.join(zones[:10])}."
        return Refusal(404, "unknown_zone", detail, first.zone)
    skus = sorted({one.sku for one in asked})
    if len(skus) == 1:
        return Refusal(404, "unknown_sku", "The price book does not list this sku.", skus[0])
    return Refusal(404, "unknown_sku", "The price book does not list these skus.", skus[:20])


def _customers(asked: Sequence[QuoteRequest]) -> list[str]:
    return sorted({one.customer_id for one in asked if one.customer_id is not None})


def _shopper(asked: QuoteRequest, known: Known) -> Shopper:
    return Shopper(asked.customer_id, asked.consent, known.segment, known.consented)


def _fields(quote: Quote) -> Reply:
    """A quote as plain data; shallow, for it is on the hot path."""
    return {name: getattr(quote, name) for name in quote.__slots__}


def _features(listings: Listings) -> Iterator[Reply]:
    """What each quote was decided from, as plain values."""
    known = {name: column for name, column in vars(listings).items() if column is not None}
    columns = {name: column.tolist() for name, column in known.items()}
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))
