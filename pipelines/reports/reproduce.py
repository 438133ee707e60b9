"""reproduce: train a registered pair again from its recorded data, and compare every metric."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import lineage
from pipelines.train import fit
from pricebook.config import Params, Settings
from pricebook.errors import LineageError, RegistryError

if TYPE_CHECKING:
    from models.registry import Registry

log = logging.getLogger("pricebook.reproduce")


@dataclass(frozen=True)
class Comparison:
    """A recorded metric and the same metric of the second training."""

    model: str
    metric: str
    recorded: float
    again: float

    @property
    def equal(self) -> bool:
        return self.recorded == self.again


def reproduce(alias: str, settings: Settings) -> list[Comparison]:
    """Train the pair under `alias` again and compare every held-out metric.

    Raises:
        LineageError: a data file of this home or of the recorded version is altered or lost, or the
            training recorded no data version.
        RegistryError: no pair has this alias.
    """
    from models.registry import Registry

    registry = Registry(settings)
    pair = registry.aliased(alias)
    if not pair:
        raise RegistryError(
            f"No pair of models has this alias. Run `pricebook promote`. Received: {alias!r}"
        )
    _verify_home(settings)
    return [row for name in pair for row in _train_again(name, pair[name], registry, settings)]


def _verify_home(settings: Settings) -> None:
    for folder, version in lineage.versions(settings).items():
        lineage.verify(settings.data / folder, version, settings)


def _train_again(
    name: str, version: str, registry: Registry, settings: Settings
) -> list[Comparison]:
    origin = registry.origin(name, version)
    features = origin["tags"].get("data.features")
    if features is None:
        raise LineageError(f"The training recorded no data version. Received: {name} {version}")
    recorded = registry.recorded(name, version, "params.json")
    as_of, params = date.fromisoformat(recorded["as_of"]), Params.model_validate(recorded)
    with tempfile.TemporaryDirectory(prefix="pricebook-") as scratch:
        home = Settings(home=Path(scratch))
        lineage.restore(features, home.features, settings)
        log.info("Training %s version %s again on its recorded data.", name, version)
        metrics = fit(name, as_of, params, home, _log_epoch).metrics
    return [
        Comparison(name, metric, value, metrics.get(metric, float("nan")))
        for metric, value in sorted(origin["metrics"].items())
        if not metric.startswith("epoch_")
    ]


def _log_epoch(epoch: int, losses: dict[str, float]) -> None:
    log.debug("epoch %d: %s", epoch, losses)
