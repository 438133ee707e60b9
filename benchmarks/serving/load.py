"""Load from a second process: reads a plan as JSON, writes the results as JSON.

    python -m benchmarks.serving.load < plan.json

It writes HTTP/1.1 on asyncio's protocols, because a full HTTP client would use more CPU than the
service. It ends after the plan's seconds or requests, or on SIGTERM, and waits for open requests.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import uvloop

DRAIN_SECONDS = 10.0  # seconds to wait for open requests at the end
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
QUOTE_FIELDS = (
    "quote_id",
    "sku",
    "price",
    "list_price",
    "model_version",
    "issued_at",
    "expires_at",
)


@dataclass(frozen=True)
class Plan:
    """The requests to make.

    Attributes:
        port: of the server.
        path: such as `/quote`.
        bodies: the request bodies, repeated in turn.
        authorization: the value of the header.
        connections: how many requests are open at a time.
        seconds: when to stop.
        requests: after how many requests to stop.
        every: seconds between two requests of a connection; 0 for no pause.
        keep_quotes: keep each quote with the times of its request and its response.
    """

    port: int
    path: str
    bodies: list[str]
    authorization: str = ""
    connections: int = 8
    seconds: float = 3600.0
    requests: int = sys.maxsize
    every: float = 0.0
    keep_quotes: bool = False

    def wire(self) -> list[bytes]:
        """The requests as bytes."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: {self.authorization}\r\ncontent-length: "
        )
        return [f"{head}{len(body)}\r\n\r\n{body}".encode() for body in self.bodies]


@dataclass
class Answers:
    """The answers so far. `lost` counts requests whose connection closed before the answer."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    quotes: list[tuple[int, float, float, bytes]] = field(default_factory=list)
    lost: int = 0

    def summary(self, seconds: float) -> dict[str, Any]:
        p50, p99, worst = np.percentile(self.milliseconds or [np.nan], [50, 99, 100]).tolist()
        return {
            "seconds": seconds,
            "per second": len(self.milliseconds) / seconds,
            "p50 ms": p50,
            "p99 ms": p99,
            "worst ms": worst,
            "statuses": dict(self.statuses),
            "lost": self.lost,
        }


class Load:
    """The connections of a plan, and their answers."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.answers = plan, Answers()
        self.requests: Iterator[tuple[int, bytes]] = itertools.cycle(enumerate(plan.wire()))
        self.ended, self.idle = asyncio.Event(), asyncio.Event()
        self.started = self.open = 0
        self.zero = time.time() - time.perf_counter()  # wall time at which perf_counter was 0

    async def run(self) -> dict[str, Any]:
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        loop.add_signal_handler(signal.SIGTERM, self.ended.set)
        loop.call_later(self.plan.seconds, self.ended.set)
        for _ in range(self.plan.connections):
            await self.connect()
        await self.ended.wait()
        seconds = time.perf_counter() - began
        try:
            await asyncio.wait_for(self.idle.wait(), DRAIN_SECONDS)
        except TimeoutError:
            self.answers.lost += self.open
        quotes = [self.quote(*answer) for answer in self.answers.quotes]
        return self.answers.summary(seconds) | {"quotes": quotes}

    async def connect(self) -> None:
        """Open a new connection; retry every 10 ms until the server listens."""
        while not self.ended.is_set():
            try:
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.plan.port)
                return
            except OSError:
                await asyncio.sleep(0.01)

    def next(self) -> tuple[int, bytes] | None:
        """The number of the next body and its request; None when the load has ended."""
        self.started += 1
        if self.started >= self.plan.requests:
            self.ended.set()
        elif not self.ended.is_set():
            self.open += 1
            return next(self.requests)
        if not self.open:
            self.idle.set()
        return None

    def answered(self, number: int, began: float, answer: bytes) -> None:
        now, status = time.perf_counter(), int(answer[9:12])
        self.open -= 1
        self.answers.milliseconds.append(1_000 * (now - began))
        self.answers.statuses[status] += 1
        if self.plan.keep_quotes and status == 200:
            self.answers.quotes.append((number, began, now, answer))

    def quote(self, number: int, started: float, answered: float, answer: bytes) -> dict[str, Any]:
        """The fields of a quote, its first reason, its shopper, and the times of its request."""
        quote = json.loads(answer[answer.index(b"\r\n\r\n") :])
        first = quote["reasons"][0]
        return {name: quote[name] for name in QUOTE_FIELDS} | {
            "rule": first["rule"],
            "text": first["text"],
            "customer_id": json.loads(self.plan.bodies[number]).get("customer_id"),
            "requested": self.zero + started,
            "answered": self.zero + answered,
        }


class Connection(asyncio.Protocol):
    """A kept-alive connection with one request at a time."""

    def __init__(self, load: Load) -> None:
        self._load, self._answer, self._length = load, bytearray(), 0
        self._number, self._began = 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send_next()

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        answer += data
        if not self._length:
            head = answer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = LENGTH.search(answer, 0, head)
            self._length = head + 4 + (int(length[1]) if length else 0)
        if len(answer) >= self._length:
            self._load.answered(self._number, self._began, bytes(answer))
            answer.clear()
            self._length, began, self._began = 0, self._began, 0.0
            self._send_later(self._load.plan.every - (time.perf_counter() - began))

    def _send_later(self, rest: float) -> None:
        if self._load.plan.every and rest > 0:
            asyncio.get_running_loop().call_later(rest, self._send_next)
        else:
            self._send_next()

    def _send_next(self) -> None:
        if self._transport.is_closing():
            return
        request = self._load.next()
        if request is not None:
            self._number, wire = request
            self._began = time.perf_counter()
            self._transport.write(wire)

    def connection_lost(self, _: Exception | None) -> None:
        if self._began:
            self._load.open -= 1
            self._load.answers.lost += 1
        if not self._load.ended.is_set():
            self._reconnecting = asyncio.ensure_future(self._load.connect())


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    plan = Plan(**json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(Load(plan).run()), sys.stdout)


if __name__ == "__main__":
    main()
