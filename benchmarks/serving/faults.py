"""Faults under load.

No response may be a 5xx. A fault must not change a quote, except to the list price with a reason.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import Bar, Row
from benchmarks.serving import breaking
from benchmarks.serving.home import SKUS, Shop, promote, quote_requests, shopper_id
from benchmarks.serving.load import Plan
from benchmarks.serving.servers import BackgroundLoad, Client, Server, run_service, wait_until
from pricebook.files import read_json, write_json
from pricebook.pricing.quote import FALLBACKS

BEFORE, HOLD = 2.0, 4.0  # seconds of load before the fault, and during it
REQUESTS = 100_000  # distinct requests; the load repeats them
BATCH = 1_000
LOCKED = [{"sku": f"sku-{number:05}", "customer_id": shopper_id(number)} for number in range(250)]
HOLDERS = frozenset(request["customer_id"] for request in LOCKED)
SHORT_TTL = 2  # seconds a quote is valid while the clock is set back
STORES: dict[str, tuple[breaking.Fault, str]] = {
    "deleted": (breaking.delete_store, "is gone"),
    "locked": (breaking.lock_store, "slow or locked"),
    "corrupted": (breaking.corrupt_store, "cannot be read|late"),  # "late" while it is opened again
}


@dataclass(frozen=True)
class Baseline:
    """Quotes without a fault: the price of each sku, and the quote that each holder has locked."""

    prices: dict[str, int]
    locked: dict[str, str]

    @classmethod
    def measure(cls, server: Server, shop: Shop) -> Baseline:
        client = Client(server, shop)
        skus = [{"sku": f"sku-{number:05}"} for number in range(SKUS)]
        batches = [LOCKED, *(skus[at : at + BATCH] for at in range(0, SKUS, BATCH))]
        locked, *rest = [client.post("/quotes", {"items": batch})["quotes"] for batch in batches]
        return cls(
            {quote["sku"]: quote["price"] for quotes in rest for quote in quotes},
            {
                request["customer_id"]: quote["quote_id"]
                for request, quote in zip(LOCKED, locked, strict=True)
            },
        )

    def matches(self, quotes: pd.DataFrame) -> pd.Series:
        """Which quotes equal the baseline. An unknown shopper gets the public price."""
        locked = quotes["customer_id"].map(self.locked)
        public = quotes["price"].eq(quotes["sku"].map(self.prices))
        same = public.where(locked.isna(), quotes["quote_id"].eq(locked))
        return same & quotes["model_version"].eq("1") & ~quotes["rule"].isin(FALLBACKS)


@dataclass(frozen=True)
class Outcome:
    """The quotes of a load, with their phase: before the fault, during it, or '' for all others.

    Attributes:
        failed: the number of responses with a status other than 200.
        lost: the number of requests without a response.
        excused: the number of lost requests that the fault explains.
        seconds: the duration of the fault.
    """

    name: str
    quotes: pd.DataFrame
    failed: int
    lost: int
    excused: int
    seconds: float

    def phase(self, name: str) -> pd.DataFrame:
        return self.quotes[self.quotes["phase"] == name]

    def p99(self, phase: str) -> float:
        return float(self.phase(phase)["ms"].quantile(0.99))

    def row(self) -> Row:
        during = self.phase("during")
        return {
            "measurement": self.name,
            "per second": len(during) / self.seconds,
            "p99 ms before": self.p99("before"),
            "p99 ms": self.p99("during"),
            "worst ms": float(during["ms"].max()),
            "with a fallback reason": int(self.quotes["rule"].isin(FALLBACKS).sum()),
            "lost": self.lost,
        }


Case = tuple[list[Outcome], list[Bar]]


def faults(shop: Shop) -> tuple[list[Row], list[Bar]]:
    with run_service(shop) as server:
        baseline = Baseline.measure(server, shop)
        cases = [_stores(shop, server, baseline), _model(shop, server, baseline)]
    cases += [_worker(shop, baseline), _disk(shop), _clock(shop, baseline)]
    outcomes = [outcome for case, _ in cases for outcome in case]
    lost = sum(max(0, outcome.lost - outcome.excused) for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    return [outcome.row() for outcome in outcomes], [
        Bar("responses with a status other than 200", failed, 0),
        Bar("lost requests, beyond one per connection of the killed worker", lost, 0),
        *(bar for _, bars in cases for bar in bars),
    ]


def _broken(
    name: str,
    shop: Shop,
    server: Server,
    fault: breaking.Fault,
    hold: Callable[[], object] = lambda: time.sleep(HOLD),
) -> Outcome:
    """Load the service before, during and after a fault, until quotes have no fallback reason."""
    client = Client(server, shop)
    quotes_before = server.counted("pricebook_quotes_total")
    load = BackgroundLoad.start(_plan(server, shop, name))
    wait_until(
        lambda: server.counted("pricebook_quotes_total") > quotes_before, server.log.read_text
    )
    time.sleep(BEFORE)
    with fault(shop, server) as excused:
        since = time.time()
        hold()
        to = time.time()
    wait_until(lambda: _first_rule(client) not in FALLBACKS, server.log.read_text)
    answers = load.stop()
    quotes = pd.DataFrame(answers["quotes"]).sort_values("requested")
    during = quotes["requested"].gt(since) & quotes["answered"].lt(to)
    phase = np.select([quotes["answered"] < since, during], ["before", "during"], "")
    quotes = quotes.assign(phase=phase, ms=1_000 * (quotes["answered"] - quotes["requested"]))
    failed = sum(count for status, count in answers["statuses"].items() if status != "200")
    return Outcome(name, quotes, failed, answers["lost"], excused or 0, to - since)


def _plan(server: Server, shop: Shop, name: str) -> Plan:
    """Half anonymous requests, a quarter from holders of a quote, a quarter from new shoppers."""
    requests = list(quote_requests(REQUESTS))
    for number, request in enumerate(requests):
        if "customer_id" in request:
            stranger = {"customer_id": f"{name} {number}"}
            request.update(stranger if number % 2 else LOCKED[number // 2 % len(LOCKED)])
    bodies = [json.dumps(request) for request in requests]
    return Plan(server.port, "/quote", bodies, f"Bearer {shop.key}", keep_quotes=True)


def _first_rule(client: Client) -> str:
    return str(client.post("/quote", {"sku": "sku-00001"})["reasons"][0]["rule"])


def _stores(shop: Shop, server: Server, baseline: Baseline) -> Case:
    """A new shopper cannot be looked up, so the quote is the list price and gives the reason."""
    outcomes, unexplained, changed = [], 0, 0
    for name, (fault, why) in STORES.items():
        outcome = _broken(f"online store {name}", shop, server, fault)
        quotes = outcome.quotes
        explained = quotes["rule"].eq("online_store") & quotes["text"].str.contains(why)
        explained &= quotes["price"].eq(quotes["list_price"])
        stranger = ~quotes["customer_id"].isin({*HOLDERS, None}) & quotes["phase"].eq("during")
        stranger &= ~quotes["customer_id"].duplicated()  # later ones may be cached
        unexplained += int((stranger & ~explained).sum())
        changed += int((~stranger & ~explained & ~baseline.matches(quotes)).sum())
        outcomes.append(outcome)
    return outcomes, [
        Bar("broken store: quotes of new shoppers without a reason", unexplained, 0),
        Bar("broken store: other quotes that changed without a reason", changed, 0),
    ]


def _model(shop: Shop, server: Server, baseline: Baseline) -> Case:
    outcome = _broken("model file truncated", shop, server, breaking.truncate_model)
    changed = int((~baseline.matches(outcome.quotes)).sum())
    return [outcome], [Bar("truncated model: changed quotes", changed, 0)]


def _worker(shop: Shop, baseline: Baseline) -> Case:
    """Kill one of two workers. Both have read the locked quotes from the log."""
    began = time.perf_counter()
    with run_service(shop, workers=2) as server:
        wait_until(lambda: len(server.workers()) == 2, server.log.read_text)
        start = time.perf_counter() - began
        returned = partial(_answered_by_another, server, shop, server.workers())
        hold = partial(wait_until, returned, server.log.read_text)
        outcome = _broken("one of two workers killed", shop, server, breaking.kill_worker, hold)
    changed = int((~baseline.matches(outcome.quotes)).sum())
    back = outcome.seconds / start
    silence = float(outcome.quotes["answered"].sort_values().diff().max())
    return [outcome], [
        Bar("killed worker: changed quotes", changed, 0),
        Bar("killed worker: longest time without a response, seconds", silence, 1),
        Bar("killed worker: time to replace it / time to start the service", back, 5),
    ]


def _answered_by_another(server: Server, shop: Shop, workers: list[int]) -> bool:
    """Whether a worker that is not among `workers` has a connection."""
    client = Client(server, shop)
    client.post("/quote", LOCKED[0])
    return any(server.connections(pid) for pid in server.workers() if pid not in workers)


def _disk(shop: Shop) -> Case:
    """Fill the disk of the log: every quote is in the log, or is counted as missing."""
    log = shop.settings.quote_log
    with breaking.small_disk(log), run_service(shop) as server:
        baseline = Baseline.measure(server, shop)
        outcome = _broken("disk of the log full", shop, server, breaking.fill_disk)
        unlogged = int(server.counted("pricebook_unlogged_quotes_total"))
        missing = len(set(outcome.quotes["quote_id"]).difference(_logged(log)))
    slower = outcome.p99("during") / outcome.p99("before")
    changed = int((~baseline.matches(outcome.quotes)).sum())
    return [outcome], [
        Bar("full disk: changed quotes", changed, 0),
        Bar("full disk: quotes missing in the log", missing, 1, at_most=False),
        Bar("full disk: missing quotes that /metrics does not count", abs(missing - unlogged), 0),
        Bar("full disk: p99 / p99 before", slower, 2),
    ]


def _logged(log: Path) -> Iterator[str]:
    for file in log.glob("*.jsonl"):
        for line in file.read_bytes().splitlines():
            with suppress(ValueError):  # the full disk truncated the line
                yield json.loads(line)["quote"]["quote_id"]


def _clock(shop: Shop, baseline: Baseline) -> Case:
    """Set the clock of the service an hour back and forth; quotes are valid for two seconds."""
    if breaking.FAKETIME is None:
        return [], [Bar("clock set back: not measured, libfaketime is not installed", np.nan, 0)]
    promote(shop.settings, _short_lived)
    shutil.rmtree(shop.settings.quote_log)
    clock = shop.settings.home / "clock"
    with run_service(shop, 1, **breaking.settable_clock(clock)) as server:
        fault = partial(breaking.set_clock_back, clock)
        outcome = _broken("clock set back an hour", shop, server, fault)
    others = outcome.quotes[~outcome.quotes["customer_id"].isin(HOLDERS)]
    changed = int((~baseline.matches(others)).sum())
    distinct = distinct_quotes(outcome.quotes)
    return [outcome], [
        Bar("clock set back: changed quotes", changed, 0),
        Bar("clock set back: quotes with a wrong time of issue", misdated(distinct), 0),
        Bar(
            "clock set back: locked quotes that ended too early or too late", mistimed(distinct), 0
        ),
    ]


def _short_lived(folder: Path) -> None:
    about = read_json(folder / "bundle.json")
    about["quote"]["ttl_seconds"] = SHORT_TTL
    write_json(folder / "bundle.json", about)


def distinct_quotes(quotes: pd.DataFrame) -> pd.DataFrame:
    """A row per quote_id: its first request, its first response and its last request."""
    distinct = quotes.groupby("quote_id").agg(
        requested=("requested", "min"),
        answered=("answered", "min"),
        last=("requested", "max"),
        issued=("issued_at", "first"),
        expires=("expires_at", "first"),
        customer_id=("customer_id", "first"),
    )
    return distinct.assign(
        issued=_seconds(distinct["issued"]), expires=_seconds(distinct["expires"])
    )


def _seconds(instants: pd.Series) -> pd.Series:
    since = pd.to_datetime(instants, format="ISO8601") - pd.Timestamp(0, tz="UTC")
    return since.dt.total_seconds()


def misdated(quotes: pd.DataFrame) -> int:
    """Quotes whose issue time, to the second, is not between their request and their answer."""
    early = quotes["issued"] < np.floor(quotes["requested"])
    return int((early | (quotes["issued"] > quotes["answered"])).sum())


def mistimed(quotes: pd.DataFrame) -> int:
    """Locked quotes served after they expired, or replaced before they expired."""
    locked = quotes[quotes["customer_id"].isin(HOLDERS)].sort_values("answered")
    outlived = locked["last"] > locked["expires"]
    followed = locked.groupby("customer_id")["answered"].shift(-1)
    return int((outlived | (followed < locked["expires"])).sum())
