"""The price response: elasticities of each sku, shopper segment and pair of substitutes."""

from typing import Any


def _load_pyfunc(path: str) -> Any:
    """MLflow calls this to load a registered model (`models.registry` names this module)."""
    from models.response.model import load_registered

    return load_registered(path)
