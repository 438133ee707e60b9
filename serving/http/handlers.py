"""What each route answers, and all it takes, opened from a home."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self
from uuid import uuid4

import pyarrow as pa
from pydantic_core import to_json

from pricebook.config import Settings
from pricebook.signals import Event
from serving.clock import MonotonicClock
from serving.http.api_keys import ApiKeyAuth, keys_in
from serving.http.errors import RequestError, parse
from serving.http.event_schemas import MOST, EventsReply, EventsRequest
from serving.http.middleware import Call, Route
from serving.http.schemas import ForecastRequest, QuoteRequest, QuotesRequest, VerifyRequest
from serving.live.live_features import Live
from serving.metrics import Counters
from serving.quotes.forecasts import forecast
from serving.quotes.locks import Locks
from serving.quotes.quoter import Desk
from serving.quotes.signing import KeyRing, load
from serving.state.background import PeriodicTask
from serving.state.cache import TtlCache
from serving.state.champion import Champion
from serving.state.daily_log import DailyLog
from serving.state.kill_switch import KillSwitch
from serving.state.online_store import ShopperStore

BODY_BYTES = 4_096  # for a body, and again for each item of a batch
EVENT_BYTES = 1_024
QUOTE_LOG_INTERVAL = 0.05  # seconds; reads the quotes of other workers
QUOTE_LOG_IDLE_INTERVAL = 0.08  # they are promised to arrive within 0.1 seconds

log = logging.getLogger("pricebook.service")


class SigningKeys:
    """The signing keys, read again by the watch."""

    def __init__(self, read: Callable[[], KeyRing]) -> None:
        self._read, self._ring = read, read()

    def __call__(self) -> KeyRing:
        return self._ring

    def refresh(self) -> None:
        self._ring = self._read()


@dataclass(frozen=True)
class Handlers:
    """The routes of one process."""

    desk: Desk
    live: Live
    guard: ApiKeyAuth
    ring: SigningKeys
    counters: Counters

    @classmethod
    def from_home(cls, settings: Settings, packed: Path | None) -> Self:
        """Everything a process needs, from its home.

        Raises:
            ConfigError: a signing key is too short.
        """
        pa.set_memory_pool(pa.system_memory_pool())  # others keep what they once took
        clock, counters = MonotonicClock(), Counters()
        ring = SigningKeys(lambda: load(settings, clock()))
        shoppers = ShopperStore(settings)
        shoppers.probe()
        journal = DailyLog(settings.quote_log, "quotes", writer=uuid4().hex[:8])
        live = Live(settings, partial(_sold, journal), clock)
        live.start()
        served = partial(Champion, signals=live.windows, swapped=counters.swapped)
        desk = Desk(
            champion=served(settings.bundle, packed=packed),
            challenger=served(settings.challenger, leaving=True),
            shoppers=shoppers,
            journal=journal,
            keys=ring,
            clock=clock,
            switch=TtlCache(KillSwitch(settings.kill_switch)),
            count=counters.quotes,
            unlogged=counters.unlogged,
            locks=Locks(dropped=counters.dropped),
            windows=live.windows,
        )
        desk.keep_up()
        return cls(desk, live, ApiKeyAuth(keys_in(settings), clock), ring, counters)

    def routes(self) -> dict[str, Route]:
        quotes = partial(self.guard.allow, scope="quote")
        batch = partial(quotes, cost=0)  # it is paid for when it is known how many are asked for
        return {
            "/quote": Route(self.quote, quotes, lambda: BODY_BYTES),
            "/quotes": Route(self.quotes, batch, self._batch_bytes),
            "/forecast": Route(self.forecast, quotes, lambda: BODY_BYTES),
            "/verify": Route(self.verify, quotes, lambda: 4 * BODY_BYTES),
            "/events": Route(
                self.events, partial(self.guard.allow, scope="events", cost=0), _events_bytes
            ),
        }

    async def quote(self, call: Call) -> bytes:
        return (await self.desk.quotes([parse(QuoteRequest, call.body)]))[0]

    async def quotes(self, call: Call) -> bytes:
        asked = parse(QuotesRequest, call.body)
        self.guard.allow(call.authorization, "quote", len(asked.items))
        return b'{"quotes":[%b]}' % b",".join(await self.desk.quotes(asked.items))

    async def forecast(self, call: Call) -> bytes:
        asked = parse(ForecastRequest, call.body)
        return to_json(forecast(self.desk.champion.offers.bundle, asked), inf_nan_mode="null")

    async def verify(self, call: Call) -> bytes:
        asked = parse(VerifyRequest, call.body)
        wrong = self.ring().check(asked.quote, self.desk.clock())
        return to_json({"valid": wrong is None, "reason": wrong})

    async def events(self, call: Call) -> bytes:
        asked = parse(EventsRequest, call.body)
        self.guard.allow(call.authorization, "events", len(asked.items))
        events = asked.events()
        champion = self.desk.champion.in_service
        if champion is not None and champion.bundle.as_one:
            events = [replace(event, zone=None) for event in events]
        try:
            taken = self.live.take(events, self.desk.clock())
        except OSError as error:
            log.error("%d events could not be logged: %s", len(events), error)
            raise RequestError(
                503, "no_event_log", "The event log takes nothing; send again."
            ) from None
        told = EventsReply(
            accepted=taken.accepted, duplicates=taken.duplicate, late=taken.late, early=taken.early
        )
        return told.model_dump_json().encode()

    def watches(self) -> list[PeriodicTask]:
        """The background tasks. Each has a thread, so none delays another or fails with it."""
        return [
            PeriodicTask(self.desk.keep_up, QUOTE_LOG_INTERVAL, QUOTE_LOG_IDLE_INTERVAL),
            PeriodicTask(self._tell, 0.5),  # /metrics counts a quote within a second
            PeriodicTask(self.desk.champion.refresh, 1.0),
            PeriodicTask(self.desk.challenger.refresh, 1.0),
            PeriodicTask(self.desk.shoppers.probe, 1.0),
            PeriodicTask(self.guard.refresh, 1.0),  # a revoked key is refused within seconds
            PeriodicTask(self.ring.refresh, 2.0),  # a new key signs ten seconds after it was added
        ]

    def _tell(self) -> None:
        self.counters.tell()
        self.counters.heard(self.live.staleness(self.desk.clock()), self.live.unreadable)
        pushes = self.live.pushes
        if pushes.leads:
            self.counters.pushed(pushes.waiting, pushes.failures)

    def close(self) -> None:
        self.live.stop()
        self.desk.shoppers.close()

    def _batch_bytes(self) -> int:
        return BODY_BYTES * (1 + self.desk.champion.offers.bundle.about.limits.max_batch)


def _events_bytes() -> int:
    return EVENT_BYTES * (1 + MOST)


def _sold(journal: DailyLog, orders: Sequence[Event], at: datetime) -> None:
    """Orders that name their quote close the loop in its log."""
    lines = [b'{"order":%b}\n' % to_json(order) for order in orders]
    try:
        journal.append(lines, at)
    except OSError as error:
        about = {"quote_ids": [order.quote_id for order in orders]}
        log.error("%d orders are not joined to their quotes: %s", len(lines), error, extra=about)
