"""The price service over HTTP: a real BentoML worker, a real export, a real online store."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest

from ledger import keys, open_ledger
from ledger.clock import now
from ledger.keys import Grant, Scope
from pipelines.bundle import write_price_list
from pricebook.config import REPO_ROOT, Params, Response, Settings, Shop
from serving.http.schemas import ErrorReply, ForecastReply, QuoteReply
from serving.quotes.signing import canonical, load

NOW = datetime(2026, 1, 5, tzinfo=UTC)
PERIODS = pd.date_range("2024-07-01", periods=78, freq="7D")
SEGMENTS = {"deal seeker": -3.5, "regular": -1.0}
MEGABYTE = 2**20

BOOK = pd.DataFrame(
    {
        "sku": ["milk", "bread", "honey", "saffron", "cola", "cola"],
        "zone": ["all", "all", "all", "all", "north", "south"],
        "department": ["DAIRY", "BAKERY", None, "SPICES", "DRINKS", "DRINKS"],
        "category": ["MILK", "BREAD", None, "SPICES", "COLA", "COLA"],
        "product_type": ["WHOLE", "LOAF", None, "RED", "CAN", "CAN"],
        "list_price": [500, 400, 700, 900, 150, 160],
        "reference_price": [450, 380, 700, 900, 140, 150],
        "last_price": [450, 380, None, 900, 140, 150],
        "unit_cost": [250, 220, 400, None, 80, 80],
        "cost_assumed": [False, True, True, False, False, False],
        "map_price": [None] * 6,
        "competitor_price": [None] * 6,
        "lowest_30d": [480, 400, 700, 900, 150, 160],
        "modelled": [True, True, False, True, True, True],
        "cannibalised": [0.0] * 6,
    }
).astype(
    dict.fromkeys(
        ("last_price", "unit_cost", "map_price", "competitor_price", "lowest_30d"), "Int64"
    )
)


def _panel():
    """Sales of every modelled series: the total, and by two segments of different elasticity."""
    random = np.random.default_rng(7)
    kinds = ["sku", "zone", "department", "category", "product_type", "reference_price"]
    series = BOOK.loc[BOOK["modelled"], kinds]
    rows = series.merge(pd.DataFrame({"period": PERIODS.date}), how="cross")
    cut = random.choice([1.0, 0.95, 0.9, 0.8, 0.7], len(rows))
    rows = rows.assign(price=rows["reference_price"] * cut, display=0.0, mailer=0.0, promotion=0.0)
    by_segment = [
        rows.assign(segment=name, units=random.poisson(60 * cut**elasticity))
        for name, elasticity in SEGMENTS.items()
    ]
    return rows.assign(units=sum(sales["units"] for sales in by_segment)), pd.concat(by_segment)


def _bundle(folder: Path, version="1"):
    from models.export import export
    from models.response.model import fit

    panel, segments = _panel()
    export(fit(panel, segments, Response(epochs=60, min_sales_periods=4), seed=7), folder)
    BOOK.to_parquet(folder / "price_book.parquet")
    steps = pd.DataFrame({"step": [1, 2, 3], "period": PERIODS[:3].date, "mean": [9.0, 8.0, 7.0]})
    steps = steps.assign(q05=2.0, q50=8.0, q95=20.0, reference_price=450.0, sku="milk", zone="all")
    steps.to_parquet(folder / "forecast.parquet")
    _about(folder, version)


def _about(folder, version):
    about = {
        "models": {"demand": {"version": 4}, "response": {"version": version}},
        "as_of": "2026-01-01",
        "currency": "USD",
        "minor_digits": 2,
        "grain": "week",
        "horizon": 3,
        "quote": {
            "max_batch": 50,
            "max_step": 0.5,
            "min_margin": 0.05,
            "personal": {"budget": 0.5},
        },
        "built_from": "verdict-1",
    }
    (folder / "bundle.json").write_text(json.dumps(about))


def _online_store(settings):
    from pipelines.feature_store import open_store

    settings.features.mkdir(parents=True)
    ids = ["ann", "bob", "cid"]
    empty = dict.fromkeys(
        ("recency_days", "orders_13", "spend_13", "basket_mean", "discount_affinity"), 1
    )
    shoppers = pd.DataFrame({"customer_id": ids, **empty}).assign(
        top_categories=[["MILK"]] * 3,
        top_category_shares=[[1.0]] * 3,
        segment=["deal seeker", "deal seeker", "regular"],
        consent_personalised=[True, False, True],
        shopper_at=NOW,
        event_timestamp=NOW,
        created_timestamp=NOW,
    )
    shoppers.to_parquet(settings.features / "shopper.parquet")
    open_store(settings).write_to_online_store("shopper", shoppers)


def write_list_prices(settings, book=BOOK):
    """Write the price list of a home, as `materialize` does once there are features."""
    settings.features.mkdir(parents=True, exist_ok=True)
    book.drop(columns="cannibalised").to_parquet(settings.features / "price_book.parquet")
    params = Params(shop=Shop(name="shop", source="files"))
    write_price_list(NOW.date(), params, settings)


class Service:
    """A price service in a separate process group."""

    def __init__(self, settings, serve="serving.service:PricebookService", workers=1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.settings = settings
        self.log = settings.home / f"service-{self.port}.log"
        env = {
            "PRICEBOOK_HOME": str(settings.home),
            "PRICEBOOK_SERVICE_WORKERS": str(workers),
            "BENTOML_HOME": str(settings.state / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        bentoml = str(Path(sys.executable).with_name("bentoml"))
        listen = ["--host", "127.0.0.1", "--port", str(self.port)]
        command = [bentoml, "serve", serve, *listen, "--working-dir", str(REPO_ROOT)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **env}, stdout=log, stderr=log, start_new_session=True
            )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)

    def wait(self, condition, patience=120):
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)
        raise AssertionError(self.log.read_text())

    def post(self, path, body):
        return self.http.post(path, json=body)

    def quote(self, sku="milk", **fields):
        response = self.post("/quote", {"sku": sku, **fields})
        assert response.status_code == 200, response.text
        return response.json()

    def stop(self):
        self.http.close()
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            for worker in self.workers():
                os.kill(worker, signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def workers(self):
        """Process ids of the workers. Each runs in its own session."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def worker(self):
        """The one worker's folder under /proc."""
        (pid,) = self.workers()
        return Path("/proc") / str(pid)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A home with a champion's bundle, a materialized online store, and a ledger."""
    settings = Settings(home=tmp_path_factory.mktemp("shop"))
    settings.bundle.mkdir(parents=True)
    open_ledger(settings.ledger)  # as every stage does; a worker that creates it imports Alembic
    _bundle(settings.bundle)
    _online_store(settings)
    return settings


@pytest.fixture(scope="module")
def service(shop):
    service = Service(shop)
    try:
        service.wait(lambda: service.http.get("/readyz").is_success)
        yield service
    finally:
        service.stop()


def check_error(response, status, error):
    """Check that a response is this error; returns its body."""
    assert (response.status_code, response.json()["error"]) == (status, error)
    return ErrorReply.model_validate(response.json())


def test_a_quote_has_reasons_but_neither_cost_nor_floor(service):
    quote = service.quote()
    assert QuoteReply.model_validate(quote).price < 500
    assert quote["reasons"][0]["rule"] == "model"
    assert not {"floor", "unit_cost"} & set(quote)


def test_a_quote_is_signed_with_the_key_of_the_home(service, shop):
    quote = service.quote(customer_id="ann")
    ring, now = load(shop, NOW), datetime.fromisoformat(quote["issued_at"])
    assert ring.check(quote, now) is None
    assert ring.check(quote | {"price": quote["price"] - 1}, now) == "tampered"


def test_a_deal_seeker_with_consent_gets_a_lower_price_and_a_disclosure(service):
    personal, public = service.quote(customer_id="ann"), service.quote()
    assert personal["price"] < public["price"]
    assert personal["personalised"]
    assert personal["disclosure"]


@pytest.mark.parametrize(
    "shopper",
    [
        {"customer_id": "bob"},  # has not consented
        {"customer_id": "ann", "consent": False},
        {"customer_id": "cid"},  # of a segment that is less price-sensitive than others
        {"customer_id": "stranger", "consent": True},
        {"consent": True},
    ],
)
def test_other_shoppers_get_the_public_price_and_a_reason(service, shopper):
    quote = service.quote(**shopper)
    assert (quote["price"], quote["personalised"]) == (service.quote()["price"], False)
    assert quote["reasons"][-1]["rule"] == "public_offer"


def test_an_assumed_cost_is_among_the_reasons(service):
    texts = [reason["text"] for reason in service.quote("bread")["reasons"]]
    assert any(text.startswith("cost: assumed") for text in texts)


@pytest.mark.parametrize(("sku", "rule"), [("honey", "not_modelled"), ("saffron", "no_floor")])
def test_a_sku_that_cannot_be_repriced_has_its_list_price_and_a_reason(service, sku, rule):
    quote = service.quote(sku)
    assert quote["price"] == quote["list_price"]
    assert quote["reasons"][0]["rule"] == rule


def test_many_quotes_are_in_the_order_of_the_request(service):
    items = [{"sku": sku} for sku in ("bread", "milk", "honey", "milk")]
    quotes = service.post("/quotes", {"items": items}).json()["quotes"]
    assert [quote["sku"] for quote in quotes] == ["bread", "milk", "honey", "milk"]
    assert quotes[1]["price"] == quotes[3]["price"] == service.quote()["price"]


def test_zones_have_separate_prices(service):
    assert [service.quote("cola", zone=zone)["list_price"] for zone in ("north", "south")] == [
        150,
        160,
    ]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"sku": "no-such-sku"}, 404, "unknown_sku"),
        ({"sku": "cola"}, 404, "unknown_zone"),
        ({"sku": "cola", "zone": "east"}, 404, "unknown_zone"),
        ({"sku": "milk", "quantity": -1}, 422, "invalid_body"),
        ({"sku": "milk", "quantity": 0}, 422, "invalid_body"),
        ({"sku": "milk", "quantity": 1.5}, 422, "invalid_body"),
        ({"sku": "milk", "color": "red"}, 422, "invalid_body"),
        ({"sku": 7}, 422, "invalid_body"),
        ({}, 422, "invalid_body"),
        ([], 422, "invalid_body"),
        ({"sku": "m" * 500}, 422, "invalid_body"),
        ({"sku": "m" * 5_000}, 413, "body_too_large"),
    ],
)
def test_a_wrong_quote_request_is_refused(service, body, status, error):
    check_error(service.post("/quote", body), status, error)


def test_an_error_names_the_field_and_the_value_received(service):
    body = {"items": [{"sku": "milk"}, {"sku": "milk", "quantity": -3}]}
    reply = check_error(service.post("/quotes", body), 422, "invalid_body")
    assert reply.detail.startswith("items.1.quantity: ")
    assert reply.received == -3


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"sku": "milk"', b"sku=milk"])
def test_a_body_that_is_not_json_is_refused(service, content):
    check_error(service.http.post("/quote", content=content), 400, "malformed_body")


def test_a_batch_above_the_limit_is_refused(service):
    reply = check_error(service.post("/quotes", {"items": [{"sku": "milk"}] * 51}), 413, "too_many")
    assert (reply.received, "At most 50" in reply.detail) == (51, True)


def test_an_empty_batch_is_refused(service):
    check_error(service.post("/quotes", {"items": []}), 422, "invalid_body")


def test_an_unknown_sku_in_a_batch_is_named(service):
    body = {"items": [{"sku": "milk"}, {"sku": "no-such-sku"}]}
    assert check_error(service.post("/quotes", body), 404, "unknown_sku").received == "no-such-sku"


def test_a_wrong_method_is_refused(service):
    check_error(service.http.get("/quote"), 405, "not_allowed")


def test_a_forecast_has_every_step_and_quantile(service):
    reply = ForecastReply.model_validate(service.post("/forecast", {"sku": "milk"}).json())
    assert [step.mean for step in reply.steps] == [9, 8, 7]
    assert set(reply.steps[0].quantiles) == {"q05", "q50", "q95"}


def test_a_higher_price_sells_less_and_a_note_says_it_is_never_quoted(service):
    body = {"sku": "milk", "price": 600, "horizon": 2}
    forecast = ForecastReply.model_validate(service.post("/forecast", body).json())
    assert len(forecast.steps) == 2
    assert forecast.steps[0].mean == pytest.approx(9 * forecast.demand_ratio)
    assert forecast.demand_ratio < 1
    assert "above the list price" in forecast.notes[0]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"sku": "bread"}, 404, "no_forecast"),
        ({"sku": "no-such-sku"}, 404, "unknown_sku"),
        ({"sku": "milk", "horizon": 4}, 422, "invalid_body"),
        ({"sku": "milk", "horizon": 0}, 422, "invalid_body"),
        ({"sku": "milk", "price": 0}, 422, "invalid_body"),
        ({"sku": "milk", "price": -5}, 422, "invalid_body"),
    ],
)
def test_a_wrong_forecast_request_is_refused(service, body, status, error):
    check_error(service.post("/forecast", body), status, error)


def test_the_log_has_every_quote_with_the_features_it_was_decided_from(service, shop):
    quote = service.quote(customer_id="ann", consent=True, quantity=2)
    lines = [line for file in (shop.state / "quote_log").iterdir() for line in file.open()]
    (entry,) = [
        line for line in map(json.loads, lines) if line["quote"]["quote_id"] == quote["quote_id"]
    ]
    assert entry["quote"]["floor"] == 350
    assert entry["features"]["unit_cost"] == 250
    assert (entry["shopper"]["segment"], entry["quantity"]) == ("deal seeker", 2)
    assert (entry["quote"]["arm"], entry["quote"]["propensity"]) == ("champion", 1.0)
    assert entry["verdict"] == "verdict-1"


def test_the_openapi_description_has_examples_and_error_bodies(service):
    spec = service.http.get("/openapi.json").json()
    post = spec["paths"]["/quote"]["post"]
    assert post["requestBody"]["content"]["application/json"]["examples"]
    error = post["responses"]["404"]["content"]["application/json"]["schema"]
    assert error == {"$ref": "#/components/schemas/ErrorReply"}
    assert "ErrorReply" in spec["components"]["schemas"]


def _verify(service, quote):
    return service.post("/verify", {"quote": quote}).json()


def test_a_quote_is_verified_and_a_wrong_one_is_refused_with_the_reason(service, shop):
    quote = service.quote(customer_id="ann")
    past = quote | {name: NOW.isoformat() for name in ("issued_at", "expires_at")}
    bad = {
        "tampered": quote | {"price": 1},
        "unsigned": {name: value for name, value in quote.items() if name != "signature"},
        "foreign": quote | {"signature": "elsewhere" + quote["signature"]},
        "expired": past | {"signature": load(shop, NOW).sign(canonical(past))},
        "malformed": quote | {"price": "cheap"},
    }
    assert _verify(service, quote) == {"valid": True, "reason": None}
    assert [_verify(service, quote)["reason"] for quote in bad.values()] == list(bad)


def _report_stock(service, on_hand):
    at = datetime.now(UTC).isoformat()
    stock = {"kind": "stock", "sku": "bread", "on_hand": on_hand}
    event = {"event_id": f"stock-{at}", "occurred_at": at, **stock}
    return service.post("/events", {"items": [event]}).json()


def test_an_event_changes_the_next_quote(service):
    assert _report_stock(service, 0)["accepted"] == 1
    assert service.quote("bread")["reasons"][0]["rule"] == "sold_out"
    _report_stock(service, 9)
    assert service.quote("bread")["reasons"][0]["rule"] == "model"


@pytest.mark.parametrize(
    ("path", "content", "status", "error"),
    [
        ("/quote", b" " * MEGABYTE, 413, "body_too_large"),
        ("/quotes", b" " * MEGABYTE, 413, "body_too_large"),
        ("/quote", b"[" * 100_000, 413, "body_too_large"),
        ("/quotes", b"[" * 100_000, 400, "malformed_body"),
        ("/events", b'{"items":' * 100_000, 400, "malformed_body"),
        ("/events", b'{"items": [%b{}]}' % (b"{}," * 1_000), 422, "invalid_body"),
        ("/quotes", b'{"items": [%b{}]}' % (b"{}," * 60_000), 422, "invalid_body"),
    ],
)
def test_a_hostile_body_is_refused(service, path, content, status, error):
    check_error(service.http.post(path, content=content), status, error)


@pytest.fixture(scope="module")
def secured(shop, tmp_path_factory):
    """A service that requires API keys, and the ledger that holds them."""
    home = tmp_path_factory.mktemp("secured")
    shutil.copytree(shop.state, home / ".pricebook")
    ledger = open_ledger(Settings(home=home).ledger)
    keys.issue(ledger, Grant("first", frozenset({Scope.ADMIN})), now())
    service = Service(Settings(home=home))
    try:
        service.wait(lambda: service.http.get("/readyz").is_success)
        yield service, ledger
    finally:
        service.stop()


class Till:
    """A client with an API key for quotes, created when the service knows the key."""

    def __init__(self, secured, **grant):
        self.service, self.ledger = secured
        self.key = keys.issue(self.ledger, Grant("till", frozenset({Scope.QUOTE}), **grant), now())
        self.service.wait(lambda: "unknown_key" not in self.post("/events").text)

    def post(self, path="/quote"):
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.service.http.post(path, json={"sku": "milk"}, headers=headers)


def test_once_a_key_was_issued_a_request_without_key_is_refused(secured):
    check_error(secured[0].post("/quote", {"sku": "milk"}), 401, "no_key")


def test_a_key_is_valid_for_its_scope_until_it_is_revoked(secured):
    till = Till(secured)
    assert till.post().is_success
    check_error(till.post("/events"), 403, "wrong_scope")
    keys.revoke(till.ledger, till.key.split("_")[1], now())
    till.service.wait(lambda: till.post().status_code == 401)
    check_error(till.post(), 401, "revoked_key")


def test_a_key_expires(secured):
    till = Till(secured, expires_at=now() + timedelta(seconds=1))
    till.service.wait(lambda: till.post().status_code == 401)
    check_error(till.post(), 401, "expired_key")


def test_no_secret_is_logged(secured):
    till = Till(secured)
    till.post()
    till.key += "0"
    check_error(till.post(), 401, "unknown_key")
    signing_keys = json.loads((till.service.settings.state / "signing_keys.json").read_text())
    secrets = [till.key.split("_")[2][:-1], *(key["secret"] for key in signing_keys)]
    assert not [secret for secret in secrets if secret in till.service.log.read_text()]


def test_above_its_rate_a_key_is_refused_with_the_seconds_to_wait(secured):
    till = Till(secured, per_second=0.01)
    assert till.post().is_success
    response = till.post()
    check_error(response, 429, "too_fast")
    assert 0 < int(response.headers["Retry-After"]) <= 100


def test_the_service_conforms_to_its_openapi_description(service, tmp_path):
    schemathesis = [sys.executable, "-m", "schemathesis.cli", "run", "--no-color", "--seed", "1"]
    options = ["--checks", "all", "--max-examples", "30", f"{service.http.base_url}/openapi.json"]
    run = subprocess.run(
        [*schemathesis, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_docs_page_loads_nothing_from_other_hosts(service):
    page = service.http.get("/").text
    assert "://" not in page
    assert service.http.get("/static_content/swagger-ui-bundle.js").is_success


def test_metrics_count_the_quotes(service):
    service.quote("honey")
    counted = 'outcome="list_price",rule="not_modelled"'
    service.wait(lambda: counted in service.http.get("/metrics").text)


def test_the_worker_never_imports_tensorflow_and_stays_under_300_megabytes(service):
    for _ in range(20):
        service.quote(customer_id="ann")
        service.post("/quotes", {"items": [{"sku": "milk"}] * 50})
    folder = service.worker()
    assert "site-packages/tensorflow/" not in (folder / "maps").read_text()
    (rss,) = [line for line in (folder / "status").open() if line.startswith("VmRSS")]
    assert int(rss.split()[1]) * 1024 < 300 * MEGABYTE


def test_without_the_online_store_the_list_price_is_quoted_with_a_reason(service, shop):
    store = shop.state / "feast" / "online.db"
    away = store.with_suffix(".away")
    store.rename(away)
    try:
        for quote in (service.quote(customer_id="dan"), service.quote()):
            assert quote["price"] == quote["list_price"]
            assert quote["reasons"][0]["text"].startswith("online_store: the online store is gone")
    finally:
        away.rename(store)
    service.wait(lambda: service.quote()["price"] < 500)


def test_with_a_corrupt_online_store_the_list_price_is_quoted(service, shop):
    store = shop.state / "feast" / "online.db"
    away = store.with_suffix(".away")
    store.rename(away)
    store.write_bytes(b"not a database" * 1_000)
    try:
        quote = service.quote(customer_id="eve")
        assert (quote["price"], quote["reasons"][0]["rule"]) == (500, "online_store")
    finally:
        away.replace(store)
    service.wait(lambda: service.quote()["price"] < 500)


def _promote(shop, change):
    """Replace the champion's folder by a changed copy."""
    new = shop.state / "new"
    shutil.copytree(shop.bundle, new)
    change(new)
    old = shop.state / "old"
    shop.bundle.rename(old)
    new.rename(shop.bundle)
    shutil.rmtree(old)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A service in an empty home. The next tests fill the home, in their order."""
    service = Service(Settings(home=tmp_path_factory.mktemp("empty")))
    try:
        service.wait(lambda: service.http.get("/livez").is_success)
        yield service
    finally:
        service.stop()


def test_without_a_price_book_the_service_answers_503_and_says_what_to_run(empty):
    ready = empty.http.get("/readyz")
    assert (ready.status_code, "`pricebook ingest`" in ready.text) == (503, True)
    check_error(empty.post("/quote", {"sku": "milk"}), 503, "no_champion")


def test_with_a_price_book_only_the_service_is_ready_and_quotes_list_prices(empty):
    _online_store(empty.settings)
    write_list_prices(empty.settings)
    empty.wait(lambda: empty.http.get("/readyz").is_success)
    quote = empty.quote(customer_id="ann", consent=True)
    assert QuoteReply.model_validate(quote).price == 500
    assert _verify(empty, quote)["valid"]
    check_error(empty.post("/forecast", {"sku": "milk"}), 503, "no_demand_model")


def test_the_first_champion_replaces_the_price_list_without_a_failed_request(empty, shop):
    def quoted_by():
        return empty.quote(customer_id="ann", consent=True)["model_name"]

    assert quoted_by() == "none"
    shutil.copytree(shop.bundle, empty.settings.state / "new")
    _about(empty.settings.state / "new", "5")
    (empty.settings.state / "new").rename(empty.settings.bundle)
    empty.wait(lambda: quoted_by() == "response")  # any other answer than 200 fails
    empty.wait(lambda: empty.quote(customer_id="ann", consent=True)["personalised"])


def test_a_newly_promoted_bundle_is_served(service, shop):
    _promote(shop, lambda folder: _about(folder, "2"))
    service.wait(lambda: service.quote()["model_version"] == "2")


def test_a_bundle_that_cannot_be_read_is_never_served(service, shop):
    def spoil(folder):
        _about(folder, "3")
        (folder / "response.tflite").write_bytes(b"not a model")

    _promote(shop, spoil)
    service.wait(lambda: "is not served" in service.log.read_text())
    assert service.quote()["model_version"] == "2"


def test_the_worker_logs_json_lines(service):
    pid = int(service.worker().name)
    lines = [line for line in service.log.read_text().splitlines() if line.startswith("{")]
    entries = [entry for entry in map(json.loads, lines) if entry["pid"] == pid]
    sources = {(entry["logger"], entry["level"]) for entry in entries}
    assert {("pricebook.champion", "ERROR"), ("bentoml.serve", "INFO")} <= sources
    assert "[entry_service" not in service.log.read_text()


def test_a_bento_serves_the_bundle_it_was_built_from(tmp_path_factory):
    packed = tmp_path_factory.mktemp("packed")
    home = tmp_path_factory.mktemp("home")
    _bundle(packed, version="9")
    command = [sys.executable, "-m", "serving.build", "--bundle", str(packed)]
    env = {**os.environ, "PRICEBOOK_HOME": str(home)}
    built = subprocess.run(
        command, cwd=REPO_ROOT, env=env, capture_output=True, text=True, check=True
    )
    tag = built.stdout.strip().splitlines()[-1]
    bento = home / ".pricebook/bentoml/bentos" / tag.replace(":", "/")
    requirements = (bento / "env/python/requirements.txt").read_text()
    assert not {"tensorflow", "airflow"} & set(requirements.split())
    assert {"ledger", "models", "pricebook", "serving"} <= {
        folder.name for folder in (bento / "src").iterdir()
    }
    service = Service(Settings(home=home), serve=tag)
    try:
        service.wait(lambda: service.http.get("/readyz").is_success)
        assert service.quote()["model_version"] == "9"
    finally:
        service.stop()
