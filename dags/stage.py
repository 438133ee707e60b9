"""What every task shares: the form turned into a stage's inputs, and errors made for people."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from pipelines.inputs import Inputs
from pricebook.config import Settings
from pricebook.errors import PricebookError

# For stages that read or write outside this machine. A failed check or a refused model fails again.
RETRIES: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=15)}


def form() -> dict[str, Any]:
    """The trigger form of this run, as filled in."""
    return dict(get_current_context()["params"])


def run_id() -> str:
    """The name of this run, for the alerts it raises."""
    return str(get_current_context()["run_id"])


@contextmanager
def stage(
    inputs: Callable[[Mapping[str, Any], Settings], Inputs],
) -> Iterator[Inputs]:
    """Yield (as_of, params, settings) of this run, by `refresh_inputs` or `retrain_inputs`.

    A PricebookError ends the task at once: its cause is known, so a retry would not help.
    """
    _quiet()
    try:
        yield inputs(form(), Settings())
    except PricebookError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


def _quiet() -> None:
    """Leave the story of the stage in the log, and out of it what libraries tell themselves."""
    for name in ("alembic", "feast", "great_expectations", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.simplefilter("ignore", DeprecationWarning)
