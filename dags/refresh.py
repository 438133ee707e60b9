"""## refresh: from the tables of a shop to features

`ingest` → `validate` → `featurize` → `materialize`

| task | reads | writes |
|---|---|---|
| ingest | the shop's source | `data/raw` |
| validate | `data/raw` | `data/validated`, `data/quarantine`, alerts |
| featurize | `data/validated` | `data/features` |
| materialize | `data/features` | the online store, the price list |

`ingest` and `materialize` are retried twice, because a source or a store may be unavailable for a
moment. An error that Pricebook raises itself (a critical check, too many bad rows, a wrong setting)
fails at once. The last line of the task's log names the cause.

A run updates the asset **features**, which starts **retrain** if that DAG is not paused. Every
stage reads only data from before *as of*, so running a day again changes nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, dag, task

from dags.form import refresh_form
from dags.stage import RETRIES, run_id, stage
from pipelines.inputs import refresh_inputs


@task(**RETRIES)
def ingest() -> dict[str, int]:
    """Read the tables of the shop up to the cut-off. Returns the rows of each."""
    from pipelines.ingest import ingest

    with stage(refresh_inputs) as (as_of, params, settings):
        return ingest(as_of, params, settings)


@task
def validate() -> dict[str, Any]:
    """Check every row against the contract. Quarantines bad rows and raises alerts."""
    from pipelines.validate import validate

    with stage(refresh_inputs) as (as_of, params, settings):
        return validate(as_of, params, settings, run=run_id())


@task
def featurize() -> dict[str, int]:
    """Build point-in-time features from the validated rows. Returns the rows of each file."""
    from pipelines.featurize import featurize

    with stage(refresh_inputs) as (as_of, params, settings):
        return featurize(as_of, params, settings)


@task(**RETRIES, outlets=[Asset("features")])
def materialize() -> dict[str, int]:
    """Push the latest features to the online store. Returns the keys of each view."""
    from pipelines.materialize import materialize

    with stage(refresh_inputs) as (as_of, params, settings):
        return materialize(as_of, params, settings)


@dag(params=refresh_form(), doc_md=__doc__, tags=["pricebook"], max_active_runs=1)
def refresh() -> None:
    """From the tables of a shop to features."""
    ingest() >> validate() >> featurize() >> materialize()


refresh()
