"""In every state of a home, a command gives a result or one clear error."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pricebook.config import REPO_ROOT
from pricebook.errors import EmptyHistory, PricebookError, RegistryError, ServiceError
from pricebook.files import read_json, write_json

STAGES = {
    "empty": [],
    "ingested": ["ingest"],
    "featurized": ["validate", "featurize"],
    "trained": ["train demand", "train response"],
    "judged": ["materialize", "gate"],
}


@pytest.fixture(scope="module")
def states(kiosk, pricebook, tmp_path_factory) -> dict[str, Path]:
    """A copy of the kiosk's home after each group of stages."""
    folder = tmp_path_factory.mktemp("states")
    home = shutil.copytree(kiosk, folder / "home", ignore=shutil.ignore_patterns("data", ".*"))
    for state, commands in STAGES.items():
        for command in commands:
            result = pricebook(*command.split(), home=home)
            assert not result.exception or isinstance(result.exception, SystemExit), command
        shutil.copytree(home, folder / state)
    return {state: folder / state for state in STAGES}


@pytest.mark.parametrize(
    ("state", "command", "error", "message"),
    [
        ("empty", "train demand", EmptyHistory, "Run `pricebook featurize`"),
        ("empty", "train response", EmptyHistory, "Run `pricebook featurize`"),
        ("empty", "gate", RegistryError, "Train the demand model first"),
        ("empty", "promote", RegistryError, "Run `pricebook gate`"),
        ("empty", "rollback", ServiceError, "no previous champion"),
        ("empty", "canary", ServiceError, "A canary needs a champion"),
        ("empty", "reproduce champion", RegistryError, "Run `pricebook promote`"),
        ("ingested", "train demand", EmptyHistory, "Run `pricebook featurize`"),
        ("ingested", "gate", RegistryError, "Train the demand model first"),
        ("featurized", "gate", RegistryError, "Train the demand model first"),
        ("featurized", "promote", RegistryError, "Run `pricebook gate`"),
        ("trained", "gate", EmptyHistory, "Nothing was materialized"),
        ("trained", "promote", RegistryError, "Run `pricebook gate`"),
        ("trained", "reproduce champion", RegistryError, "Run `pricebook promote`"),
        ("judged", "rollback", ServiceError, "no previous champion"),
        ("judged", "canary", ServiceError, "A canary needs a champion"),
    ],
)
def test_a_command_that_cannot_run_says_what_to_do_first(
    states, pricebook, state, command, error, message
):
    exception = pricebook(*command.split(), home=states[state]).exception
    assert isinstance(exception, error) and message in str(exception)


@pytest.fixture
def judged(states, tmp_path) -> Path:
    return shutil.copytree(states["judged"], tmp_path / "home")


def _set_verdict(home: Path, passed: bool) -> None:
    path = home / ".pricebook" / "reports" / "gate.json"
    refusals = [] if passed else ["forecast_bias: too high."]
    write_json(path, {**read_json(path), "passed": passed, "refusals": refusals})


def test_promoting_a_refused_pair_reports_why_it_is_not_promoted(judged, pricebook):
    _set_verdict(judged, passed=False)
    result = pricebook("promote", home=judged)
    report = json.loads(result.stdout)
    assert (report["promoted"], report["champion"]) == (False, {})
    assert report["refusals"] == ["forecast_bias: too high."]


def test_what_killed_stages_leave_behind_does_not_stop_the_next_ones(judged, pricebook):
    _set_verdict(judged, passed=True)
    state = judged / ".pricebook"
    for name in (".champion.1a2b3c4d.partial", "bundles/.old.1a2b3c4d.partial", "panel"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "panel" / ".0.parquet.1a2b3c4d.partial").write_bytes(b"half a file")
    (judged / "data" / ".features.1a2b3c4d.partial").mkdir()
    report = json.loads(pricebook("promote", home=judged).stdout)
    assert report["promoted"] and (state / "champion" / "bundle.json").exists()
    exception = pricebook("gate", home=judged).exception
    assert exception is None or isinstance(exception, SystemExit)


def test_a_promotion_that_fails_leaves_no_champion(judged, pricebook, monkeypatch):
    from pipelines import promote

    def fail(*_: object) -> str:
        raise ServiceError("The Bento was not built; the champion stays. Received: no space")

    _set_verdict(judged, passed=True)
    monkeypatch.setattr(promote, "_build_bento", fail)
    assert isinstance(pricebook("promote", home=judged).exception, PricebookError)
    assert not (judged / ".pricebook" / "champion").exists()
    monkeypatch.undo()
    assert json.loads(pricebook("promote", home=judged).stdout)["promoted"]


def test_commands_that_train_log_their_own_lines_only(judged, kiosk):
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
        "PRICEBOOK_HOME": str(judged),
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
