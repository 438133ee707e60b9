"""Two workers of one home over HTTP: they act as one, and a worker that dies is replaced."""

import os
import signal

import httpx
import pytest
from test_service import Service, shop  # noqa: F401 (fixture)

from pricebook.config import Settings

MAX_CONNECTIONS = 200  # either worker may accept a connection, so both are reached by chance


class Pair(Service):
    """A service of two workers."""

    def connections(self):
        """A connection to each worker. The quote log that it writes identifies a worker."""
        by_log = {}
        for _ in range(MAX_CONNECTIONS):
            http = httpx.Client(base_url=self.http.base_url, timeout=10)
            by_log.setdefault(self.log_of(quote(http)), http)
            if len(by_log) == 2:
                return list(by_log.values())
        raise AssertionError(self.log.read_text())

    def quote_logs(self):
        folder = self.settings.state / "quote_log"
        return {path.name: path.read_text() for path in folder.iterdir()}

    def log_of(self, quote):
        logs = self.quote_logs().items()
        return next(name for name, text in logs if quote["quote_id"] in text)

    def counted_quotes(self):
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(x.split()[-1]) for x in lines if x.startswith("pricebook_quotes_total"))


def quote(http, sku="milk", **fields):
    return http.post("/quote", json={"sku": sku, **fields}).raise_for_status().json()


@pytest.fixture(scope="module")
def pair(shop):  # noqa: F811
    service = Pair(shop, workers=2)
    try:
        service.wait(lambda: service.log.read_text().count("Service pricebook initialized") == 2)
        yield service
    finally:
        service.stop()


@pytest.mark.parametrize(("cores", "workers"), [(None, 1), (1, 1), (2, 2), (8, 2)])
def test_by_default_there_are_at_most_two_workers(monkeypatch, cores, workers):
    monkeypatch.delenv("PRICEBOOK_SERVICE_WORKERS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert Settings().service_workers == workers


def test_metrics_add_up_the_quotes_of_both_workers(pair):
    for http in pair.connections():
        quote(http, "bread")
    pair.wait(lambda: pair.counted_quotes() == "".join(pair.quote_logs().values()).count("\n"))


def test_a_shopper_gets_the_same_quote_from_both_workers(pair):
    http, other = pair.connections()
    # A quote of a shopper who could not be looked up in time is not locked.
    pair.wait(lambda: quote(http, customer_id="ann")["reasons"][0]["rule"] != "online_store")
    first = quote(http, customer_id="ann")
    pair.wait(lambda: quote(other, customer_id="ann")["quote_id"] == first["quote_id"])
    assert quote(http, customer_id="ann") == first


def test_the_kill_switch_acts_in_both_workers(pair):
    pair.settings.kill_switch.write_text("a wrong cost file\n")
    try:
        for http in pair.connections():
            pair.wait(lambda http=http: quote(http)["reasons"][0]["rule"] == "kill_switch")
    finally:
        pair.settings.kill_switch.unlink()


def _answers(http):
    try:
        return bool(quote(http))
    except httpx.TransportError:
        return False


def test_while_a_killed_worker_is_replaced_the_other_answers(pair):
    connections, before = pair.connections(), pair.workers()
    os.kill(min(before), signal.SIGKILL)
    assert any(map(_answers, connections))
    pair.wait(lambda: quote(pair.http) and len(pair.workers() - {min(before)}) == 2)
    (new,) = pair.workers() - before
    pair.wait(lambda: quote(pair.http) and f'"pid": {new}' in pair.log.read_text())
    assert len(pair.connections()) == 2
