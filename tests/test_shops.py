"""Made-up shops of several kinds go from `refresh` to a champion, or learn why they do not."""

import json

import pytest
from shops import MadeUpShop

from pricebook.config import Settings
from pricebook.files import read_json

STAGES = ("ingest", "validate", "featurize", "materialize")
MODELS = ("demand", "response")
SHOPS = {
    "by zone, without customers": MadeUpShop(
        zones=("north", "south"), columns=(), params=(("train.demand.epochs", 24),)
    ),
    "returns above sales in some weeks": MadeUpShop(mass_returns=True),
    "required columns only": MadeUpShop(columns=(), tables=()),
    "four months of daily data": MadeUpShop(periods=122, days=1),
}


@pytest.fixture(scope="module", params=SHOPS.values(), ids=SHOPS)
def shop(request, tmp_path_factory, pricebook):
    """A shop after `refresh` and `retrain`: its home, and what the gate printed."""
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


def test_it_gets_a_champion(shop):
    settings, verdict = shop
    assert (settings.bundle / "bundle.json").exists(), verdict


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


@pytest.mark.parametrize("shop", [MadeUpShop(params=(("gate.max_bias", 0.0),))], indirect=True)
def test_a_refusal_says_what_to_do_next(shop):
    settings, verdict = shop
    assert not settings.bundle.exists()
    assert "gate.max_bias" in " ".join(verdict.split())
