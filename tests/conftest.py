"""Homes that many tests share: a small part of the default shop, and a made-up kiosk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result
from xdist.scheduler import LoadFileScheduling

from pricebook.config import REPO_ROOT, Params, Settings, load_params

AS_OF = date(2018, 1, 1)
SKUS, ZONES, WEEKS, ELASTICITY = 8, ("north", "south"), 60, -2.0


CHAMPION_FILES = {
    *("test_champion.py", "test_gate.py", "test_predictions.py", "test_replay.py"),
    *("test_reproduce.py", "test_home_states.py", "test_frontier.py"),
}


class ByFixture(LoadFileScheduling):
    """Runs the tests of a file in one process, and all files that need `promoted` in the same one.

    The home of `promoted` takes longest to make, and its tests change it.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "champion" if Path(file).name in CHAMPION_FILES else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFixture:
    return ByFixture(config, log)


@pytest.fixture(scope="session")
def params() -> Params:
    """The default shop with 2 % of its skus and short trainings."""
    default = load_params(REPO_ROOT / "params.yaml")
    demand = default.train.demand.model_copy(update={"epochs": 12})
    response = default.train.response.model_copy(update={"epochs": 60})
    train = default.train.model_copy(update={"demand": demand, "response": response})
    ingest = default.ingest.model_copy(update={"sample": 0.02})
    return default.model_copy(update={"train": train, "ingest": ingest})


@pytest.fixture(scope="session")
def featured(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Settings:
    """A home in which `refresh` has run."""
    from pipelines.featurize import featurize
    from pipelines.ingest import ingest
    from pipelines.materialize import materialize
    from pipelines.validate import validate

    settings = Settings(home=tmp_path_factory.mktemp("home"))
    for stage in (ingest, validate, featurize, materialize):
        stage(AS_OF, params, settings)
    return settings


@pytest.fixture(scope="session")
def promoted(featured: Settings, params: Params) -> Iterator[Settings]:
    """The same home after `retrain`: it has a champion and a Bento."""
    from pipelines.gate import challengers, gate
    from pipelines.promote import promote
    from pipelines.train import train

    for model in ("demand", "response"):
        train(model, AS_OF, params, featured)
    verdict = gate(AS_OF, params, featured, challengers(featured))
    assert verdict["passed"], verdict["refusals"]
    promote(verdict, params, featured)
    yield featured


@pytest.fixture(scope="session")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a made-up shop with two zones: its orders, products and params."""
    home = tmp_path_factory.mktemp("kiosk")
    _orders().to_parquet(home / "orders.parquet")
    skus = pd.DataFrame({"sku": [f"sku{n}" for n in range(SKUS)], "category": ["tea", "jam"] * 4})
    skus.to_parquet(home / "products.parquet")
    files = {name: {"path": f"{name}.parquet", "money": "minor"} for name in ("orders", "products")}
    params = {
        "as_of": "2025-02-24",
        "shop": {"name": "kiosk", "source": "files", "by_zone": True, "files": files},
        "featurize": {"min_periods": 20},
        "train": {
            "demand": {"context": 8, "units": 8, "epochs": 4, "learning_rate": 0.01},
            "response": {"epochs": 60},
        },
    }
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    return home


def _orders() -> pd.DataFrame:
    """One order line per sku, zone and week with sales. The price elasticity is ELASTICITY."""
    random = np.random.default_rng(3)
    keys = pd.MultiIndex.from_product([range(SKUS), ZONES, range(WEEKS)])
    sku, zone, week = (keys.get_level_values(level) for level in range(3))
    ratio = np.where(random.random(len(keys)) < 0.3, 0.8, 1.0) * random.lognormal(
        0, 0.05, len(keys)
    )
    units = random.poisson((8 + 3 * sku) * ratio**ELASTICITY)
    lines = pd.DataFrame(
        {
            "order_id": [f"{z}-{s}-{w}" for s, z, w in keys],
            "ordered_at": pd.Timestamp("2024-01-01 12:00", tz="UTC")
            + pd.to_timedelta(7 * week, "D"),
            "sku": [f"sku{number}" for number in sku],
            "zone": zone,
            "quantity": units,
            "net_amount": np.rint((300 + 100 * sku) * ratio).astype(int) * units,
        }
    )
    return lines[lines["quantity"] > 0]


@pytest.fixture(scope="session")
def pricebook(kiosk: Path) -> Callable[..., Result]:
    """Runs a `pricebook` command in the kiosk, or with its params in another home."""
    from cli.main import app

    # DVC's logger keeps the first stream it gets, and CliRunner closes the streams it makes.
    import_module("dvc")

    def run(*words: str, home: Path = kiosk, params: Path = kiosk / "params.yaml") -> Result:
        environment = {"PRICEBOOK_HOME": str(home), "PRICEBOOK_PARAMS": str(params)}
        return CliRunner().invoke(app, words, env=environment)

    return run
