"""The DAGs are thin, quick to parse, and have a documented trigger form."""

import json
import os
import subprocess
import sys
from datetime import date

import pytest

from pipelines.inputs import apply_form, refresh_inputs, retrain_inputs
from pricebook.config import REPO_ROOT, Settings, load_params
from pricebook.errors import ConfigError, EmptyHistory
from pricebook.files import write_json

HEAVY = ["tensorflow", "keras", "great_expectations", "feast", "mlflow", "dvc", "bentoml", "pandas"]

PARSE = f"""
import json, re, sys, time
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag

found = {{}}
for name in ("refresh", "retrain"):
    began = time.perf_counter()
    bag = DagBag({str(REPO_ROOT / "dags")!r} + f"/{{name}}.py")
    seconds = time.perf_counter() - began
    dag = bag.dags.get(name)
    found[name] = {{
        "seconds": seconds,
        "errors": bag.import_errors,
        "doc": dag.doc_md,
        "edges": {{task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}},
        "retries": {{task.task_id: task.retries for task in dag.tasks}},
        "outlets": {{task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks}},
        "form": {{key: dict(field.schema, description=field.description)
                 for key, field in ((key, dag.params.get_param(key)) for key in dag.params)}},
        "follows": re.findall(r"Asset\\(name='(\\w+)'", repr(vars(dag)["schedule"])),
    }}
found["heavy"] = [name for name in {HEAVY!r} if name in sys.modules]
print("FOUND" + json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """Both DAGs, as Airflow parses them in another process."""
    home = tmp_path_factory.mktemp("airflow")
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        env=env,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.split("FOUND")[1])


@pytest.mark.parametrize("dag", ["refresh", "retrain"])
def test_a_dag_is_parsed_without_errors_in_under_a_second(parsed, dag):
    assert parsed[dag]["errors"] == {}
    assert parsed[dag]["seconds"] < 1


def test_parsing_imports_no_heavy_framework(parsed):
    assert parsed["heavy"] == []


def test_refresh_runs_its_stages_in_order(parsed):
    assert parsed["refresh"]["edges"] == {
        "ingest": ["validate"],
        "validate": ["featurize"],
        "featurize": ["materialize"],
        "materialize": [],
    }


def test_retrain_runs_train_then_gate_then_promote(parsed):
    assert parsed["retrain"]["edges"] == {
        "train.demand": ["gate"],
        "train.response": ["gate"],
        "gate": ["promote"],
        "promote": [],
    }


def test_only_tasks_that_use_the_network_are_retried(parsed):
    retries = parsed["refresh"]["retries"] | parsed["retrain"]["retries"]
    assert {task for task, count in retries.items() if count} == {"ingest", "materialize"}


def test_retrain_is_scheduled_on_fresh_features(parsed):
    assert parsed["refresh"]["outlets"]["materialize"] == parsed["retrain"]["follows"]
    assert parsed["retrain"]["follows"] == ["features"]


@pytest.mark.parametrize("dag", ["refresh", "retrain"])
def test_every_field_of_the_form_is_described_and_in_a_section(parsed, dag):
    form = parsed[dag]["form"]
    assert len({field["section"] for field in form.values()}) > 1
    assert all(field["description"] and field["title"] for field in form.values())


@pytest.mark.parametrize("dag", ["refresh", "retrain"])
def test_the_description_of_a_dag_names_every_task(parsed, dag):
    assert all(f"`{task.split('.')[0]}`" in parsed[dag]["doc"] for task in parsed[dag]["edges"])


@pytest.mark.parametrize("dag", ["refresh", "retrain"])
def test_a_dag_file_has_fewer_than_ninety_lines(dag):
    assert len((REPO_ROOT / "dags" / f"{dag}.py").read_text().splitlines()) < 90


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def test_an_empty_form_changes_nothing():
    params = load_params(REPO_ROOT / "params.yaml")
    assert apply_form({"sample": None, "as_of": None, "promote": True}, params) == params


def test_a_filled_field_replaces_the_value_of_params():
    params = load_params(REPO_ROOT / "params.yaml")
    form = {"sample": 0.5, "quarantine_limit": 0.1, "seed": 3}
    changed = apply_form(form | {"demand_epochs": 2, "response_epochs": 9}, params)
    assert (changed.ingest.sample, changed.validate_.quarantine_limit) == (0.5, 0.1)
    assert (changed.train.seed, changed.train.demand.epochs) == (3, 2)
    assert changed.train.response.epochs == 9


def test_a_value_out_of_range_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"train\.demand\.epochs.*Received: 0"):
        apply_form({"demand_epochs": 0}, load_params(REPO_ROOT / "params.yaml"))


def test_refresh_uses_the_cutoff_of_the_form(settings):
    assert refresh_inputs({"as_of": "2017-06-01"}, settings)[0] == date(2017, 6, 1)
    assert refresh_inputs({"as_of": None}, settings)[0] == date(2018, 1, 1)


def test_an_invalid_day_is_an_error_that_names_it(settings):
    with pytest.raises(ConfigError, match="Received: '2017-13-01'"):
        refresh_inputs({"as_of": "2017-13-01"}, settings)


def test_retrain_uses_the_cutoff_of_the_features(settings):
    write_json(settings.features / "manifest.json", {"as_of": "2017-07-01"})
    assert retrain_inputs({"as_of": None}, settings)[0] == date(2017, 7, 1)


def test_retrain_without_features_is_an_error_that_says_to_refresh(settings):
    with pytest.raises(EmptyHistory, match="Run `refresh` first"):
        retrain_inputs({}, settings)
