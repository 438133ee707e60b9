"""Predictions that `train` records are those that `gate` and `promote` would compute."""

import shutil
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
import yaml
from conftest import AS_OF

from models.evaluation.profit import market
from models.registry import CHAMPION, Registry
from pipelines.evaluation.checks import Judge, model_checks
from pipelines.evaluation.panel import panel, panel_version, read_features
from pipelines.evaluation.predictions import (
    FOLDER,
    ForecastTask,
    SavedModels,
    champion_folder,
    forecast,
    respond,
)
from pipelines.train import train
from pricebook.config import REPO_ROOT, Settings
from pricebook.errors import EmptyHistory, RegistryError


@pytest.fixture(scope="module")
def task(promoted, params):
    return ForecastTask.from_home(AS_OF, params, promoted)


@pytest.fixture(scope="module")
def champion(promoted):
    return Registry(promoted).aliased(CHAMPION)


@pytest.fixture
def saved(promoted, tmp_path):
    return SavedModels(Registry(promoted), tmp_path / "saved")


def _assert_same_tables(first, second):
    for name, table in vars(first).items():
        pd.testing.assert_frame_equal(table, getattr(second, name), check_exact=True, obj=name)


def test_recorded_forecasts_equal_those_of_the_loaded_model(saved, champion, task):
    recorded = saved.forecasts(champion["demand"], task)
    _assert_same_tables(recorded, forecast(saved.files("demand", champion["demand"]), task))


def test_recorded_responses_equal_those_of_the_loaded_model(saved, champion):
    recorded = saved.responses(champion["response"])
    _assert_same_tables(recorded, respond(saved.files("response", champion["response"])))


def test_the_checks_are_the_same_with_and_without_records(saved, champion, task, params, promoted):
    book = read_features("price_book", promoted)
    judge = Judge(task, market(task.held_out, book, params.train.response.folds), params, saved)
    recorded = model_checks(judge.trial(champion, champion))
    for name, version in champion.items():
        shutil.rmtree(saved.files(name, version) / FOLDER)
    assert model_checks(judge.trial(champion, champion)) == recorded


def test_forecasts_for_another_cutoff_or_panel_are_computed(saved, champion, task, monkeypatch):
    from pipelines.evaluation import predictions

    monkeypatch.setattr(predictions, "forecast", lambda folder, task: task)
    assert saved.forecasts(champion["demand"], task) != task
    for changed in (replace(task, as_of=AS_OF.replace(day=2)), replace(task, version="another")):
        assert saved.forecasts(champion["demand"], changed) is changed


def test_training_records_what_the_champion_forecasts(promoted, params, saved, champion, task):
    short = params.train.demand.model_copy(update={"epochs": 1})
    train_params = params.train.model_copy(update={"demand": short})
    report = train("demand", AS_OF, params.model_copy(update={"train": train_params}), promoted)
    folder = saved.files("demand", report["version"]) / FOLDER
    assert {path.name for path in folder.iterdir()} == {
        "own",
        champion_folder(champion["demand"]),
    }
    shutil.rmtree(saved.files("demand", champion["demand"]) / FOLDER)
    recorded = saved.forecasts(champion["demand"], task, report["version"])
    _assert_same_tables(recorded, forecast(saved.files("demand", champion["demand"]), task))


def test_a_model_of_another_horizon_is_refused(saved, champion, task):
    folder = saved.files("demand", champion["demand"])
    with pytest.raises(RegistryError, match=r"forecasts 4 periods.*Received: a horizon of 6"):
        forecast(folder, replace(task, horizon=6))


def test_gate_and_promote_import_no_tensorflow(promoted, params, champion, tmp_path):
    unbuilt = params.promote.model_copy(update={"build_bento": False})
    file = tmp_path / "params.yaml"
    plain = params.model_copy(update={"promote": unbuilt}).model_dump(mode="json", by_alias=True)
    file.write_text(yaml.safe_dump(plain))
    script = f"""
import sys
from datetime import date
from pathlib import Path
from pipelines.gate import gate
from pipelines.promote import promote
from pricebook.config import Settings, load_params

settings = Settings(home=Path({str(promoted.home)!r}))
params = load_params(Path({str(file)!r}))
verdict = gate(date({AS_OF.year}, {AS_OF.month}, {AS_OF.day}), params, settings, {champion!r})
assert promote(verdict, params, settings)["promoted"]
assert not {{"tensorflow", "keras"}} & set(sys.modules), "imported"
"""
    subprocess.run([sys.executable, "-c", script], cwd=REPO_ROOT, check=True)


def test_a_panel_is_joined_once_for_the_same_files(promoted, params, tmp_path, monkeypatch):
    from pipelines.evaluation import panel as module

    home = Settings(home=tmp_path / "home")
    shutil.copytree(promoted.features, home.features)
    joined = panel(AS_OF, params, home)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_join", lambda *_: pytest.fail("joined again"))
        pd.testing.assert_frame_equal(panel(AS_OF, params, home), joined, check_exact=True)
    before = panel_version(AS_OF, params, home)
    file = home.features / "sku_period.parquet"
    pd.read_parquet(file).assign(units=1).to_parquet(file)
    assert panel_version(AS_OF, params, home) != before
    assert set(panel(AS_OF, params, home)["units"]) == {1}


def test_a_home_without_features_says_what_to_run(params, tmp_path):
    with pytest.raises(EmptyHistory, match=r"Run `pricebook featurize`.*sku_period\.parquet"):
        panel(AS_OF, params, Settings(home=tmp_path))
