"""The desk: look up, decide, sign, log. One request is a batch of one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeVar

from pydantic_core import to_json

from pricebook.pricing.arms import CANARY, assign
from pricebook.pricing.quote import Shopper, Terms, terms
from pricebook.signals import EventWindows
from serving.http.errors import RequestError
from serving.http.schemas import QuoteRequest
from serving.quotes.bundle import Bundle
from serving.quotes.locks import Key, LockedQuote, PriceLocks, Validity, learnt
from serving.quotes.lookup import rows_of
from serving.quotes.offers import FALLBACKS, Offers, RenderedOffer
from serving.quotes.signing import KeyRing
from serving.state.champion import Champion
from serving.state.daily_log import DailyLog
from serving.state.online_store import OnlineStoreError, ShopperProfile, ShopperStore

log = logging.getLogger("pricebook.desk")

FAILED = frozenset({"no_model", "no_answer"})  # rules
NOBODY_KNOWN = ShopperProfile(None, None)
DAY = timedelta(days=1)
T = TypeVar("T")


@dataclass(frozen=True)
class Quoter:
    """Handlers requests from the champion in service.

    `switch` says why everything is at its list price, or None; `count` and `unlogged` tell the
    metrics of quotes given, and of those the log would not take.
    """

    champion: Champion
    challenger: Champion
    shoppers: ShopperStore
    journal: DailyLog
    keys: Callable[[], KeyRing]
    clock: Callable[[], datetime]
    switch: Callable[[], str | None] = lambda: None
    count: Callable[[Sequence[RenderedOffer]], None] = lambda ready: None
    unlogged: Callable[[int], None] = lambda quotes: None
    locks: PriceLocks = field(default_factory=PriceLocks)
    windows: EventWindows = field(default_factory=EventWindows)

    async def quotes(self, asked: Sequence[QuoteRequest]) -> list[bytes]:
        """Signed quotes as JSON, in the order asked; each is in the log before anybody sees it.

        A named shopper who was quoted a sku before gets that quote again until it expires.

        Raises:
            RequestError: there is no champion (503), a sku is not listed (404), or there are too many
                (413); nothing is quoted.
        """
        offers, now, stopped = self.champion.offers, self.clock(), self.switch()
        _few(asked, offers.bundle)
        rows = rows_of(offers.bundle, asked)
        known, broken = await self._known(asked)
        locks = [_lock(one, offers.bundle, row) for one, row in zip(asked, rows, strict=True)]
        held = [None if stopped else self.locks.held(lock, now) for lock in locks]
        given: dict[Key | None, LockedQuote] = {}
        if new := _first(held, locks):
            default = offers.bundle.about.limits.consent_default
            fresh = _Fresh(_only(new, asked), _only(new, rows), known, now, default)
            for at, one in zip(new, self._given(offers, fresh, stopped, broken), strict=True):
                held[at] = given[locks[at]] = one
            self.locks.hold(
                one for one in given.items() if FALLBACKS.isdisjoint(one[1].ready.kind[2])
            )
        ring = self.keys()
        return [_signed(one or given[lock], ring) for one, lock in zip(held, locks, strict=True)]

    def keep_up(self) -> bool:
        """Lock the quotes that other workers gave, and those of this one before a restart.

        Returns whether there were any lines to read.
        """
        now, worked = self.clock(), False
        for line in self.journal.unread((now - DAY).date()):
            worked = True
            if found := learnt(line, now):
                self.locks.learn(*found, now)
        return worked

    def _given(
        self, offers: Offers, fresh: _Fresh, stopped: str | None, broken: str
    ) -> list[LockedQuote]:
        """New quotes: decided, logged and counted.

        Nothing is waited for, so a shopper who asks twice at once is told the same.
        """
        on = self._terms(offers.bundle, fresh)
        if stopped is not None:
            ready = offers.listed(fresh.rows, on, "kill_switch", stopped)
        elif broken:
            ready = offers.listed(fresh.rows, on, "online_store", broken)
        else:
            ready = self._offered(offers, fresh.rows, on)
        life = Validity.of(fresh.now, offers.bundle.about.limits.ttl_seconds)
        held = [
            LockedQuote(*one, life) for one in zip(_ids(len(ready), fresh.now), ready, strict=True)
        ]
        shadow = self._shadow(offers.bundle, fresh.rows, on)
        heard = self._heard(offers.bundle, fresh)
        self._log(map(_line, held, fresh.asked, fresh.who, shadow, heard), held, fresh.now)
        self.count(ready)
        if failed := [one for one in held if not FAILED.isdisjoint(one.ready.kind[2])]:
            told = {"quote_ids": [one.quote_id.decode() for one in failed]}
            log.warning("%d quotes got no answer of the model.", len(failed), extra=told)
        return held

    async def _known(self, asked: Sequence[QuoteRequest]) -> tuple[dict[str, ShopperProfile], str]:
        """What is known of who asks, and why the online store does not tell, where it does not."""
        ids = {one.customer_id for one in asked if one.customer_id is not None}
        try:
            return await self.shoppers.look_up(sorted(ids)), ""
        except OnlineStoreError as error:
            return {}, str(error)

    def _terms(self, bundle: Bundle, fresh: _Fresh) -> list[Terms]:
        limits = bundle.about.limits
        experiment = limits.experiment
        if experiment.canary and self.challenger.in_service is None:
            experiment = experiment.model_copy(update={"canary": 0.0})
        if not experiment.splits:
            return [one.terms for one in fresh.who]
        span = int(fresh.now.timestamp()) // limits.ttl_seconds
        found = []
        for row, one in zip(fresh.rows, fresh.who, strict=True):
            moment = "|".join((*bundle.places[row], str(span)))
            arm = assign(one.shopper.customer_id or moment, moment, experiment)
            found.append(terms(one.shopper, fresh.consent_default, arm))
        return found

    def _offered(
        self, offers: Offers, rows: Sequence[int], on: Sequence[Terms]
    ) -> list[RenderedOffer]:
        """From the champion; in the canary arm from the challenger, where it lists the sku."""
        ready = offers.of(rows, on)
        for at, one in enumerate(on):
            if one.arm.name == CANARY:
                ready[at] = self._challenged(offers.bundle, rows[at], one) or ready[at]
        return ready

    def _shadow(self, bundle: Bundle, rows: Sequence[int], on: Sequence[Terms]) -> list[int | None]:
        """What the challenger would have quoted, where it is asked to say."""
        if not bundle.about.limits.experiment.shadow:
            return [None] * len(rows)
        usual = (Terms(one.segment, one.because) for one in on)
        said = (self._challenged(bundle, *one) for one in zip(rows, usual, strict=True))
        return [None if ready is None else ready.price for ready in said]

    def _challenged(self, bundle: Bundle, row: int, on: Terms) -> RenderedOffer | None:
        """The challenger's offer; None where there is no challenger, or it lists no such sku."""
        challenger = self.challenger.in_service
        if challenger is None:
            return None
        found = challenger.bundle.row(*bundle.places[row])
        return None if found is None else challenger.of([found], [on])[0]

    def _heard(self, bundle: Bundle, fresh: _Fresh) -> list[bytes]:
        """What lately happened to each sku and to who asks, for the log, as JSON."""
        now, windows, places = fresh.now.timestamp(), self.windows, bundle.places
        named = {one.customer_id for one in fresh.asked if one.customer_id is not None}
        by: dict[str | None, Any] = {one: windows.shopper_features(one, now) for one in named}
        found = (
            (windows.sku_features(*places[row], now), by.get(one.customer_id))
            for row, one in zip(fresh.rows, fresh.asked, strict=True)
        )
        return [
            to_json({"sku": sku, "shopper": shopper}) if sku or shopper else b"null"
            for sku, shopper in found
        ]

    def _log(self, lines: Iterable[bytes], held: Sequence[LockedQuote], at: datetime) -> None:
        try:
            self.journal.append(lines, at)
        except OSError as error:
            self.unlogged(len(held))
            ids = [one.quote_id.decode() for one in held]
            log.error(
                "%d quotes could not be logged: %s", len(held), error, extra={"quote_ids": ids}
            )


class Who(NamedTuple):
    """Who asks, on what terms where nothing is tried out, and the same as JSON."""

    shopper: Shopper
    terms: Terms
    told: bytes


@dataclass(frozen=True)
class _Fresh:
    """What is asked for anew, the rows of the listings it is about, who is known, when, and whether
    who never answered has consented."""

    asked: Sequence[QuoteRequest]
    rows: Sequence[int]
    known: Mapping[str, ShopperProfile]
    now: datetime
    consent_default: bool

    @cached_property
    def who(self) -> list[Who]:
        known, default = self.known, self.consent_default
        return [
            _who(
                one.customer_id,
                one.consent,
                known.get(one.customer_id or "", NOBODY_KNOWN),
                default,
            )
            for one in self.asked
        ]


def _only(at: Sequence[int], of: Sequence[T]) -> list[T]:
    return [of[one] for one in at]


def _few(asked: Sequence[QuoteRequest], bundle: Bundle) -> None:
    most = bundle.about.limits.max_batch
    if len(asked) > most:
        detail = f"At most {most} quotes may be asked for at once."
        raise RequestError(413, "too_many", detail, len(asked))


def _first(held: Sequence[LockedQuote | None], locks: Sequence[Key | None]) -> list[int]:
    """Where nothing is held, and nobody asks for the same before in this batch."""
    first: dict[Key, int] = {}
    return [
        at
        for at, (one, lock) in enumerate(zip(held, locks, strict=True))
        if one is None and (lock is None or first.setdefault(lock, at) == at)
    ]


def _lock(asked: QuoteRequest, bundle: Bundle, row: int) -> Key | None:
    if asked.customer_id is None:
        return None
    return asked.customer_id, *bundle.places[row], asked.consent


@lru_cache(maxsize=4096)
def _who(customer_id: str | None, asked: bool | None, known: ShopperProfile, default: bool) -> Who:
    shopper = Shopper(customer_id, asked, known.segment, known.consented)
    # The keys belong to the format of the quote log, so they do not follow the names in `Shopper`.
    entry = {
        "customer_id": customer_id,
        "asked": asked,
        "segment": known.segment,
        "consented": known.consented,
    }
    return Who(shopper, terms(shopper, default), to_json(entry))


def _ids(count: int, now: datetime) -> list[bytes]:
    """Of 32 hexadecimal digits: the microsecond first, so that an earlier one is lower."""
    microsecond = b"%014x" % round(now.timestamp() * 1_000_000)
    text = os.urandom(9 * count).hex().encode()
    return [microsecond + text[at : at + 18] for at in range(0, len(text), 18)]


def _signed(held: LockedQuote, ring: KeyRing) -> bytes:
    """The reply, whose signature covers what a shopper sees of it."""
    ready = held.ready
    text = b'["%b",%b,%b]' % (held.quote_id, ready.signed, held.life.signed)
    return b'{%b,%b,"signature":"%b"}' % (_head(held), ready.told, ring.sign(text).encode())


def _line(
    held: LockedQuote, asked: QuoteRequest, who: Who, shadow: int | None, heard: bytes
) -> bytes:
    ready, unserved = held.ready, b"null" if shadow is None else b"%d" % shadow
    quote = b"%b,%b,%b" % (_head(held), ready.told, ready.logged)
    asking = b'"shopper":%b,"quantity":%d' % (who.told, asked.quantity)
    return b'{"quote":{%b,%b,"shadow":%b,"heard":%b}\n' % (quote, asking, unserved, heard)


def _head(held: LockedQuote) -> bytes:
    return b'"quote_id":"%b",%b' % (held.quote_id, held.life.told)
