"""## retrain: features become a champion

`train` (demand and response side by side) → `gate` → `promote`

| task | does |
|---|---|
| train | fits a model, measures it on the held-out periods, registers it |
| gate | compares the pair with the champion; the verdict lists every check with its figures |
| promote | makes the pair the champion, and the running service swaps to it |

Nothing is retried: the same data and seed give the same model. A refusal is not a failure:
`promote` is skipped, its log says why, and the champion stays.
`pricebook verdicts` prints the verdicts; rolling back is promoting the pair before.

It follows **refresh** whenever the asset **features** is fresh, if this DAG is not paused. To
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
    """Fit one model. Gives its name, version, MLflow run and metrics."""
    from pipelines.train import train

    if model not in form()["models"]:
        raise AirflowSkipException(f"The form leaves {model} out; the champion's is used.")
    with stage(retrain_inputs) as (as_of, params, settings):
        return train(model, as_of, params, settings)


@task(trigger_rule="none_failed_min_one_success")
def gate(trained: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Judge the pair against the champion. Gives the verdict, check by check."""
    from pipelines.gate import gate

    versions = {one["model"]: one["version"] for one in trained if one}
    with stage(retrain_inputs) as (as_of, params, settings):
        return gate(as_of, params, settings, versions)


@task(outlets=[Asset("champion")])
def promote(verdict: dict[str, Any]) -> dict[str, Any]:
    """Make the pair the champion, unless the gate refused it or this is a dry run."""
    from pipelines.promote import promote

    if not form()["promote"]:
        raise AirflowSkipException(f"A dry run. The gate's word: {verdict['refusals'] or 'passed'}")
    with stage(retrain_inputs) as (_, params, settings):
        report = promote(verdict, params, settings)
    if not report["promoted"]:
        raise AirflowSkipException(f"The champion stays. {' '.join(verdict['refusals'])}")
    return report


@dag(
    schedule=[Asset("features")],
    params=retrain_form(),
    doc_md=__doc__,
    tags=["pricebook"],
    max_active_runs=1,
)
def retrain() -> None:
    """Features become a champion."""
    with TaskGroup("train", tooltip="demand and response side by side"):
        trained = [train.override(task_id=model)(model) for model in MODELS]
    promote(gate(trained))


retrain()
