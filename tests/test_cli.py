"""The command line: help for everything, and errors made for people."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

PRICEBOOK = Path(sys.executable).with_name("pricebook")


def test_every_command_says_what_it_does():
    told = CliRunner().invoke(app, ["--help"]).output
    for command in app.registered_commands:
        assert (command.name or command.callback.__name__) in told
        assert command.callback.__doc__


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "No params file"),
        ("shop: [", "is not YAML"),
        ("shop: {name: x, source: files, timezone: Mars}", "shop.timezone"),
        ("shop: {name: x, source: files}\ntrian: {}", "trian"),
    ],
)
def test_wrong_params_are_one_line_that_names_the_key(tmp_path, monkeypatch, content, cause):
    file = tmp_path / "params.yaml"
    if content:
        file.write_text(content)
    monkeypatch.setenv("PRICEBOOK_PARAMS", str(file))
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    run = subprocess.run([PRICEBOOK, "ingest"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "Traceback" not in run.stdout + run.stderr
    assert cause in run.stderr
    assert "Received:" in run.stderr


def test_an_as_of_before_the_data_says_when_the_data_begins(tmp_path, monkeypatch):
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    asked = [PRICEBOOK, "ingest", "--as-of", "2016-01-01"]
    run = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "EmptyHistory" in run.stderr
    assert "2017-01-01" in run.stderr


def test_verdicts_of_a_new_home_say_what_to_do_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    assert "retrain" in CliRunner().invoke(app, ["verdicts"]).output


def test_a_model_nobody_knows_is_refused_before_a_run_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    run = subprocess.run(
        [PRICEBOOK, "train", "prophet"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "must be one of demand, response. Received: 'prophet'" in run.stderr
    assert not (tmp_path / ".pricebook" / "mlflow.db").exists()
