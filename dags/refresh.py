"""## refresh: a shop's tables become features

`ingest` → `validate` → `featurize` → `materialize`

| task | reads | writes |
|---|---|---|
| ingest | the shop's source | `data/raw` |
| validate | `data/raw` | `data/validated`, `data/quarantine`, alerts |
| featurize | `data/validated` | `data/features` |
| materialize | `data/features` | the online store |

`ingest` and `materialize` are tried twice more: a source or a store may be away for a moment.
Anything Pricebook itself refuses (a critical check, too many bad rows, a wrong setting) fails at
once, and the last line of the task's log names the cause.

When it ends, the asset **features** is fresh, and **retrain** follows if it is not paused.
Every stage reads only what happened before *as of*, so running a day again changes nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, dag, task

from dags.form import refresh_form
from dags.stage import RETRIES, run_id, stage
from pipelines.inputs import refresh_inputs


@task(**RETRIES)
def ingest() -> dict[str, int]:
    """Read the shop's tables as they were before the cut-off. Gives the rows of each."""
    from pipelines.ingest import ingest

    with stage(refresh_inputs) as (as_of, params, settings):
        return ingest(as_of, params, settings)


@task
def validate() -> dict[str, Any]:
    """Check every row against the contract. Bad rows are quarantined, every failure is an alert."""
    from pipelines.validate import validate

    with stage(refresh_inputs) as (as_of, params, settings):
        return validate(as_of, params, settings, run=run_id())


@task
def featurize() -> dict[str, int]:
    """Build point-in-time features from the validated rows. Gives the rows of each table."""
    from pipelines.featurize import featurize

    with stage(refresh_inputs) as (as_of, params, settings):
        return featurize(as_of, params, settings)


@task(**RETRIES, outlets=[Asset("features")])
def materialize() -> dict[str, int]:
    """Push the newest features to the online store. Gives the keys of each view."""
    from pipelines.materialize import materialize

    with stage(refresh_inputs) as (as_of, params, settings):
        return materialize(as_of, params, settings)


@dag(params=refresh_form(), doc_md=__doc__, tags=["pricebook"], max_active_runs=1)
def refresh() -> None:
    """A shop's tables become features."""
    ingest() >> validate() >> featurize() >> materialize()


refresh()
