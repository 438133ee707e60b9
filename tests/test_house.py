"""The rules of the code base: a stage has one name everywhere, imports are light, folders small."""

import ast
import importlib
import subprocess
import sys

import grimp
import pytest
import yaml

from pricebook.config import REPO_ROOT, Params

FOLDERS = ("dags", "plugins", "cli", "pipelines", "models", "serving", "ledger", "pricebook")
STAGES = ("ingest", "validate", "featurize", "materialize", "train", "gate", "promote")


def _dag_tasks() -> set[str]:
    files = (REPO_ROOT / "dags" / "refresh.py", REPO_ROOT / "dags" / "retrain.py")
    nodes = [node for file in files for node in ast.parse(file.read_text()).body]
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_one_name_everywhere(stage):
    assert callable(getattr(importlib.import_module(f"pipelines.{stage}"), stage))
    assert stage in yaml.safe_load((REPO_ROOT / "dvc.yaml").read_text())["stages"]
    assert stage in _dag_tasks()
    assert stage in {command.callback.__name__ for command in _commands()}
    assert stage in {field.alias or name for name, field in Params.model_fields.items()}


def _commands():
    from cli.main import app

    return app.registered_commands


def test_the_params_file_is_keyed_by_stage():
    assert set(STAGES) <= yaml.safe_load((REPO_ROOT / "params.yaml").read_text()).keys()


@pytest.mark.parametrize(
    "module", ["cli.main", "pipelines.train", "pipelines.gate", "pipelines.promote"]
)
def test_importing_a_module_loads_no_heavy_framework(module):
    heavy = ("tensorflow", "great_expectations", "feast", "mlflow", "dvc", "airflow", "bentoml")
    code = f"import {module}, sys; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_lock_names_no_package_registry():
    assert "http" not in "".join(
        line for line in (REPO_ROOT / "requirements.lock").open() if line.startswith("-")
    )


def test_no_folder_holds_more_than_twelve_files():
    paths = [path for name in FOLDERS for path in (REPO_ROOT / name).rglob("*.py")]
    folders = [path.parent for path in paths if path.name != "__init__.py"]
    assert {folder for folder in folders if folders.count(folder) > 12} == set()


def test_no_two_files_import_each_other():
    graph = grimp.build_graph(*FOLDERS, cache_dir=None)
    pairs = {
        (module, other)
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
        if module in graph.find_modules_directly_imported_by(other)
    }
    assert pairs == set()
