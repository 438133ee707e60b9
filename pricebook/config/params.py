"""Params: the whole of params.yaml."""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, ValidationError

from pricebook.config.section import Section
from pricebook.config.shop import Costs, Shop
from pricebook.config.stages import (
    Featurize,
    Gate,
    Ingest,
    Materialize,
    Objective,
    Promote,
    Quote,
    Train,
    Validate,
)
from pricebook.errors import ConfigError


class Params(Section):
    """The content of params.yaml: a section per stage, and `shop`, `costs` and `quote` for all."""

    as_of: date | None = Field(
        None, description="the cut-off; default: the day after the last order"
    )
    objective: Objective = Field(
        "calibrated",
        description="what a price is chosen for: calibrated, profit, volume, revenue, or the "
        "long-run term itself: a number, or a number for each department",
    )
    shop: Shop
    costs: Costs = Costs()
    ingest: Ingest = Ingest()
    validate_: Validate = Field(Validate(), alias="validate")
    featurize: Featurize = Featurize()
    materialize: Materialize = Materialize()
    train: Train = Train()
    gate: Gate = Gate()
    promote: Promote = Promote()
    quote: Quote = Quote()


def load_params(path: Path) -> Params:
    """Read a params.yaml.

    Raises:
        ConfigError: the file does not exist, is not YAML, or holds a wrong value.
    """
    try:
        return Params.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise ConfigError(f"No params file. Received: {path}") from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"{path} is not YAML. Received: {problem}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_problem(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    return f"{where}: {problem['msg']}. Received: {problem['input']!r}"


def cutoff(as_of: date, timezone: str) -> datetime:
    """The UTC instant at which a cut-off date begins at the shop.

    >>> cutoff(date(2018, 1, 1), "America/New_York").isoformat()
    '2018-01-01T05:00:00+00:00'
    """
    local = datetime.combine(as_of, time.min, tzinfo=ZoneInfo(timezone))
    return local.astimezone(ZoneInfo("UTC"))
