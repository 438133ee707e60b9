"""What breaks under load: no 5xx, and every quote is the usual one or says why it is not."""

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
from benchmarks.serving.home import SKUS, Shop, asks, promote, shopper
from benchmarks.serving.load import Plan
from benchmarks.serving.servers import Client, Loading, Server, pricebook, until
from pricebook.files import read_json, write_json
from serving.quotes.offers import FALLBACKS

BEFORE, HOLD = 2.0, 4.0  # seconds of load without the fault, and with it
REQUESTS = 100_000  # then the same again
BATCH = 1_000
HELD = [{"sku": f"sku-{number:05}", "customer_id": shopper(number)} for number in range(250)]
HOLDERS = frozenset(one["customer_id"] for one in HELD)
STANDS = 2  # seconds a quote does, where the clock is set back
STORES: dict[str, tuple[breaking.Fault, str]] = {
    "deleted": (breaking.deleted, "is gone"),
    "locked": (breaking.locked, "late or locked"),
    "corrupted": (breaking.corrupted, "cannot be read|late"),  # late where it is opened anew
}


@dataclass(frozen=True)
class Usual:
    """What is quoted while nothing is broken: the price of a sku, and the quote of its holder."""

    prices: dict[str, int]
    held: dict[str, str]

    @classmethod
    def of(cls, server: Server, shop: Shop) -> Usual:
        client = Client(server, shop)
        skus = [{"sku": f"sku-{number:05}"} for number in range(SKUS)]
        batches = [HELD, *(skus[at : at + BATCH] for at in range(0, SKUS, BATCH))]
        held, *rest = [client.post("/quotes", {"items": one})["quotes"] for one in batches]
        return cls(
            {quote["sku"]: quote["price"] for quotes in rest for quote in quotes},
            {one["customer_id"]: quote["quote_id"] for one, quote in zip(HELD, held, strict=True)},
        )

    def among(self, quotes: pd.DataFrame) -> pd.Series:
        """Which are as usual; a stranger, of whom nothing is known, is told the public price."""
        held = quotes["customer_id"].map(self.held)
        public = quotes["price"].eq(quotes["sku"].map(self.prices))
        same = public.where(held.isna(), quotes["quote_id"].eq(held))
        return same & quotes["model_version"].eq("1") & ~quotes["rule"].isin(FALLBACKS)


@dataclass(frozen=True)
class Outcome:
    """The quotes of a load before a fault, during it, and at its edges and after."""

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
            "measured": self.name,
            "a second": len(during) / self.seconds,
            "p99 ms before": self.p99("before"),
            "p99 ms": self.p99("during"),
            "worst ms": float(during["ms"].max()),
            "said why": int(self.quotes["rule"].isin(FALLBACKS).sum()),
            "lost": self.lost,
        }


Case = tuple[list[Outcome], list[Bar]]


def faults(shop: Shop) -> tuple[list[Row], list[Bar]]:
    with pricebook(shop) as server:
        usual = Usual.of(server, shop)
        cases = [_stores(shop, server, usual), _model(shop, server, usual)]
    cases += [_worker(shop, usual), _disk(shop), _clock(shop, usual)]
    outcomes = [one for found, _ in cases for one in found]
    lost = sum(max(0, one.lost - one.excused) for one in outcomes)
    return [one.row() for one in outcomes], [
        Bar("answers of 5xx, or of anything but 200", sum(one.failed for one in outcomes), 0),
        Bar("requests lost, beyond one for each connection of a killed worker", lost, 0),
        *(bar for _, bars in cases for bar in bars),
    ]


def _broken(
    name: str,
    shop: Shop,
    server: Server,
    fault: breaking.Fault,
    hold: Callable[[], object] = lambda: time.sleep(HOLD),
) -> Outcome:
    """What a load was told, until all was as before."""
    client = Client(server, shop)
    given = server.counted("pricebook_quotes_total")
    load = Loading.begun(_asked(server, shop, name))
    until(lambda: server.counted("pricebook_quotes_total") > given, server.log.read_text)
    time.sleep(BEFORE)
    with fault(shop, server) as excused:
        since = time.time()
        hold()
        to = time.time()
    until(lambda: _first_rule(client) not in FALLBACKS, server.log.read_text)
    found = load.stopped()
    quotes = pd.DataFrame(found["quotes"]).sort_values("asked")
    during = quotes["asked"].gt(since) & quotes["answered"].lt(to)
    phase = np.select([quotes["answered"] < since, during], ["before", "during"], "")
    quotes = quotes.assign(phase=phase, ms=1_000 * (quotes["answered"] - quotes["asked"]))
    failed = sum(count for status, count in found["statuses"].items() if status != "200")
    return Outcome(name, quotes, failed, found["lost"], excused or 0, to - since)


def _asked(server: Server, shop: Shop, name: str) -> Plan:
    """By half who give no name, a quarter who hold a quote, and a quarter who were never here."""
    asked = list(asks(REQUESTS))
    for number, one in enumerate(asked):
        if "customer_id" in one:
            stranger = {"customer_id": f"{name} {number}"}
            one.update(stranger if number % 2 else HELD[number // 2 % len(HELD)])
    bodies = [json.dumps(one) for one in asked]
    return Plan(server.port, "/quote", bodies, f"Bearer {shop.key}", told=True)


def _first_rule(client: Client) -> str:
    return str(client.post("/quote", {"sku": "sku-00001"})["reasons"][0]["rule"])


def _stores(shop: Shop, server: Server, usual: Usual) -> Case:
    """A stranger has to be looked up, so their quote says why it was not, and is the list price."""
    outcomes, silent, unusual = [], 0, 0
    for name, (fault, why) in STORES.items():
        outcome = _broken(f"online store {name}", shop, server, fault)
        quotes = outcome.quotes
        said = quotes["rule"].eq("online_store") & quotes["text"].str.contains(why)
        said &= quotes["price"].eq(quotes["list_price"])
        stranger = ~quotes["customer_id"].isin({*HOLDERS, None}) & quotes["phase"].eq("during")
        stranger &= ~quotes["customer_id"].duplicated()  # later they may be remembered
        silent += int((stranger & ~said).sum())
        unusual += int((~stranger & ~said & ~usual.among(quotes)).sum())
        outcomes.append(outcome)
    return outcomes, [
        Bar("strangers' quotes while the store is broken that do not say why", silent, 0),
        Bar("all other quotes then that are neither as usual nor say why", unusual, 0),
    ]


def _model(shop: Shop, server: Server, usual: Usual) -> Case:
    outcome = _broken("model file truncated", shop, server, breaking.truncated)
    unusual = int((~usual.among(outcome.quotes)).sum())
    return [outcome], [Bar("quotes not as usual, while a truncated model is refused", unusual, 0)]


def _worker(shop: Shop, usual: Usual) -> Case:
    """One of two; both have read in the log who holds which quote."""
    began = time.perf_counter()
    with pricebook(shop, workers=2) as server:
        until(lambda: len(server.workers()) == 2, server.log.read_text)
        start = time.perf_counter() - began
        returned = partial(_answered_by_another, server, shop, server.workers())
        hold = partial(until, returned, server.log.read_text)
        outcome = _broken("a worker of two killed", shop, server, breaking.killed, hold)
    unusual = int((~usual.among(outcome.quotes)).sum())
    back = outcome.seconds / start
    silence = float(outcome.quotes["answered"].sort_values().diff().max())
    return [outcome], [
        Bar("quotes not as usual, while a worker is killed", unusual, 0),
        Bar("seconds that nobody is answered meanwhile, longest", silence, 1),
        Bar("seconds until another answers in its place, over a start's", back, 5),
    ]


def _answered_by_another(server: Server, shop: Shop, than: list[int]) -> bool:
    """Whether a new connection is to a worker that was not there."""
    client = Client(server, shop)
    client.post("/quote", HELD[0])
    return any(server.connections(one) for one in server.workers() if one not in than)


def _disk(shop: Shop) -> Case:
    """Every quote is in the log, or is counted."""
    log = shop.settings.quote_log
    with breaking.small_disk(log), pricebook(shop) as server:
        usual = Usual.of(server, shop)
        outcome = _broken("disk full for the log", shop, server, breaking.full)
        unlogged = int(server.counted("pricebook_unlogged_quotes_total"))
        missing = len(set(outcome.quotes["quote_id"]).difference(_logged(log)))
    slower = outcome.p99("during") / outcome.p99("before")
    unusual = int((~usual.among(outcome.quotes)).sum())
    return [outcome], [
        Bar("quotes not as usual, while the log's disk is full", unusual, 0),
        Bar("quotes that the full disk did not take", missing, 1, at_most=False),
        Bar("of them, not counted in /metrics", abs(missing - unlogged), 0),
        Bar("p99 while the disk is full, over that before", slower, 2),
    ]


def _logged(log: Path) -> Iterator[str]:
    for file in log.glob("*.jsonl"):
        for line in file.read_bytes().splitlines():
            with suppress(ValueError):  # torn by the disk
                yield json.loads(line)["quote"]["quote_id"]


def _clock(shop: Shop, usual: Usual) -> Case:
    """The wall's, of the service alone, an hour back and forth; quotes stand for seconds."""
    if breaking.FAKETIME is None:
        return [], [Bar("clock set back: not measured, libfaketime is not installed", np.nan, 0)]
    promote(shop.settings, _short_lived)
    shutil.rmtree(shop.settings.quote_log)
    clock = shop.settings.home / "clock"
    with pricebook(shop, 1, **breaking.settable(clock)) as server:
        fault = partial(breaking.set_back, clock)
        outcome = _broken("clock set back an hour", shop, server, fault)
    others = outcome.quotes[~outcome.quotes["customer_id"].isin(HOLDERS)]
    unusual = int((~usual.among(others)).sum())
    found = once(outcome.quotes)
    return [outcome], [
        Bar("quotes not as usual, while the clock is set back", unusual, 0),
        Bar("quotes issued at another time than they were asked for", misdated(found), 0),
        Bar("held quotes that ended before their time, or outlived it", mistimed(found), 0),
    ]


def _short_lived(folder: Path) -> None:
    about = read_json(folder / "bundle.json")
    about["quote"]["ttl_seconds"] = STANDS
    write_json(folder / "bundle.json", about)


def once(quotes: pd.DataFrame) -> pd.DataFrame:
    """Each quote once: when who was given it first, and asked last, and its own two instants."""
    told = quotes.groupby("quote_id").agg(
        asked=("asked", "min"),
        answered=("answered", "min"),
        last=("asked", "max"),
        issued=("issued_at", "first"),
        expires=("expires_at", "first"),
        customer_id=("customer_id", "first"),
    )
    return told.assign(issued=_seconds(told["issued"]), expires=_seconds(told["expires"]))


def _seconds(instants: pd.Series) -> pd.Series:
    since = pd.to_datetime(instants, format="ISO8601") - pd.Timestamp(0, tz="UTC")
    return since.dt.total_seconds()


def misdated(quotes: pd.DataFrame) -> int:
    """Quotes not issued, to the second, between when they were asked for and answered."""
    early = quotes["issued"] < np.floor(quotes["asked"])
    return int((early | (quotes["issued"] > quotes["answered"])).sum())


def mistimed(quotes: pd.DataFrame) -> int:
    """Held quotes that were told to who asked after their time, or replaced within it."""
    held = quotes[quotes["customer_id"].isin(HOLDERS)].sort_values("answered")
    outlived = held["last"] > held["expires"]
    followed = held.groupby("customer_id")["answered"].shift(-1)
    return int((outlived | (followed < held["expires"])).sum())
