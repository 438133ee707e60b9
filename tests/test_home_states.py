"""Every command in every state of a home: a result or one clear line, never a traceback."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from cli.demo.summary import print_summary
from cli.main import app
from pricebook.config import Settings
from pricebook.errors import PricebookError
from pricebook.files import read_json, write_json

STATES = ("empty", "ingested", "validated", "featurized", "trained", "refused", "promoted")
QUICK_STATES = ("empty", "featurized", "trained", "refused", "promoted", "interrupted")
CUT_SHORT = ("reports/gate.json", "reports/validate.json", "lineage.json", "servers.json")

# Commands that answer at once in any state.
QUICK = (
    *("promote", "verdicts", "rollback", "canary", "canary --stop", "up", "down", "status"),
    *("kill-switch on", "kill-switch off", "kill-switch status", "clean --yes", "reproduce nobody"),
    *("alerts", "alerts list", "alerts show 1", "alerts assign 1 ana", "alerts acknowledge 1"),
    *("alerts waive 1 --until 2030-01-01 --reason x", "alerts resolve 1", "quotes list"),
    *("keys", "keys list", "keys issue till --scope quote", "keys revoke x", "keys rotate x"),
    *("keys rotate-signing", "quotes show x"),
)
# Commands that take long once their input is there, with the state that has it.
STAGES = {
    "validate": "ingested",
    "featurize": "validated",
    "materialize": "featurized",
    "train demand": "featurized",
    "train response": "featurized",
    "gate": "trained",
    "reproduce": "promoted",
    "reproduce previous": "promoted",
}
CASES = [
    *((state, command) for state in QUICK_STATES for command in QUICK),
    *(
        (state, command)
        for command, ready in STAGES.items()
        for state in STATES[: STATES.index(ready)]
    ),
]


@pytest.fixture(scope="module")
def states(promoted: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a home in each state, made by removing files from a finished home."""
    folder = tmp_path_factory.mktemp("states")
    for name in STATES:
        home = Settings(home=folder / name)
        copy_home(promoted.home, home.home)
        remove_what_comes_after(name, home)
    interrupt(folder)
    yield folder


def copy_home(source: Path, target: Path) -> None:
    """Copy a home. Only files that are changed in place are copied; others are linked."""

    def copy(file: str, new: str) -> None:
        (shutil.copy2 if Path(file).suffix == ".db" else os.link)(file, new)

    ignored = shutil.ignore_patterns("airflow", "bentoml", "gx", "logs")
    shutil.copytree(source, target, copy_function=copy, ignore=ignored)


def remove_what_comes_after(state: str, home: Settings) -> None:
    """Remove the files and records of later stages."""
    position = STATES.index(state)
    made = {
        "ingested": [home.raw, home.state / "lineage.json"],
        "validated": [home.validated, home.quarantine, home.state / "ledger.db"],
        "featurized": [home.features, home.price_list, home.state / "feast"],
        "trained": [home.state / "mlflow.db", home.state / "mlartifacts"],
        "refused": [home.report("gate")],
        "promoted": [home.report("promote"), home.bundle, home.bundles, home.challenger],
    }
    for later in STATES[position + 1 :]:
        for path in made[later]:
            remove(path)
    if state in ("validated", "featurized", "trained"):
        execute(home.state / "ledger.db", "delete from verdicts")
    if state in ("trained", "refused"):
        execute(home.state / "mlflow.db", "delete from registered_model_aliases")
    if state == "refused":
        refuse(home)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def refuse(home: Settings) -> None:
    """Turn the verdict of a home into a refusal of its first pair."""
    refusal = {"passed": False, "refusals": ["bias: too high"], "champion": {}}
    write_json(home.report("gate"), read_json(home.report("gate")) | refusal)
    execute(home.state / "ledger.db", "update verdicts set passed = 0")


def interrupt(folder: Path) -> None:
    """Add a finished home with what a killed process leaves: temporary and half-written files."""
    home = Settings(home=folder / "interrupted")
    copy_home(folder / "promoted", home.home)
    for path in (home.raw, home.validated, home.features, home.bundle):
        path.with_name(f".{path.name}.0123abcd.partial").mkdir()
    for name in CUT_SHORT:
        remove(home.state / name)  # a link: to write into it would change the other homes
        (home.state / name).parent.mkdir(exist_ok=True)
        (home.state / name).write_text('{"airflow": {"url"')


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def run(states, params, tmp_path, taken_port):
    """Run a command in a copy of a home. Returns its output, or the message of its error."""
    file = tmp_path / "params.yaml"
    content = params.model_dump(mode="json", by_alias=True)
    content["promote"]["build_bento"] = False
    file.write_text(yaml.safe_dump(content))

    def run_in(state: str, command: str, params: Path = file) -> str:
        home = tmp_path / "home"
        copy_home(states / state, home)
        environment = {"PRICEBOOK_HOME": str(home), "PRICEBOOK_PARAMS": str(params)}
        for server in ("AIRFLOW", "MLFLOW", "SERVICE"):  # so that `up` starts nothing
            environment[f"PRICEBOOK_{server}_PORT"] = str(taken_port)
        result = CliRunner().invoke(app, command.split(), env=environment)
        if isinstance(result.exception, PricebookError):
            assert "\n" not in str(result.exception)
            return str(result.exception)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return run_in


@pytest.mark.parametrize(("state", "command"), CASES)
def test_a_command_answers_with_a_result_or_one_line(run, state, command):
    assert "Traceback" not in run(state, command)


@pytest.mark.parametrize("command", ["ingest", "backtest", "elasticities"])
def test_a_missing_file_of_the_shop_is_one_line_that_names_it(run, tmp_path, command):
    shop = {"name": "shop", "source": "files", "files": {"orders": {"path": "orders.csv"}}}
    params = tmp_path / "other.yaml"
    params.write_text(yaml.safe_dump({"shop": shop}))
    assert "orders.csv" in run("empty", command, params=params)


@pytest.mark.parametrize(
    ("state", "command", "next_command"),
    [
        ("ingested", "featurize", "pricebook validate"),
        ("validated", "materialize", "pricebook featurize"),
        ("validated", "train demand", "pricebook featurize"),
        ("trained", "promote", "pricebook gate"),
        ("trained", "reproduce", "pricebook promote"),
        ("refused", "canary", "pricebook promote"),
    ],
)
def test_a_missing_input_names_the_command_that_makes_it(run, state, command, next_command):
    assert next_command in run(state, command)


def test_a_refused_pair_is_not_promoted(run):
    assert '"promoted": false' in run("refused", "promote")


@pytest.mark.parametrize(
    ("state", "prices"),
    [
        ("empty", "none, because there is no price book yet"),
        ("trained", "list prices, because no champion has been promoted"),
        ("promoted", "of the champion (demand v"),
    ],
)
def test_status_says_which_prices_are_quoted(run, state, prices):
    assert f"prices: {prices}" in run(state, "status")


def test_a_demo_with_a_refused_first_pair_says_what_to_do_next(states):
    settings, console = Settings(home=states / "refused"), Console(file=StringIO(), width=200)
    print_summary(console, settings, [], [], None)
    assert "There is no champion yet, so the price service quotes" in console.file.getvalue()


@pytest.mark.parametrize(
    ("command", "file"), [("promote", "reports/gate.json"), ("status", "servers.json")]
)
def test_a_half_written_file_is_named(run, command, file):
    assert f"{file} is damaged" in run("interrupted", command)


def test_a_taken_port_keeps_up_from_starting_anything(run, taken_port):
    message = run("promoted", "up")
    assert "another program uses the port" in message
    assert str(taken_port) in message
