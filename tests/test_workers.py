"""Two workers of one home over HTTP: they answer as one, and one that is lost comes back."""

import os
import signal

import httpx
import pytest
from test_service import Service, shop  # noqa: F401 (fixture)

from pricebook.config import Settings

TRIES = 200  # connections; either worker may take one


class Pair(Service):
    """A service of two workers."""

    def connections(self):
        """One to each worker, which keeps it, and its own file of the quote log."""
        found = {}
        for _ in range(TRIES):
            http = httpx.Client(base_url=self.http.base_url, timeout=10)
            found.setdefault(self.writer(quoted(http)), http)
            if len(found) == 2:
                return list(found.values())
        raise AssertionError(self.log.read_text())

    def logs(self):
        folder = self.settings.state / "quote_log"
        return {path.name: path.read_text() for path in folder.iterdir()}

    def writer(self, quote):
        return next(name for name, log in self.logs().items() if quote["quote_id"] in log)

    def counted(self):
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(x.split()[-1]) for x in lines if x.startswith("pricebook_quotes_total"))


def quoted(http, sku="milk", **more):
    return http.post("/quote", json={"sku": sku, **more}).raise_for_status().json()


@pytest.fixture(scope="module")
def pair(shop):  # noqa: F811
    service = Pair(shop, workers=2)
    try:
        service.wait(lambda: service.log.read_text().count("Service pricebook initialized") == 2)
        yield service
    finally:
        service.stop()


@pytest.mark.parametrize(("cores", "workers"), [(None, 1), (1, 1), (2, 2), (8, 2)])
def test_by_default_there_are_two_where_there_are_cores_for_them(monkeypatch, cores, workers):
    monkeypatch.delenv("PRICEBOOK_SERVICE_WORKERS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert Settings().service_workers == workers


def test_what_both_have_quoted_is_counted_together(pair):
    for http in pair.connections():
        quoted(http, "bread")
    pair.wait(lambda: pair.counted() == "".join(pair.logs().values()).count("\n"))


def test_what_one_has_quoted_a_shopper_both_come_to_tell(pair):
    one, other = pair.connections()
    first = quoted(one, customer_id="ann")
    pair.wait(lambda: quoted(other, customer_id="ann")["quote_id"] == first["quote_id"])
    assert quoted(one, customer_id="ann") == first


def test_the_kill_switch_acts_in_both(pair):
    pair.settings.kill_switch.write_text("a wrong cost file\n")
    try:
        for http in pair.connections():
            pair.wait(lambda http=http: quoted(http)["reasons"][0]["rule"] == "kill_switch")
    finally:
        pair.settings.kill_switch.unlink()


def _answers(http):
    try:
        return bool(quoted(http))
    except httpx.TransportError:
        return False


def test_while_one_that_was_killed_comes_back_the_other_answers(pair):
    connections, before = pair.connections(), pair.workers()
    os.kill(min(before), signal.SIGKILL)
    assert any(map(_answers, connections))
    pair.wait(lambda: quoted(pair.http) and len(pair.workers() - {min(before)}) == 2)
    (new,) = pair.workers() - before
    pair.wait(lambda: quoted(pair.http) and f'"pid": {new}' in pair.log.read_text())
    assert len(pair.connections()) == 2
