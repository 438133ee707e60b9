"""What all tasks share: the inputs of a stage from the form, and readable errors."""

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

# For stages that use sources or stores outside this machine. Retrying a failed check is no use.
RETRIES: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=15)}


def form() -> dict[str, Any]:
    """The values of the trigger form of this run."""
    return dict(get_current_context()["params"])


def run_id() -> str:
    """The name of this run; its alerts show it."""
    return str(get_current_context()["run_id"])


@contextmanager
def stage(
    inputs: Callable[[Mapping[str, Any], Settings], Inputs],
) -> Iterator[Inputs]:
    """Yield (as_of, params, settings) of this run.

    A PricebookError fails the task without a retry, because the next try would fail the same way.

    Args:
        inputs: `refresh_inputs` or `retrain_inputs`.
    """
    _quiet()
    try:
        yield inputs(form(), Settings())
    except PricebookError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error


def _quiet() -> None:
    """Keep the log of the task to messages of the stage, without those of its libraries."""
    for name in ("alembic", "feast", "great_expectations", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.simplefilter("ignore", DeprecationWarning)
