"""The command line: help for every command and option, and errors that take one line."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.main import app

PRICEBOOK = Path(sys.executable).with_name("pricebook")


def _commands(command, path=("pricebook",)):
    yield " ".join(path), command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_describes_every_command_argument_and_option(name):
    command = COMMANDS[name]
    assert command.help.strip().endswith(".")
    summary = command.get_short_help_str(limit=58)
    assert name == "pricebook" or "..." not in summary, "too long for the list of commands"
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_can_be_printed(name):
    result = CliRunner().invoke(app, [*name.split()[1:], "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage:")


def test_the_help_lists_the_stages_in_their_order():
    listed = list(COMMANDS)[1:8]
    stages = ("ingest", "validate", "featurize", "materialize", "train", "gate", "promote")
    assert listed == [f"pricebook {stage}" for stage in stages]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "No params file"),
        ("shop: [", "is not YAML"),
        ("shop: {name: x, source: files, timezone: Mars}", "shop.timezone"),
        ("shop: {name: x, source: files}\ntrian: {}", "trian"),
    ],
)
def test_wrong_params_are_a_one_line_error_that_names_the_key(
    tmp_path, monkeypatch, content, cause
):
    file = tmp_path / "params.yaml"
    if content:
        file.write_text(content)
    monkeypatch.setenv("PRICEBOOK_PARAMS", str(file))
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    run = _run("ingest")
    assert run.returncode == 2
    assert "Traceback" not in run.stdout + run.stderr
    assert cause in run.stderr
    assert "Received:" in run.stderr


def test_a_cutoff_before_the_data_is_an_error_that_names_the_first_day(tmp_path, monkeypatch):
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    run = _run("ingest", "--as-of", "2016-01-01")
    assert run.returncode == 2
    assert "EmptyHistory" in run.stderr
    assert "2017-01-01" in run.stderr


def test_verdicts_of_a_new_home_say_what_to_do_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    assert "retrain" in CliRunner().invoke(app, ["verdicts"]).output


def test_an_unknown_model_is_refused_before_a_run_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    run = _run("train", "prophet")
    assert run.returncode == 2
    assert "must be one of demand, response. Received: 'prophet'" in run.stderr
    assert not (tmp_path / ".pricebook" / "mlflow.db").exists()


def _run(*words):
    return subprocess.run([PRICEBOOK, *words], capture_output=True, text=True, check=False)
