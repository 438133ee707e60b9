"""Issues quotes: look up the shoppers, decide the offers, log them and sign them.

`POST /quote` is a batch of one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import repeat
from typing import Any

from pydantic_core import to_json

from pricebook.config import Personal
from pricebook.events import Place
from pricebook.pricing.arms import CANARY, assign
from pricebook.pricing.budget import Issued, OfferAccount, first_day
from pricebook.pricing.personal import purpose
from pricebook.pricing.quote import FALLBACKS, Terms
from pricebook.pricing.quote import terms as shopper_terms
from pricebook.signals import EventWindows
from serving.http.errors import RequestError
from serving.http.schemas import QuoteRequest
from serving.quotes.batch import Batch
from serving.quotes.bundle import Bundle
from serving.quotes.locks import Key, LockedQuote, PriceLocks, Validity
from serving.quotes.lookup import find_rows
from serving.quotes.offers import Offers, RenderedOffer
from serving.quotes.price_changes import price_changes
from serving.quotes.quote_log import log_line, read_quote
from serving.quotes.signing import KeyRing
from serving.state.champion import Champion
from serving.state.daily_log import DailyLog
from serving.state.online_store import OnlineStoreError, ShopperProfile, ShopperStore

log = logging.getLogger("pricebook.desk")

MODEL_FAILURES = frozenset({"no_model", "no_answer"})  # rules
DAY = timedelta(days=1)
NO_PROFILES: Mapping[str, ShopperProfile] = {}  # personal offers are turned off


@dataclass(frozen=True)
class Quoter:
    """Issues quotes from the champion in service.

    Attributes:
        challenger: prices the canary arm and shadow prices, if one is in service.
        kill_switch: returns why every price is the list price, or None.
        count_issued: called with the offers of new quotes, for the metrics.
        count_unlogged: called with the number of quotes that could not be logged.
        windows: the live features, for the quote log and for purposes of personal offers.
        account: what this worker has given as personal discounts.
    """

    champion: Champion
    challenger: Champion
    shoppers: ShopperStore
    quote_log: DailyLog
    signing_keys: Callable[[], KeyRing]
    clock: Callable[[], datetime]
    kill_switch: Callable[[], str | None] = lambda: None
    count_issued: Callable[[Sequence[RenderedOffer]], None] = lambda offers: None
    count_unlogged: Callable[[int], None] = lambda quotes: None
    locks: PriceLocks = field(default_factory=PriceLocks)
    windows: EventWindows = field(default_factory=EventWindows)
    account: OfferAccount = field(default_factory=OfferAccount)

    async def quotes(self, requests: Sequence[QuoteRequest]) -> list[bytes]:
        """Signed quotes as JSON, in the order of the requests.

        Each quote is logged before it is returned. A named shopper gets the same quote of a sku
        until it expires.

        Raises:
            RequestError: there is no price book (503), a sku is not listed (404), or there are too
                many requests (413). No quote is issued then.
        """
        offers, now, stop_reason = self.champion.offers, self.clock(), self.kill_switch()
        bundle = offers.bundle
        _check_batch_size(requests, bundle)
        rows = find_rows(bundle, requests)
        limits, profiles, store_problem = bundle.manifest.limits, NO_PROFILES, ""
        if limits.personal.enabled:
            profiles, store_problem = await self._look_up_shoppers(requests)
        # There is no `await` from here on, so requests that arrive at the same time are answered
        # one after the other. Otherwise a shopper could get two different quotes of a sku.
        keys = [_lock_key(req, bundle, row) for req, row in zip(requests, rows, strict=True)]
        quotes = [None if stop_reason else self.locks.get(key, now) for key in keys]
        issued: dict[Key | None, LockedQuote] = {}
        if new := _positions_to_issue(quotes, keys):
            new_requests, new_rows = [requests[n] for n in new], [rows[n] for n in new]
            defaults = limits.consent_default, limits.personal.enabled
            batch = Batch(new_requests, new_rows, profiles, now, *defaults)
            new_quotes = self._issue(offers, batch, stop_reason, store_problem)
            for position, quote in zip(new, new_quotes, strict=True):
                quotes[position] = issued[keys[position]] = quote
            self.locks.add(item for item in issued.items() if _can_be_locked(item[1]))
        key_ring = self.signing_keys()
        return [
            # A request that repeats another one of this batch gets the same quote.
            _signed_reply(quote or issued[key], key_ring)
            for quote, key in zip(quotes, keys, strict=True)
        ]

    def catch_up(self) -> bool:
        """Lock the quotes of other workers, and those of this worker before a restart.

        Also count the personal offers that an earlier process made in this worker's place. Returns
        whether there were any lines to read.
        """
        now, worked = self.clock(), False
        for line in self.quote_log.unread(self._first_logged_day(now)):
            worked = True
            if (quote := read_quote(line, now)) is None:
                continue
            self.account.restore(quote.issued, quote.worker)
            if quote.lock is not None:
                self.locks.merge(*quote.lock, now)
        return worked

    def _first_logged_day(self, now: datetime) -> date:
        """The first day of the quote log that still matters."""
        offers = self.champion.in_service
        personal = Personal() if offers is None else offers.bundle.manifest.limits.personal
        return min((now - DAY).date(), first_day(now.date(), personal))

    async def _look_up_shoppers(
        self, requests: Sequence[QuoteRequest]
    ) -> tuple[Mapping[str, ShopperProfile], str]:
        """The stored profiles of the shoppers, and why there are none if the store has failed."""
        ids = {req.customer_id for req in requests if req.customer_id is not None}
        try:
            return await self.shoppers.look_up(sorted(ids)), ""
        except OnlineStoreError as error:
            return {}, str(error)

    def _issue(
        self, offers: Offers, batch: Batch, stop_reason: str | None, store_problem: str
    ) -> list[LockedQuote]:
        """New quotes: decided, logged and counted."""
        bundle, terms = offers.bundle, self._terms(offers.bundle, batch)
        if fallback := _fallback(stop_reason, offers.why_list_price, store_problem):
            keys = list(zip(batch.rows, terms, strict=True))
            rendered = offers.at_list_price(keys, *fallback, batch.now)
        else:
            self._add_purposes(bundle, batch, terms)
            rendered = self._offers(offers, batch.rows, terms, batch.now)
            self._withhold(offers, batch, terms, rendered)
        validity = Validity.from_instant(batch.now, bundle.manifest.limits.ttl_seconds)
        ids = _new_ids(len(rendered), batch.now)
        quotes = [LockedQuote(*pair, validity) for pair in zip(ids, rendered, strict=True)]
        self._log(quotes, batch, self._shadow_prices(bundle, batch, terms), bundle)
        if changes := price_changes(offers, batch, rendered):
            offers.public_prices.add(changes, batch.now)
            offers.keep_recorded(batch.rows, terms, rendered)
        self.count_issued(rendered)
        _report_model_failures(quotes)
        return quotes

    def _terms(self, bundle: Bundle, batch: Batch) -> list[Terms]:
        """The terms of each request. They depend on its arm if there is an experiment."""
        limits = bundle.manifest.limits
        experiment = limits.experiment
        if experiment.canary and self.challenger.in_service is None:
            experiment = experiment.model_copy(update={"canary": 0.0})
        if not experiment.splits:
            return [shopper.terms for shopper in batch.shoppers]
        period = str(int(batch.now.timestamp()) // limits.ttl_seconds)
        assigned = []
        for row, known in zip(batch.rows, batch.shoppers, strict=True):
            moment = "|".join((*bundle.places[row], period))
            arm = assign(known.shopper.customer_id or moment, moment, experiment)
            default, personal = batch.consent_default, batch.personal
            assigned.append(shopper_terms(known.shopper, default, arm, personal))
        return assigned

    def _add_purposes(self, bundle: Bundle, batch: Batch, terms: list[Terms]) -> None:
        """Add to the terms, in place, the purpose of each offer to a shopper with consent."""
        personal, now = bundle.manifest.limits.personal, batch.now.timestamp()
        after = 60.0 * personal.cart_minutes
        for position, row_terms in enumerate(terms):
            if row_terms.segment is not None:
                id_, sku = batch.requests[position].customer_id, batch.requests[position].sku
                left = self.windows.carts.is_abandoned(id_ or "", sku, now, after)
                if name := purpose(row_terms.segment, left, personal):
                    terms[position] = row_terms._replace(purpose=name)

    def _withhold(
        self, offers: Offers, batch: Batch, terms: list[Terms], rendered: list[RenderedOffer]
    ) -> None:
        """Replace, in place, personal offers beyond the budget or a cap by public ones."""
        self._count_public(batch, rendered, range(len(rendered)))
        refused = []
        for position, offer in enumerate(rendered):
            if offer.expectation is None:
                continue
            if rule := self._refusal(offers.bundle, batch, position, offer):
                terms[position] = terms[position].without_personal(rule)
                refused.append(position)
        if refused:
            rows = [batch.rows[position] for position in refused]
            withheld = [terms[position] for position in refused]
            public = self._offers(offers, rows, withheld, batch.now)
            for position, offer in zip(refused, public, strict=True):
                rendered[position] = offer
            self._count_public(batch, rendered, refused)

    def _refusal(
        self, bundle: Bundle, batch: Batch, position: int, offer: RenderedOffer
    ) -> str | None:
        """The rule that withholds a personal offer. None if it may be made; then it is counted."""
        request, expected = batch.requests[position], offer.expectation
        issued = Issued.from_offer(
            batch.now.date(), request.customer_id or "", offer.price, request.quantity, expected
        )
        rule = self.account.refusal(issued, bundle.manifest.limits.personal, bundle.hourly_revenue)
        if rule is None:
            self.account.add(issued)
        return rule

    def _count_public(
        self, batch: Batch, rendered: Sequence[RenderedOffer], positions: Iterable[int]
    ) -> None:
        """Count the value of public offers to named shoppers."""
        requests = batch.requests
        value = sum(
            rendered[position].price * requests[position].quantity
            for position in positions
            if requests[position].customer_id is not None and rendered[position].expectation is None
        )
        if value:
            self.account.add_value(batch.now.date(), value)

    def _offers(
        self, offers: Offers, rows: Sequence[int], terms: Sequence[Terms], now: datetime
    ) -> list[RenderedOffer]:
        """Offers of the champion; in the canary arm those of the challenger if it lists the sku."""
        rendered = offers.get(rows, terms, now)
        for position, row_terms in enumerate(terms):
            if row_terms.arm.name == CANARY:
                place = offers.bundle.places[rows[position]]
                offer = self._challenger_offer(place, row_terms, now)
                rendered[position] = offer or rendered[position]
        return rendered

    def _shadow_prices(
        self, bundle: Bundle, batch: Batch, terms: Sequence[Terms]
    ) -> list[int | None]:
        """What the challenger would have quoted; None if shadow prices are off or it has none."""
        if not bundle.manifest.limits.experiment.shadow:
            return [None] * len(batch.rows)
        places = [bundle.places[row] for row in batch.rows]
        shadows = (
            self._challenger_offer(place, Terms(row_terms.segment, row_terms.because), batch.now)
            for place, row_terms in zip(places, terms, strict=True)
        )
        return [None if offer is None else offer.price for offer in shadows]

    def _challenger_offer(self, place: Place, terms: Terms, now: datetime) -> RenderedOffer | None:
        """The challenger's offer; None without a challenger, or if it does not list the sku."""
        challenger = self.challenger.in_service
        if challenger is None:
            return None
        row = challenger.bundle.row(*place)
        return None if row is None else challenger.get([row], [terms], now)[0]

    def _log(
        self,
        quotes: Sequence[LockedQuote],
        batch: Batch,
        shadow_prices: Sequence[int | None],
        bundle: Bundle,
    ) -> None:
        """Write the quotes to the quote log. If the disk refuses them, they are sent anyway."""
        live = self._live_features(bundle, batch)
        worker = repeat(self.account.part.label)
        lines = map(log_line, quotes, batch.requests, batch.shoppers, shadow_prices, live, worker)
        try:
            self.quote_log.append(lines, batch.now)
        except OSError as error:
            self.count_unlogged(len(quotes))
            extra = {"quote_ids": [quote.quote_id.decode() for quote in quotes]}
            log.error("%d quotes could not be logged: %s", len(quotes), error, extra=extra)

    def _live_features(self, bundle: Bundle, batch: Batch) -> list[bytes]:
        """The live features of each request's sku and shopper as JSON, for the quote log."""
        now, windows = batch.now.timestamp(), self.windows
        ids = {req.customer_id for req in batch.requests if req.customer_id is not None}
        by_shopper: dict[str | None, Any] = {id_: windows.shopper_features(id_, now) for id_ in ids}
        features = (
            (windows.sku_features(*bundle.places[row], now), by_shopper.get(req.customer_id))
            for row, req in zip(batch.rows, batch.requests, strict=True)
        )
        return [
            to_json({"sku": sku, "shopper": shopper}) if sku or shopper else b"null"
            for sku, shopper in features
        ]


def _fallback(
    stop_reason: str | None, why_list_price: str, store_problem: str
) -> tuple[str, str] | None:
    """The rule for which list prices are quoted, and why; None if prices are decided."""
    if stop_reason is not None:
        return "kill_switch", stop_reason
    if why_list_price:
        return "no_champion", why_list_price
    return ("online_store", store_problem) if store_problem else None


def _check_batch_size(requests: Sequence[QuoteRequest], bundle: Bundle) -> None:
    limit = bundle.manifest.limits.max_batch
    if len(requests) > limit:
        detail = f"At most {limit} quotes per request."
        raise RequestError(413, "too_many", detail, len(requests))


def _lock_key(request: QuoteRequest, bundle: Bundle, row: int) -> Key | None:
    if request.customer_id is None:
        return None
    return request.customer_id, *bundle.places[row], request.consent


def _positions_to_issue(
    quotes: Sequence[LockedQuote | None], keys: Sequence[Key | None]
) -> list[int]:
    """The positions without a locked quote. A key that is repeated in the batch is issued once."""
    first: dict[Key, int] = {}
    return [
        position
        for position, (quote, key) in enumerate(zip(quotes, keys, strict=True))
        if quote is None and (key is None or first.setdefault(key, position) == position)
    ]


def _can_be_locked(quote: LockedQuote) -> bool:
    """Whether a quote has a price that was decided. A fallback to the list price is not locked."""
    return FALLBACKS.isdisjoint(quote.offer.labels.rules)


def _report_model_failures(quotes: Sequence[LockedQuote]) -> None:
    failed = [q for q in quotes if not MODEL_FAILURES.isdisjoint(q.offer.labels.rules)]
    if failed:
        extra = {"quote_ids": [quote.quote_id.decode() for quote in failed]}
        log.warning("The response model failed for %d quotes.", len(failed), extra=extra)


def _new_ids(count: int, now: datetime) -> list[bytes]:
    """Random ids of 32 hexadecimal digits. They start with the microsecond, so they sort by time.

    One call for all random bytes takes less than a tenth of the time of one UUID per quote.
    """
    microsecond = b"%014x" % round(now.timestamp() * 1_000_000)
    text = os.urandom(9 * count).hex().encode()
    return [microsecond + text[start : start + 18] for start in range(0, len(text), 18)]


def _signed_reply(quote: LockedQuote, key_ring: KeyRing) -> bytes:
    """The reply. The signature covers the fields that a shopper may see."""
    offer = quote.offer
    signed = b'["%b",%b,%b]' % (quote.quote_id, offer.signed_json, quote.validity.signed_json)
    signature = key_ring.sign(signed).encode()
    return b'{%b,%b,"signature":"%b"}' % (quote.json, offer.public_json, signature)
