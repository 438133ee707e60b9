"""A model with a number that is not finite is not registered."""

import shutil
from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from models.registry import Registry
from pipelines.evaluation import finite
from pipelines.train import train
from pricebook.config import Settings, load_params
from pricebook.errors import RegistryError, TrainingError

AS_OF = date(2025, 2, 24)


def test_a_loss_is_named_with_its_epoch():
    finite.check_losses("demand", 3, {"loss": 0.5})
    with pytest.raises(TrainingError, match=r"demand model in epoch 3.*Received: loss nan"):
        finite.check_losses("demand", 3, {"mean_loss": 1.0, "loss": float("nan")})


def test_a_metric_is_named():
    finite.check_metrics("demand", {"wape": 0.3})
    with pytest.raises(TrainingError, match=r"metric of the demand model.*Received: wape inf"):
        finite.check_metrics("demand", {"wape": float("inf")})


def test_a_weight_is_named_by_its_path():
    bad = np.array([0.0, np.nan])
    weights = [
        SimpleNamespace(path="network/level/bias", value=SimpleNamespace(numpy=lambda: bad[:1])),
        SimpleNamespace(path="network/level/kernel", value=SimpleNamespace(numpy=lambda: bad)),
    ]
    finite.check_weights("demand", SimpleNamespace(weights=weights[:1]))
    with pytest.raises(TrainingError, match="Received: network/level/kernel"):
        finite.check_weights("demand", SimpleNamespace(weights=weights))


def test_a_number_of_a_table_is_named_by_its_row():
    table = pd.DataFrame(
        {
            "sku": ["tea", "jam"],
            "zone": "north",
            "period": pd.to_datetime(["2025-01-06", "2025-01-13"]),
            "mean": [1.0, np.nan],
        }
    )
    key = ["sku", "zone", "period"]
    finite.check_table("forecast", table.head(1), key)
    message = "mean of sku jam, zone north, period 2025-01-13; 1 of 2 rows"
    with pytest.raises(TrainingError, match=message):
        finite.check_table("forecast", table, key)


@pytest.fixture(scope="module")
def home(kiosk, pricebook, tmp_path_factory) -> Settings:
    """A featurized copy of the kiosk."""
    folder = tmp_path_factory.mktemp("finite") / "home"
    shutil.copytree(kiosk, folder, ignore=shutil.ignore_patterns("data", ".*"))
    for stage in ("ingest", "validate", "featurize"):
        assert pricebook(stage, home=folder).exit_code == 0
    return Settings(home=folder)


def _break_weights(monkeypatch, module, layer: str) -> None:
    """Make the fit of a model return a network with NaN in one layer."""
    fit = module.fit

    def broken(*args, **options):
        model = fit(*args, **options)
        network = getattr(model, "network", None) or model.keras
        weights = [
            np.full_like(weight, np.nan) for weight in network.get_layer(layer).get_weights()
        ]
        network.get_layer(layer).set_weights(weights)
        return model

    monkeypatch.setattr(module, "fit", broken)


@pytest.mark.parametrize(("name", "layer"), [("demand", "level"), ("response", "sku")])
def test_a_model_with_weights_that_are_not_finite_is_not_registered(
    home, kiosk, monkeypatch, name, layer
):
    from models.demand import model as demand
    from models.response import model as response

    _break_weights(monkeypatch, {"demand": demand, "response": response}[name], layer)
    params = load_params(kiosk / "params.yaml")
    with pytest.raises(TrainingError, match=f"A weight of the {name} model is not finite"):
        train(name, AS_OF, params, home)
    with pytest.raises(RegistryError, match=f"Train the {name} model first"):
        Registry(home).newest(name)


def test_a_loss_that_is_not_finite_stops_the_training(home, kiosk, monkeypatch):
    from models.response import model as response

    def diverge(panel, segments, params, seed, on_epoch):
        on_epoch(4, {"loss": float("nan")})

    monkeypatch.setattr(response, "fit", diverge)
    with pytest.raises(TrainingError, match="A loss of the response model in epoch 4"):
        train("response", AS_OF, load_params(kiosk / "params.yaml"), home)
