"""## retrain: from features to a champion

`train` (demand and response in parallel) → `gate` → `promote`

| task | does |
|---|---|
| train | fits a model, evaluates it on the held-out periods and registers it |
| gate | compares the pair of models with the champion; the verdict lists every check |
| promote | makes the pair the champion; the running service swaps to it |

Tasks are not retried, because the same data and seed give the same model. If the gate refuses the
pair, `promote` is skipped, its log says why and what to do next, and the champion stays. Without a
champion the service quotes list prices meanwhile. `pricebook verdicts` prints the verdicts, and
`pricebook rollback` returns to the previous champion.

A run of **refresh** updates the asset **features**, which starts this DAG if it is not paused. To
train by hand only, leave it paused and tick *Unpause* on the form, or pause it again afterwards.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, TaskGroup, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.form import MODELS, retrain_form
from dags.stage import form, stage
from pipelines.inputs import retrain_inputs


@task
def train(model: str) -> dict[str, Any]:
    """Fit one model. Returns its name, version, MLflow run and metrics."""
    from pipelines.train import train

    if model not in form()["models"]:
        raise AirflowSkipException(f"{model} is not selected in the form; the champion's is used.")
    with stage(retrain_inputs) as (as_of, params, settings):
        return train(model, as_of, params, settings)


@task(trigger_rule="none_failed_min_one_success")
def gate(trained: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Compare the pair with the champion. Returns the verdict with every check."""
    from pipelines.gate import gate

    versions = {report["model"]: report["version"] for report in trained if report}
    with stage(retrain_inputs) as (as_of, params, settings):
        return gate(as_of, params, settings, versions)


@task(outlets=[Asset("champion")])
def promote(verdict: dict[str, Any]) -> dict[str, Any]:
    """Make the pair the champion, unless the gate refused it or this is a dry run."""
    from pipelines.promote import promote

    if not form()["promote"]:
        refusals = " ".join(verdict["refusals"])
        raise AirflowSkipException(f"A dry run. Verdict of the gate: {refusals or 'passed'}")
    with stage(retrain_inputs) as (_, params, settings):
        report = promote(verdict, params, settings)
    if not report["promoted"]:
        refusals = " ".join(report["refusals"])
        raise AirflowSkipException(f"Refused: {refusals} {report['next_step']}")
    return report


@dag(
    schedule=[Asset("features")],
    params=retrain_form(),
    doc_md=__doc__,
    tags=["pricebook"],
    max_active_runs=1,
)
def retrain() -> None:
    """From features to a champion."""
    with TaskGroup("train", tooltip="demand and response in parallel"):
        trained = [train.override(task_id=model)(model) for model in MODELS]
    promote(gate(trained))


retrain()
