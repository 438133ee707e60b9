"""The gate refuses pairs that must not price a shop, and says why and what to do next."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import AS_OF

from cli.demo import on_free_ports
from cli.servers import price_service
from cli.servers.launch import start, stop_others
from cli.servers.records import running_servers
from models.registry import CHAMPION, Registry
from pipelines.evaluation import predictions
from pipelines.gate import gate
from pipelines.promote import promote
from pipelines.train import Fitted, fit, save
from pricebook.config import Settings

Change = Callable[[pd.DataFrame], pd.DataFrame]


def _copy_features(featured: Settings, home: Path, change: Change) -> Settings:
    """Copy the features to another home, with its panel changed."""
    settings = Settings(home=home)
    shutil.copytree(featured.features, settings.features)
    for name in ("sku_period", "segment_period"):
        file = settings.features / f"{name}.parquet"
        change(pd.read_parquet(file)).to_parquet(file)
    return settings


def _shuffle_units(panel: pd.DataFrame) -> pd.DataFrame:
    return panel.assign(units=np.random.default_rng(0).permutation(panel["units"]))


def _exaggerate_response(panel: pd.DataFrame) -> pd.DataFrame:
    usual = panel.groupby("sku")["price"].transform("median")
    boosted = panel["units"] * (usual / panel["price"]).clip(0.2, 5) ** 4
    return panel.assign(units=boosted.fillna(0).round().astype("int64"))


def _fit(model, params, settings) -> Fitted:
    return fit(model, AS_OF, params, settings, lambda epoch, losses: None)


def _register(name: str, fitted: Fitted, settings: Settings, folder: Path) -> str:
    """Save and register a model without recorded predictions, so the gate computes them."""
    save(fitted.model, folder)
    return _register_saved(name, fitted, settings, folder)


def _register_saved(name: str, fitted: Fitted, settings: Settings, folder: Path) -> str:
    registry = Registry(settings)
    with registry.run(f"challenger-{name}"):
        return registry.register(name, folder, fitted.example, fitted.output)


@pytest.fixture(scope="module")
def shuffled_demand(promoted, params, tmp_path_factory) -> str:
    """The version of a demand model that was trained on shuffled units."""
    folder = tmp_path_factory.mktemp("shuffled")
    home = _copy_features(promoted, folder / "home", _shuffle_units)
    return _register("demand", _fit("demand", params, home), promoted, folder / "saved")


@pytest.fixture(scope="module")
def elastic_response(promoted, params, tmp_path_factory) -> Fitted:
    """A response model whose elasticities are far too large."""
    home = _copy_features(promoted, tmp_path_factory.mktemp("elastic"), _exaggerate_response)
    return _fit("response", params, home)


@pytest.fixture(scope="module")
def elastic_version(promoted, elastic_response, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("saved") / "response"
    return _register("response", elastic_response, promoted, folder)


@pytest.fixture(scope="module")
def refusals(promoted, params):
    """Judge a pair that must be refused, and check that promoting it leaves the champion."""

    def judge(**versions) -> str:
        champion = Registry(promoted).aliased(CHAMPION)
        verdict = gate(AS_OF, params, promoted, versions)
        report = promote(verdict, params, promoted)
        assert (report["promoted"], report["champion"]) == (False, champion)
        return " ".join(verdict["refusals"])

    return judge


def test_a_model_trained_on_shuffled_targets_is_refused(shuffled_demand, refusals):
    assert "forecast_error" in refusals(demand=shuffled_demand)


def test_a_biased_forecast_is_refused(promoted, params, tmp_path, refusals):
    demand = _fit("demand", params, promoted)
    layer = demand.model.network.get_layer("level")
    layer.set_weights([layer.get_weights()[0], layer.get_weights()[1] + 0.5])
    version = _register("demand", demand, promoted, tmp_path / "saved")
    assert "forecast_bias" in refusals(demand=version)


@pytest.mark.parametrize("recorded", [True, False])
def test_an_export_that_differs_from_its_original_is_refused(
    promoted, params, tmp_path, refusals, elastic_response, recorded
):
    original, other = tmp_path / "original", tmp_path / "other"
    response = _fit("response", params, promoted)
    save(response.model, original)
    save(elastic_response.model, other)
    if recorded:
        predictions.respond(original).write(original / predictions.FOLDER)
    shutil.copy(other / "response.tflite", original / "response.tflite")
    version = _register_saved("response", response, promoted, original)
    assert "export_parity" in refusals(response=version)


def test_a_lower_backtested_profit_is_refused(elastic_version, refusals):
    assert "backtested_profit" in refusals(response=elastic_version)


def test_a_refusal_says_what_to_do_next(promoted, params, elastic_version):
    verdict = gate(AS_OF, params, promoted, {"response": elastic_version})
    for check in verdict["checks"]:
        assert bool(check["next_step"]) != check["passed"], check["name"]
    assert "quote.max_step" in " ".join(verdict["refusals"])


def _checks(promoted, params, **versions):
    verdict = gate(AS_OF, params, promoted, versions)
    return verdict, {check["name"]: check for check in verdict["checks"]}


def test_a_pair_that_forecasts_better_but_prices_worse_is_refused(
    promoted, params, tmp_path, elastic_version
):
    champion = Registry(promoted).aliased(CHAMPION)
    longer = params.train.demand.model_copy(update={"epochs": 36})
    train = params.train.model_copy(update={"demand": longer})
    demand = _fit("demand", params.model_copy(update={"train": train}), promoted)
    version = _register("demand", demand, promoted, tmp_path / "demand")
    verdict, checks = _checks(promoted, params, demand=version, response=elastic_version)
    _, champion_checks = _checks(promoted, params, **champion)
    assert checks["forecast_error"]["passed"] and checks["forecast_beats_naive"]["passed"]
    assert checks["forecast_error"]["figure"] < champion_checks["forecast_error"]["figure"]
    assert not checks["backtested_profit"]["passed"] and not verdict["passed"]
    assert not promote(verdict, params, promoted)["promoted"]


def test_the_verdict_gives_an_interval_of_the_profit(promoted, params):
    champion = Registry(promoted).aliased(CHAMPION)
    _, checks = _checks(promoted, params, response=champion["response"])
    profit = checks["backtested_profit"]
    assert profit["low"] == profit["figure"] == profit["high"] == 0
    assert {"price_response", "elasticity_range", "segment_regression"} < checks.keys()


@pytest.fixture
def service(promoted):
    settings = on_free_ports(promoted.model_copy(update={"service_workers": 1}))
    running = set(running_servers(settings))
    start([price_service.plan(settings)], settings, print)
    yield price_service.url(settings)
    stop_others(running, settings, print)


def test_the_service_answers_as_before_when_a_pair_is_refused(
    promoted, refusals, shuffled_demand, service
):
    book = pd.read_parquet(promoted.bundle / "price_book.parquet")
    body = {"sku": book.loc[book["modelled"], "sku"].iloc[0]}
    bundle = (promoted.bundle / "bundle.json").read_text()
    before = price_service.post(service, "/quote", body)
    assert refusals(demand=shuffled_demand)
    after = price_service.post(service, "/quote", body)
    assert (promoted.bundle / "bundle.json").read_text() == bundle
    fields = ("price", "model_version", "reasons")
    assert [after[name] for name in fields] == [before[name] for name in fields]


def test_the_champion_itself_passes_again_and_promoting_it_changes_nothing(promoted, params):
    champion = Registry(promoted).aliased(CHAMPION)
    verdict = gate(AS_OF, params, promoted, champion)
    assert verdict["passed"], verdict["refusals"]
    assert promote(verdict, params, promoted)["champion"] == champion


def test_a_verdict_is_recorded_with_every_figure(promoted):
    from ledger import last_verdicts, open_ledger

    (newest, *_) = last_verdicts(open_ledger(promoted.ledger), 1)
    assert set(newest.body["checks"][0]) == {
        *("name", "passed", "figure", "bar", "reason", "low", "high", "next_step", "figures")
    }
    assert newest.body["data"]["features"].endswith(".dir")
