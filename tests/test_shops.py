"""Made-up shops of several kinds go from `refresh` to a champion, or learn why they do not.

A shop whose first pair is refused gets list prices.
"""

import json
import shutil

import pytest
from shops import MadeUpShop
from test_home_states import execute
from test_quoter import Worker
from test_service import Service

from pricebook.config import Settings
from pricebook.files import read_json

STAGES = ("ingest", "validate", "featurize", "materialize")
MODELS, AFTER_TRAINING = ("demand", "response"), ("gate", "promote")
WEEKLY = "four months of weekly data"
SHOPS = {
    "by zone, without customers": MadeUpShop(
        zones=("north", "south"), columns=(), params=(("train.demand.epochs", 24),)
    ),
    "returns above sales in some weeks": MadeUpShop(mass_returns=True),
    "required columns only": MadeUpShop(columns=(), tables=()),
    "without promotions": MadeUpShop(tables=("products",)),
    "without costs": MadeUpShop(costs=False),
    "three skus": MadeUpShop(skus=3),
    "four months of daily data": MadeUpShop(periods=122, days=1),
    WEEKLY: MadeUpShop(periods=17),
}


@pytest.fixture(scope="module", params=SHOPS.values(), ids=SHOPS)
def shop(request, tmp_path_factory, pricebook):
    """A shop after `refresh` and `retrain`: its home, and what `gate` printed."""
    home = tmp_path_factory.mktemp("shop")
    params = request.param.write(home)

    def run(*words):
        result = pricebook(*words, home=home, params=params)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    for stage in STAGES:
        assert run(stage).exit_code == 0
    for model in MODELS:
        assert run("train", model).exit_code == 0
    verdict = run("gate").output
    run("promote")
    return Settings(home=home), verdict


@pytest.fixture(scope="module")
def refused(shop, tmp_path_factory, pricebook):
    """A copy of the shop whose first pair is refused: its home, the output of gate and promote."""
    settings = Settings(home=tmp_path_factory.mktemp("refused") / "home")
    shutil.copytree(shop[0].home, settings.home)
    shutil.rmtree(settings.bundle)
    execute(settings.state / "mlflow.db", "delete from registered_model_aliases")
    params = settings.home / "params.yaml"
    params.write_text(params.read_text() + "gate: {max_bias: 0.0}\n")
    outputs = (pricebook(name, home=settings.home, params=params).output for name in AFTER_TRAINING)
    return settings, *(" ".join(output.split()) for output in outputs)


def quotes(settings):
    """A quote of every sku and zone, from a service in this process."""
    worker = Worker(settings)
    places = worker.quoter.champion.offers.bundle.places
    return worker.quotes(*({"sku": sku, "zone": zone} for sku, zone in places))


def test_it_gets_a_champion_that_quotes_every_sku(shop):
    settings, verdict = shop
    assert (settings.bundle / "bundle.json").exists(), verdict
    for quote in quotes(settings):
        assert 0 < quote["price"] <= quote["list_price"]
        assert quote["model_name"] == "response"


def test_every_figure_of_its_verdict_is_finite(shop):
    settings, _ = shop
    verdict = json.dumps(read_json(settings.report("gate")))
    assert "NaN" not in verdict and "Infinity" not in verdict


@pytest.mark.parametrize("shop", [SHOPS["by zone, without customers"]], indirect=True)
def test_the_parity_check_says_what_it_does_not_cover(shop):
    settings, _ = shop
    checks = {check["name"]: check for check in read_json(settings.report("gate"))["checks"]}
    assert "shopper" in checks["feature_parity"]["reason"]


@pytest.mark.parametrize("shop", [SHOPS["returns above sales in some weeks"]], indirect=True)
def test_periods_of_net_returns_are_counted(shop):
    settings, _ = shop
    manifest = read_json(settings.features / "manifest.json")
    assert manifest["net_returns"]["rows"] > 0


@pytest.mark.parametrize("shop", [SHOPS["without costs"]], indirect=True)
def test_without_a_floor_every_quote_is_the_list_price_and_says_so(shop):
    settings, _ = shop
    assert {quote["reasons"][0]["rule"] for quote in quotes(settings)} == {"no_floor"}


@pytest.mark.parametrize("shop", [SHOPS[WEEKLY]], indirect=True)
def test_a_refusal_says_what_to_do_next_and_that_list_prices_are_quoted(refused):
    settings, *outputs = refused
    assert not settings.bundle.exists()
    for output in outputs:
        assert "with gate.max_bias: 0." in output
        assert "There is no champion yet, so the price service quotes list prices" in output


@pytest.mark.parametrize("shop", [SHOPS[WEEKLY]], indirect=True)
def test_while_its_first_pair_is_refused_the_service_quotes_list_prices(refused):
    settings, *_ = refused
    service = Service(settings)
    try:
        service.wait(lambda: service.http.get("/readyz").is_success)
        quote = service.quote("sku0")
        assert quote["price"] == quote["list_price"] == 300
        assert "the gate refused the first models (forecast_bias)" in quote["reasons"][0]["text"]
    finally:
        service.stop()
