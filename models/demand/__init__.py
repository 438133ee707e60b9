"""The demand forecast: one LSTM for all series, and the baselines it is compared with."""

from typing import Any


def _load_pyfunc(path: str) -> Any:
    """MLflow calls this to load a registered model (see `Registry.register`)."""
    from models.demand.model import load_registered

    return load_registered(path)
