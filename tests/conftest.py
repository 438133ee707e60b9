"""A shop's home on a small real slice, built once: through the real stages, down to a champion."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from pricebook.config import REPO_ROOT, Params, Settings, load_params

AS_OF = date(2018, 1, 1)


@pytest.fixture(scope="session")
def params() -> Params:
    """The default shop, on a fiftieth of its skus, with short trainings."""
    whole = load_params(REPO_ROOT / "params.yaml")
    demand = whole.train.demand.model_copy(update={"epochs": 12})
    response = whole.train.response.model_copy(update={"epochs": 60})
    train = whole.train.model_copy(update={"demand": demand, "response": response})
    ingest = whole.ingest.model_copy(update={"sample": 0.02})
    return whole.model_copy(update={"train": train, "ingest": ingest})


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
