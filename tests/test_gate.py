"""The gate refuses what should not price a shop, each with its reason, through the real stages."""

import shutil
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
from pipelines.gate import gate
from pipelines.promote import promote
from pipelines.train import Fitted, fit, save
from pricebook.config import Settings


def _elsewhere(featured: Settings, home: Path, change) -> Settings:
    """The same features in another home, with the panel changed."""
    settings = Settings(home=home)
    shutil.copytree(featured.features, settings.features)
    for name in ("sku_period", "segment_period"):
        file = settings.features / f"{name}.parquet"
        change(pd.read_parquet(file)).to_parquet(file)
    return settings


def _shuffled(panel: pd.DataFrame) -> pd.DataFrame:
    return panel.assign(units=np.random.default_rng(0).permutation(panel["units"]))


def _far_too_elastic(panel: pd.DataFrame) -> pd.DataFrame:
    usual = panel.groupby("sku")["price"].transform("median")
    boosted = panel["units"] * (usual / panel["price"]).clip(0.2, 5) ** 4
    return panel.assign(units=boosted.fillna(0).round().astype("int64"))


def _register(name: str, fitted: Fitted, settings: Settings, folder: Path, change=None) -> str:
    registry = Registry(settings)
    with registry.run(f"challenger-{name}"):
        folder.mkdir()
        save(fitted.model, folder)
        if change:
            change(folder)
        return registry.register(name, folder, fitted.example, fitted.output)


def _fit(model, params, settings) -> Fitted:
    return fit(model, AS_OF, params, settings, lambda epoch, losses: None)


@pytest.fixture(scope="module")
def judge(promoted, params):
    def judged(**versions):
        before = Registry(promoted).aliased(CHAMPION)
        verdict = gate(AS_OF, params, promoted, versions)
        report = promote(verdict, params, promoted)
        assert (report["promoted"], report["champion"]) == (False, before)
        return " ".join(verdict["refusals"])

    return judged


def test_a_model_trained_on_shuffled_targets_is_refused(promoted, params, tmp_path, judge):
    elsewhere = _elsewhere(promoted, tmp_path / "home", _shuffled)
    demand = _fit("demand", params, elsewhere)
    version = _register("demand", demand, promoted, tmp_path / "saved")
    assert "forecast_error" in judge(demand=version)


def test_a_biased_forecast_is_refused(promoted, params, tmp_path, judge):
    demand = _fit("demand", params, promoted)
    layer = demand.model.network.get_layer("level")
    layer.set_weights([layer.get_weights()[0], layer.get_weights()[1] + 0.5])
    version = _register("demand", demand, promoted, tmp_path / "saved")
    assert "forecast_bias" in judge(demand=version)


def test_an_export_that_differs_from_its_original_is_refused(promoted, params, tmp_path, judge):
    response = _fit("response", params, promoted)
    elsewhere = _elsewhere(promoted, tmp_path / "home", _far_too_elastic)
    other = _fit("response", params, elsewhere)

    def swap(folder: Path) -> None:
        (tmp_path / "other").mkdir()
        save(other.model, tmp_path / "other")
        shutil.copy(tmp_path / "other" / "response.tflite", folder / "response.tflite")

    version = _register("response", response, promoted, tmp_path / "saved", swap)
    assert "export_parity" in judge(response=version)


def test_a_worse_backtested_profit_is_refused(promoted, params, tmp_path, judge):
    elsewhere = _elsewhere(promoted, tmp_path / "home", _far_too_elastic)
    response = _fit("response", params, elsewhere)
    version = _register("response", response, promoted, tmp_path / "saved")
    assert "backtested_profit" in judge(response=version)


def _checks(promoted, params, **versions):
    verdict = gate(AS_OF, params, promoted, versions)
    return verdict, {check["name"]: check for check in verdict["checks"]}


def test_a_pair_that_forecasts_better_but_prices_worse_is_refused(promoted, params, tmp_path):
    champion = Registry(promoted).aliased(CHAMPION)
    longer = params.train.demand.model_copy(update={"epochs": 36})
    train = params.train.model_copy(update={"demand": longer})
    demand = _fit("demand", params.model_copy(update={"train": train}), promoted)
    elsewhere = _elsewhere(promoted, tmp_path / "home", _far_too_elastic)
    response = _fit("response", params, elsewhere)
    pair = {
        "demand": _register("demand", demand, promoted, tmp_path / "demand"),
        "response": _register("response", response, promoted, tmp_path / "response"),
    }
    verdict, checks = _checks(promoted, params, **pair)
    _, own = _checks(promoted, params, **champion)
    assert checks["forecast_error"]["passed"] and checks["forecast_beats_naive"]["passed"]
    assert checks["forecast_error"]["figure"] < own["forecast_error"]["figure"]
    assert not checks["backtested_profit"]["passed"] and not verdict["passed"]
    assert not promote(verdict, params, promoted)["promoted"]


def test_the_verdict_says_how_sure_it_is_of_the_profit(promoted, params):
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


def test_a_refused_pair_changes_nothing_and_the_service_keeps_answering(
    promoted, params, judge, tmp_path, service
):
    book = pd.read_parquet(promoted.bundle / "price_book.parquet")
    body = {"sku": book.loc[book["modelled"], "sku"].iloc[0]}
    bundle = (promoted.bundle / "bundle.json").read_text()
    before = price_service.post(service, "/quote", body)
    elsewhere = _elsewhere(promoted, tmp_path / "home", _shuffled)
    version = _register("demand", _fit("demand", params, elsewhere), promoted, tmp_path / "saved")
    assert judge(demand=version)
    after = price_service.post(service, "/quote", body)
    assert (promoted.bundle / "bundle.json").read_text() == bundle
    told = ("price", "model_version", "reasons")
    assert [after[name] for name in told] == [before[name] for name in told]


def test_the_champion_itself_passes_again_and_promoting_it_changes_nothing(promoted, params):
    champion = Registry(promoted).aliased(CHAMPION)
    verdict = gate(AS_OF, params, promoted, champion)
    assert verdict["passed"], verdict["refusals"]
    assert promote(verdict, params, promoted)["champion"] == champion


def test_a_verdict_is_recorded_with_every_figure(promoted):
    from ledger import last_verdicts, open_ledger

    (newest, *_) = last_verdicts(open_ledger(promoted.ledger), 1)
    assert {"figure", "bar", "reason", "passed", "name", "low", "high"} == set(
        newest.body["checks"][0]
    )
    assert newest.body["data"]["features"].endswith(".dir")
