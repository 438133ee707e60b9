"""Settings: where files and servers are, from PRICEBOOK_* environment variables."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

REPO_ROOT = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """Where files and servers are. By default everything is in the home and on loopback."""

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
        description="with two, one answers while the other restarts",
    )
    mlflow_url: str | None = None
    ledger_url: str | None = None
    airflow_database_url: str | None = None
    feast_registry_url: str | None = None
    redis_url: str | None = None
    signing_key: str | None = Field(
        None, repr=False, description="signs quotes; default: a file in the home"
    )

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
        """The champion's bundle, which the service reads. `promote` replaces the whole folder."""
        return self.state / "champion"

    @property
    def price_list(self) -> Path:
        """A bundle without models: the service quotes its list prices until there is a champion."""
        return self.state / "price_list"

    @property
    def bundles(self) -> Path:
        """The last promoted bundles, each in a folder named by its verdict's id and a digest."""
        return self.state / "bundles"

    @property
    def challenger(self) -> Path:
        """The bundle of the challenger, for the canary arm and the shadow."""
        return self.state / "challenger"

    @property
    def quote_log(self) -> Path:
        return self.state / "quote_log"

    @property
    def public_prices(self) -> Path:
        """The history of public prices, a summary of the quote log (`ledger.public_prices`)."""
        return self.state / "public_prices"

    @property
    def kill_switch(self) -> Path:
        """While this file exists, every quote is the list price. It contains the reason."""
        return self.state / "kill_switch"

    def report(self, stage: str) -> Path:
        """The last result of a stage, as JSON."""
        return self.state / "reports" / f"{stage}.json"

    @property
    def ledger(self) -> str:
        return self.ledger_url or f"sqlite:///{self.state / 'ledger.db'}"

    @property
    def mlflow(self) -> str:
        return self.mlflow_url or f"sqlite:///{self.state / 'mlflow.db'}"
