"""Params (what a shop decides, in params.yaml) and Settings (where things are, in the environment).

Nothing else in the house reads either. Loading is explicit: importing this module reads nothing.
"""

from __future__ import annotations

import os
from datetime import date, datetime, time
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pricebook.errors import ConfigError

REPO_ROOT = Path(__file__).resolve().parent.parent


class Severity(StrEnum):
    """What a failing check does: stop the run, quarantine its rows, or only raise an alert."""

    CRITICAL = "critical"
    ROW = "row"
    WARNING = "warning"


class Section(BaseModel):
    """A section of params.yaml: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _known_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"not an IANA time zone, received: {name!r}")
    return name


Timezone = Annotated[str, AfterValidator(_known_timezone)]
Share = Annotated[float, Field(ge=0, le=1)]


class TableFile(Section):
    """How one of the shop's own files becomes a canonical table (the `files` source)."""

    path: str
    columns: dict[str, str] = Field(
        default_factory=dict, description="canonical column: the file's"
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="canonical column: a constant"
    )
    money: Literal["major", "minor"] = "major"
    timezone: Timezone | None = Field(None, description="of naive timestamps; the shop's if absent")
    decimal: Literal[".", ","] = Field(".", description="the decimal mark of numbers in text")
    timestamp_format: str | None = Field(
        None, description="strptime format of dates and times in text; ISO 8601 if absent"
    )


class Shop(Section):
    """Who the shop is, and the limits that are its own."""

    name: str
    source: Literal["complete_journey", "files"]
    timezone: Timezone = "UTC"
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    minor_digits: Annotated[int, Field(ge=0, le=4)] = 2
    grain: Literal["day", "week", "month"] = "week"
    by_zone: bool = Field(False, description="a series is a sku in a zone, not a sku")
    max_quantity: int | None = Field(None, description="the largest plausible quantity of a line")
    allow_returns: bool = False
    allow_free: bool = False
    exclude_departments: tuple[str, ...] = ()
    files: dict[str, TableFile] = Field(
        default_factory=dict, description="table: file (source: files)"
    )


class Ingest(Section):
    """What `ingest` reads."""

    sample: Share | None = Field(
        None, description="share of skus to keep, by stable hash; all if null"
    )


class Validate(Section):
    """How strict `validate` is."""

    quarantine_limit: Share = 0.05
    severities: dict[str, Severity] = Field(
        default_factory=dict, description="check name: the severity this shop gives it"
    )
    rows_per_batch: Annotated[int, Field(ge=1_000)] = 2_000_000
    sample_rows: Annotated[int, Field(ge=0, le=100)] = 5


class Featurize(Section):
    """Which series are modelled, and how much memory DuckDB may take."""

    min_periods: Annotated[int, Field(ge=1)] = Field(
        40, description="non-zero periods a series needs"
    )
    memory_limit: str = "1500MB"
    threads: Annotated[int, Field(ge=1)] = 2
    reference_periods: Annotated[int, Field(ge=1)] = 8


class Materialize(Section):
    """What `materialize` pushes to the online store."""

    active_periods: Annotated[int, Field(ge=1)] = Field(
        26, description="a shopper or sku idle for longer is not pushed"
    )


class Demand(Section):
    """The demand model: one global LSTM."""

    max_series: int | None = Field(
        500, description="train on this many series, by units; all if null"
    )
    context: Annotated[int, Field(ge=2)] = Field(32, description="periods the encoder reads")
    units: Annotated[int, Field(ge=1)] = 48
    epochs: Annotated[int, Field(ge=1)] = 24
    batch_size: Annotated[int, Field(ge=1)] = 256
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    quantiles: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


class Response(Section):
    """The price-response model: negative elasticities, shrunk to their category."""

    folds: Annotated[int, Field(ge=2)] = 8
    epochs: Annotated[int, Field(ge=1)] = 200
    learning_rate: Annotated[float, Field(gt=0)] = 1e-1
    min_sales_periods: Annotated[int, Field(ge=2)] = 8


class Train(Section):
    """What `train` fits."""

    seed: int = 7
    horizon: Annotated[int, Field(ge=1)] = 4
    demand: Demand = Demand()
    response: Response = Response()


class Gate(Section):
    """The margins a challenger must keep."""

    forecast_margin: Share = 0.02
    max_bias: Share = 0.15
    coverage_band: tuple[Share, Share] = (0.65, 0.95)
    profit_margin: Share = 0.005
    response_margin: Share = Field(0.02, description="of the champion's held-out price response")
    most_elastic: Annotated[float, Field(lt=0)] = Field(-8.0, description="beyond it: implausible")
    max_extreme: Share = Field(0.01, description="of the elasticities may lie beyond it")
    segment_margin: Share = 0.15
    export_tolerance: Annotated[float, Field(gt=0)] = 1e-4
    parity_sample: Annotated[int, Field(ge=1)] = 50


class Promote(Section):
    """What `promote` does once the gate has passed."""

    build_bento: bool = True


class Costs(Section):
    """Assumed margins where the shop gives no unit cost. No entry means: no cost, no floor."""

    assumed_margin: Share | None = None
    assumed_margin_by_department: dict[str, Share] = Field(default_factory=dict)


class Experiment(Section):
    """How traffic is split, by a stable hash of who asks; the rest is the champion's."""

    control: Share = Field(0.0, description="at the list price, to measure against")
    canary: Share = Field(0.0, description="priced by the challenger, while there is one")
    explore: Share = Field(0.0, description="at a rung drawn near the best, to learn from")
    shadow: bool = Field(False, description="the challenger prices every quote too, unserved")
    reach: Annotated[int, Field(ge=1, le=10)] = Field(2, description="rungs from the best, at most")
    temperature: Annotated[float, Field(gt=0)] = Field(
        0.5, description="of the draw: near 0 the best rung, high all alike"
    )
    salt: str = Field("", description="another one shuffles who is in which arm")

    @property
    def splits(self) -> bool:
        """Whether anybody is anywhere but in the champion's arm."""
        return self.control + self.canary + self.explore > 0

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        total = self.control + self.canary + self.explore
        if total > 1:
            raise ValueError(f"control, canary and explore exceed 1, received: {total}")
        return self


class Quote(Section):
    """The guardrails of a price."""

    min_margin: Share = Field(0.05, description="over unit cost; sets the floor")
    max_markdown: Share = Field(0.30, description="below list price, at most")
    max_step: Share = Field(0.15, description="from the usual (reference) price, at most")
    competitor_band: Share | None = Field(None, description="above the cheapest rival, at most")
    max_dispersion: Share = Field(
        0.10, description="of a personal offer below the public one, at most"
    )
    endings: tuple[int, ...] = Field((9,), description="last minor digit(s) a rung may end with")
    ttl_seconds: Annotated[int, Field(ge=1)] = 900
    consent_default: bool = False
    max_batch: Annotated[int, Field(ge=1)] = 1000
    experiment: Experiment = Experiment()


class Params(Section):
    """The whole of params.yaml, keyed by stage; `shop`, `costs` and `quote` serve several."""

    as_of: date | None = Field(
        None, description="the cut-off; the day after the last order if null"
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
        ConfigError: the file is absent, is not YAML, or a value in it is wrong.
    """
    try:
        return Params.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError:
        raise ConfigError(f"No params file. Received: {path}") from None
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"{path} is not YAML. Received: {told}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    return f"{where}: {problem['msg']}. Received: {problem['input']!r}"


def cutoff(as_of: date, timezone: str) -> datetime:
    """The instant a cut-off date begins at the shop, in UTC.

    >>> cutoff(date(2018, 1, 1), "America/New_York").isoformat()
    '2018-01-01T05:00:00+00:00'
    """
    local = datetime.combine(as_of, time.min, tzinfo=ZoneInfo(timezone))
    return local.astimezone(ZoneInfo("UTC"))


class Settings(BaseSettings):
    """Where things are, from PRICEBOOK_* variables; every default is embedded and on loopback."""

    model_config = SettingsConfigDict(env_prefix="PRICEBOOK_", frozen=True, extra="ignore")

    home: Path = REPO_ROOT
    params: Path = REPO_ROOT / "params.yaml"
    host: str = "127.0.0.1"
    airflow_port: int = 8080
    service_port: int = 3000
    mlflow_port: int = 5000
    service_workers: int = Field(
        default_factory=lambda: min(2, os.cpu_count() or 1),
        ge=1,
        description="one that dies leaves another answering",
    )
    mlflow_url: str | None = None
    ledger_url: str | None = None
    airflow_database_url: str | None = None
    feast_registry_url: str | None = None
    redis_url: str | None = None
    signing_key: str | None = Field(None, repr=False, description="of quotes; made on first use")

    @cached_property
    def data(self) -> Path:
        return self.home.resolve() / "data"

    @cached_property
    def state(self) -> Path:
        return self.home.resolve() / ".pricebook"

    @property
    def raw(self) -> Path:
        return self.data / "raw"

    @property
    def validated(self) -> Path:
        return self.data / "validated"

    @property
    def quarantine(self) -> Path:
        return self.data / "quarantine"

    @property
    def features(self) -> Path:
        return self.data / "features"

    @property
    def bundle(self) -> Path:
        """The champion as the service reads it; replaced whole by `promote`."""
        return self.state / "champion"

    @property
    def bundles(self) -> Path:
        """The bundles promoted lately, each under its verdict's id and a digest of it."""
        return self.state / "bundles"

    @property
    def challenger(self) -> Path:
        """The challenger of the canary arm and the shadow, as a bundle."""
        return self.state / "challenger"

    @property
    def quote_log(self) -> Path:
        return self.state / "quote_log"

    @property
    def kill_switch(self) -> Path:
        """While this file is there everything sells at its list price; it says why."""
        return self.state / "kill_switch"

    def report(self, stage: str) -> Path:
        """What a stage last returned, as JSON."""
        return self.state / "reports" / f"{stage}.json"

    @property
    def ledger(self) -> str:
        return self.ledger_url or f"sqlite:///{self.state / 'ledger.db'}"

    @property
    def mlflow(self) -> str:
        return self.mlflow_url or f"sqlite:///{self.state / 'mlflow.db'}"
