"""promote: make the judged pair the champion, and hand it to the service.

The bundle is written and the Bento built before the alias moves, so a failure leaves the champion
where it was. Rolling back is the same move with the pair that `previous` names.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.champion import put_in_service
from pipelines.files import write_json
from pipelines.train import panel
from pricebook.config import REPO_ROOT, Params, Settings
from pricebook.errors import ServiceError

if TYPE_CHECKING:
    import pandas as pd

    from models.registry import Registry

log = logging.getLogger("pricebook.promote")


def promote(verdict: Mapping[str, Any], params: Params, settings: Settings) -> dict[str, Any]:
    """Promote the challenger of a passed verdict; do nothing, and say why, with a refused one.

    Raises:
        ServiceError: the Bento could not be built; the champion stays.
    """
    from models.registry import CHAMPION, Registry

    registry = Registry(settings)
    report: dict[str, Any] = {"verdict": verdict["id"], "promoted": bool(verdict["passed"])}
    if verdict["passed"]:
        with tempfile.TemporaryDirectory(prefix="pricebook-bundle-") as scratch:
            bundle = Path(scratch)
            write_bundle(bundle, verdict, params, settings, registry)
            report["bento"] = _build_bento(bundle, settings) if params.promote.build_bento else None
            registry.promote(verdict["challenger"])
            put_in_service(bundle, settings)
        log.info("Champion is now %s.", registry.aliased(CHAMPION))
    else:
        log.info("Refused, the champion stays: %s", "; ".join(verdict["refusals"]))
        report["refusals"] = verdict["refusals"]
    report["champion"] = registry.aliased(CHAMPION)
    write_json(settings.report("promote"), report)
    return report


def write_bundle(
    folder: Path,
    verdict: Mapping[str, Any],
    params: Params,
    settings: Settings,
    registry: Registry,
) -> None:
    """Write what the service needs to quote: exported response, price book, forecast, params."""
    pair, as_of = verdict["challenger"], date.fromisoformat(verdict["as_of"])
    saved = {name: registry.download(name, pair[name], folder / ".saved" / name) for name in pair}
    for file in ("response.tflite", "response.json"):
        shutil.copy2(saved["response"] / file, folder / file)
    history = panel(as_of, params, settings)
    _price_book(saved["response"], history, settings).to_parquet(folder / "price_book.parquet")
    _forecast(saved["demand"], history, params).to_parquet(folder / "forecast.parquet")
    shutil.rmtree(folder / ".saved")
    about = {
        "models": {name: {"version": version} for name, version in pair.items()},
        "as_of": verdict["as_of"],
        "currency": params.shop.currency,
        "minor_digits": params.shop.minor_digits,
        "grain": params.shop.grain,
        "horizon": params.train.horizon,
        "quote": params.quote.model_dump(mode="json"),
    }
    about["built_from"] = f"{verdict['id']}_{_digest(folder, about)}"
    write_json(folder / "bundle.json", about)


def _digest(folder: Path, about: Mapping[str, Any]) -> str:
    """Of everything in a bundle: a verdict promoted again under other limits is another bundle."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _price_book(saved: Path, history: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The price book, with what a lower price takes from the shop's own substitutes."""
    import pandas as pd

    from models.response import ResponseModel
    from models.substitutes import cannibalised, recent_units

    book = pd.read_parquet(settings.features / "price_book.parquet")
    lost = cannibalised(ResponseModel.load(saved), book, recent_units(history))
    return book.assign(cannibalised=lost)


def _forecast(saved: Path, history: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Every series over the horizon, at its reference price and with no promotion planned."""
    import pandas as pd

    from models.backtest import SERIES
    from models.demand import DemandModel

    latest = history.groupby(SERIES, as_index=False).tail(1)
    reference = latest["reference_price"].fillna(latest["price"])
    planned = pd.concat(
        [
            latest[SERIES].assign(
                period=period, price=reference, display=0.0, mailer=0.0, promotion=0.0
            )
            for period in _periods_after(history["period"].max(), params)
        ],
        ignore_index=True,
    )
    forecast = DemandModel.load(saved).forecast(history, planned)
    return forecast.merge(latest[SERIES].assign(reference_price=reference), on=SERIES)


def _periods_after(last: object, params: Params) -> list[date]:
    import pandas as pd

    step = {"day": pd.DateOffset(days=1), "week": pd.DateOffset(weeks=1)}
    offset = step.get(params.shop.grain, pd.DateOffset(months=1))
    starts = [pd.Timestamp(str(last)) + offset * k for k in range(1, params.train.horizon + 1)]
    return [start.date() for start in starts]


def _build_bento(bundle: Path, settings: Settings) -> str:
    """Build in a process of its own: the pipelines do not import the service."""
    command = [sys.executable, "-m", "serving.build", "--bundle", str(bundle)]
    environment = {**os.environ, "PRICEBOOK_HOME": str(settings.home)}
    done = subprocess.run(
        command, cwd=REPO_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ServiceError(f"The Bento was not built; the champion stays. Received: {done.stderr}")
    tag = done.stdout.strip().splitlines()[-1]
    log.info("Built the Bento %s.", tag)
    return tag
