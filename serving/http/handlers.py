"""The handlers of the POST routes, and the background tasks that keep their state up to date."""

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
from pricebook.events import Event
from pricebook.pricing.budget import OfferAccount
from serving.clock import MonotonicClock
from serving.http.api_keys import ApiKeyAuth, key_loader
from serving.http.errors import RequestError, parse
from serving.http.event_schemas import MAX_EVENTS, EventsReply, EventsRequest
from serving.http.middleware import RawRequest, Route
from serving.http.schemas import ForecastRequest, QuoteRequest, QuotesRequest, VerifyRequest
from serving.live.live_features import LiveFeatures
from serving.metrics import ServiceMetrics
from serving.quotes.forecasts import forecast
from serving.quotes.locks import PriceLocks
from serving.quotes.public_prices import PublicPrices
from serving.quotes.quoter import Quoter
from serving.quotes.signing import KeyRing, load
from serving.state.background import PeriodicTask
from serving.state.cache import TtlCache
from serving.state.champion import Champion
from serving.state.daily_log import DailyLog
from serving.state.kill_switch import KillSwitch
from serving.state.online_store import ShopperStore
from serving.state.worker_slot import WorkerSlot

BODY_BYTES = 4_096  # largest body of a single item; a batch may have this and as much per item
EVENT_BYTES = 1_024  # per event
QUOTE_LOG_INTERVAL = 0.05  # seconds between reads of other workers' quotes
QUOTE_LOG_IDLE_INTERVAL = 0.08  # docs/service.md promises them within 0.1 seconds

log = logging.getLogger("pricebook.service")


class SigningKeys:
    """The current signing keys. `refresh` reads them again."""

    def __init__(self, read: Callable[[], KeyRing]) -> None:
        self._read, self._key_ring = read, read()

    def __call__(self) -> KeyRing:
        return self._key_ring

    def refresh(self) -> None:
        self._key_ring = self._read()


@dataclass(frozen=True)
class Handlers:
    """The routes of one worker process, and the state behind them."""

    quoter: Quoter
    public_prices: PublicPrices
    live: LiveFeatures
    auth: ApiKeyAuth
    signing_keys: SigningKeys
    metrics: ServiceMetrics
    slot: WorkerSlot

    @classmethod
    def from_home(cls, settings: Settings, packed_bundle: Path | None) -> Self:
        """Open everything a worker needs from its home.

        `packed_bundle` is the folder of the bundle inside the Bento, served while the home has no
        champion.

        Raises:
            ConfigError: a signing key is too short.
        """
        # Arrow's own allocators keep freed memory. The system's returns it, so that a worker stays
        # small after it has loaded a bundle.
        pa.set_memory_pool(pa.system_memory_pool())
        clock, metrics = MonotonicClock(), ServiceMetrics()
        signing_keys = SigningKeys(lambda: load(settings, clock()))
        shoppers = ShopperStore(settings)
        shoppers.probe()
        slot = WorkerSlot(settings.state / "workers", settings.service_workers)
        # Each worker writes its own quote log, so that workers never wait for each other.
        quote_log = DailyLog(settings.quote_log, "quotes", writer=uuid4().hex[:8])
        live = LiveFeatures(settings, partial(log_orders, quote_log), clock)
        live.start()
        public_prices = PublicPrices(settings.public_prices)
        public_prices.catch_up()
        champion = partial(
            Champion,
            latest_values=live.windows.values,
            public_prices=public_prices,
            on_swap=metrics.add_swap,
        )
        quoter = Quoter(
            champion=champion(
                settings.bundle, packed_bundle=packed_bundle, price_list=settings.price_list
            ),
            challenger=champion(settings.challenger, unload_when_removed=True),
            shoppers=shoppers,
            quote_log=quote_log,
            signing_keys=signing_keys,
            clock=clock,
            kill_switch=TtlCache(KillSwitch(settings.kill_switch)),
            count_issued=metrics.add_quotes,
            count_unlogged=metrics.add_unlogged,
            locks=PriceLocks(on_drop=metrics.add_dropped_lock),
            windows=live.windows,
            account=OfferAccount(slot.part),
        )
        quoter.catch_up()
        auth = ApiKeyAuth(key_loader(settings), clock)
        return cls(quoter, public_prices, live, auth, signing_keys, metrics, slot)

    def routes(self) -> dict[str, Route]:
        """The routes by path. A batch is charged to the key's rate once its size is known."""
        quote = partial(self.auth.authorize, scope="quote")
        quotes = partial(self.auth.authorize, scope="quote", cost=0)
        events = partial(self.auth.authorize, scope="events", cost=0)
        return {
            "/quote": Route(self.quote, quote, lambda: BODY_BYTES),
            "/quotes": Route(self.quotes, quotes, self._max_quotes_bytes),
            "/forecast": Route(self.forecast, quote, lambda: BODY_BYTES),
            "/verify": Route(self.verify, quote, lambda: 4 * BODY_BYTES),
            "/events": Route(self.events, events, lambda: EVENT_BYTES * (1 + MAX_EVENTS)),
        }

    async def quote(self, raw: RawRequest) -> bytes:
        return (await self.quoter.quotes([parse(QuoteRequest, raw.body)]))[0]

    async def quotes(self, raw: RawRequest) -> bytes:
        request = parse(QuotesRequest, raw.body)
        self.auth.authorize(raw.authorization, "quote", len(request.items))
        return b'{"quotes":[%b]}' % b",".join(await self.quoter.quotes(request.items))

    async def forecast(self, raw: RawRequest) -> bytes:
        request = parse(ForecastRequest, raw.body)
        return to_json(forecast(self.quoter.champion.offers.bundle, request), inf_nan_mode="null")

    async def verify(self, raw: RawRequest) -> bytes:
        request = parse(VerifyRequest, raw.body)
        reason = self.signing_keys().check(request.quote, self.quoter.clock())
        return to_json({"valid": reason is None, "reason": reason})

    async def events(self, raw: RawRequest) -> bytes:
        request = parse(EventsRequest, raw.body)
        self.auth.authorize(raw.authorization, "events", len(request.items))
        events = self._without_unused_zones(request.events())
        try:
            counts = self.live.add(events, self.quoter.clock())
        except OSError as error:
            log.error("%d events could not be logged: %s", len(events), error)
            detail = "The event log could not be written. Send the events again."
            raise RequestError(503, "no_event_log", detail) from None
        reply = EventsReply(
            accepted=counts.accepted,
            duplicates=counts.duplicate,
            late=counts.late,
            early=counts.early,
        )
        return reply.model_dump_json().encode()

    def _without_unused_zones(self, events: list[Event]) -> list[Event]:
        """The events, without their zones if the shop has the same prices in all zones."""
        champion = self.quoter.champion.in_service
        if champion is None or not champion.bundle.has_one_zone:
            return events
        return [replace(event, zone=None) for event in events]

    def background_tasks(self) -> list[PeriodicTask]:
        """The background tasks, not yet started. None delays another or fails with it."""
        return [
            PeriodicTask(self.quoter.catch_up, QUOTE_LOG_INTERVAL, QUOTE_LOG_IDLE_INTERVAL),
            PeriodicTask(self.public_prices.catch_up, QUOTE_LOG_INTERVAL, QUOTE_LOG_IDLE_INTERVAL),
            PeriodicTask(self._update_metrics, 0.5),  # /metrics counts a quote within a second
            PeriodicTask(self.quoter.champion.refresh, 1.0),
            PeriodicTask(self.quoter.challenger.refresh, 1.0),
            PeriodicTask(self.quoter.shoppers.probe, 1.0),
            PeriodicTask(self.auth.refresh, 1.0),  # a revoked key is refused within seconds
            PeriodicTask(self.signing_keys.refresh, 2.0),  # a new key signs only after 10 seconds
        ]

    def _update_metrics(self) -> None:
        self.metrics.flush()
        ages = self.live.staleness(self.quoter.clock())
        self.metrics.set_events(ages, self.live.unreadable)
        queue = self.live.push_queue
        if queue.is_leader:
            self.metrics.set_pushes(queue.waiting, queue.failures)

    def close(self) -> None:
        self.live.stop()
        self.slot.close()
        self.quoter.shoppers.close()

    def _max_quotes_bytes(self) -> int:
        return BODY_BYTES * (1 + self.quoter.champion.offers.bundle.manifest.limits.max_batch)


def log_orders(quote_log: DailyLog, orders: Sequence[Event], at: datetime) -> None:
    """Write orders that name their quote to the quote log, so that its outcome is known."""
    lines = [b'{"order":%b}\n' % to_json(order) for order in orders]
    try:
        quote_log.append(lines, at)
    except OSError as error:
        extra = {"quote_ids": [order.quote_id for order in orders]}
        log.error(
            "%d orders could not be written to the quote log: %s", len(lines), error, extra=extra
        )
