"""The stages of `retrain`: what they log, and what a failed or killed one leaves behind."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.evaluation.holdout import demand_metrics, hold_out
from pricebook.config import REPO_ROOT
from pricebook.errors import EmptyHistory, ServiceError
from pricebook.files import read_json, write_json

STAGES = ("ingest", "validate", "featurize", "materialize", "train demand", "train response")


@pytest.fixture(scope="module")
def trained(kiosk, pricebook, tmp_path_factory) -> Path:
    """A copy of the kiosk in which a pair was trained and passed the gate."""
    home = tmp_path_factory.mktemp("retrain") / "home"
    shutil.copytree(kiosk, home, ignore=shutil.ignore_patterns("data", ".*"))
    for command in (*STAGES, "gate"):
        result = pricebook(*command.split(), home=home)
        assert not result.exception or isinstance(result.exception, SystemExit), command
    path = home / ".pricebook" / "reports" / "gate.json"
    write_json(path, read_json(path) | {"passed": True, "refusals": []})
    return home


@pytest.fixture
def home(trained, tmp_path) -> Path:
    return shutil.copytree(trained, tmp_path / "home")


def test_the_files_of_a_killed_stage_do_not_stop_the_next_ones(home, pricebook):
    state = home / ".pricebook"
    for name in (".champion.1a2b3c4d.partial", "bundles/.old.1a2b3c4d.partial"):
        (state / name).mkdir(parents=True)
    (state / "panel" / ".0.parquet.1a2b3c4d.partial").write_bytes(b"half a file")
    report = json.loads(pricebook("promote", home=home).stdout)
    assert report["promoted"] and (state / "champion" / "bundle.json").exists()
    exception = pricebook("gate", home=home).exception
    assert exception is None or isinstance(exception, SystemExit)


def test_a_promotion_that_fails_leaves_no_champion_and_can_be_repeated(
    home, pricebook, monkeypatch
):
    from pipelines import promote

    def fail(*_: object) -> str:
        raise ServiceError("The Bento was not built; the champion stays. Received: no space")

    with monkeypatch.context() as patch:
        patch.setattr(promote, "_build_bento", fail)
        assert isinstance(pricebook("promote", home=home).exception, ServiceError)
    assert not (home / ".pricebook" / "champion").exists()
    assert json.loads(pricebook("promote", home=home).stdout)["promoted"]


def test_commands_that_train_log_their_own_lines_only(home, kiosk):
    shutil.rmtree(home / ".pricebook" / "panel")  # as in a first training, which imports Feast
    commands = ("train demand", "train response", "backtest --cutoffs 1", "elasticities", "gate")
    script = f"""
from cli.main import app
for command in {commands!r}:
    try:
        app(command.split(), standalone_mode=False)
    except SystemExit:
        pass
"""
    environment = {
        **os.environ,
        "PRICEBOOK_HOME": str(home),
        "PRICEBOOK_PARAMS": str(kiosk / "params.yaml"),
        "COLUMNS": "300",  # one line for each log record
    }
    run = [sys.executable, "-c", script]
    result = subprocess.run(
        run, cwd=REPO_ROOT, env=environment, capture_output=True, text=True, check=True
    )
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert [line for line in lines if " INFO " not in line] == []
    assert len(lines) > 20


@pytest.mark.parametrize(("periods", "longest"), [(8, 3), (6, 2), (4, 1)])
def test_a_history_too_short_for_the_horizon_is_an_error_that_names_one_that_fits(periods, longest):
    weeks = pd.date_range("2025-01-06", periods=periods, freq="7D")
    panel = pd.DataFrame({"sku": "tea", "zone": "all", "period": weeks})
    with pytest.raises(EmptyHistory, match=rf"Set it to {longest} or less. Received: {periods}"):
        hold_out(panel, 4)
    assert hold_out(panel, longest).history["period"].nunique() >= longest + 2


def test_held_out_periods_without_sales_are_an_error_that_names_them():
    weeks = pd.date_range("2025-01-06", periods=12, freq="7D")
    panel = pd.DataFrame({"sku": "tea", "zone": "all", "period": weeks, "price": 300.0})
    units = np.where(np.arange(12) < 8, 5, 0)
    covariates = {"display": 0.0, "mailer": 0.0, "promotion": 0.0, "department": "drinks"}
    held = hold_out(panel.assign(units=units, **covariates), 4)
    forecast = held.actual[["sku", "zone", "period"]].assign(mean=1.0, q10=0.0, q50=1.0, q90=2.0)
    with pytest.raises(EmptyHistory, match=r"2025-03-03 to 2025-03-24.*Received: 0 units"):
        demand_metrics(forecast, held, None)
