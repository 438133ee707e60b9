"""The champion as the service reads it: put into service, kept, taken back, and tried beside.

Every bundle that was promoted is kept for a while under what it was built from, so the champion
before can be put back as it was, and a past quote decided anew from what decided it
(`pipelines.reports.replay`).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.bundle import write_bundle
from pricebook.config import Params, Settings
from pricebook.errors import ServiceError
from pricebook.files import atomic_dir, atomic_path, read_json

log = logging.getLogger("pricebook.champion")

KEPT = 10  # promoted bundles


def put_in_service(bundle: Path, settings: Settings) -> None:
    """Keep a bundle, and let the service read it."""
    _keep(bundle, settings)
    with atomic_dir(settings.bundle) as partial:
        shutil.copytree(bundle, partial, dirs_exist_ok=True)


def _keep(bundle: Path, settings: Settings) -> None:
    name = read_json(bundle / "bundle.json")["built_from"]
    with atomic_dir(settings.bundles / name) as partial:
        shutil.copytree(bundle, partial, dirs_exist_ok=True)
    for folder in _newest_first(settings)[KEPT:]:
        shutil.rmtree(folder)


def _newest_first(settings: Settings) -> list[Path]:
    kept = settings.bundles.glob("[!.]*")
    return sorted(kept, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)


def rollback(settings: Settings) -> dict[str, Any]:
    """Make the champion before the champion again, in the registry and in the service.

    Raises:
        ServiceError: there is none before, or its bundle is not kept any more.
    """
    from models.registry import CHAMPION, PREVIOUS, Registry

    registry = Registry(settings)
    before, now = registry.aliased(PREVIOUS), registry.aliased(CHAMPION)
    if not before:
        raise ServiceError(f"There is no champion before this one. Received: champion {now}")
    bundle = _kept(before, settings)
    registry.promote(before)
    with atomic_dir(settings.bundle) as partial:
        shutil.copytree(bundle, partial, dirs_exist_ok=True)
    bundle.touch()  # of those kept it is the newest again
    log.info("Champion is %s again.", before)
    return {"champion": before, "previous": now, "bundle": bundle.name}


def _kept(pair: Mapping[str, str], settings: Settings) -> Path:
    for folder in _newest_first(settings):
        models = read_json(folder / "bundle.json")["models"]
        if {name: str(model["version"]) for name, model in models.items()} == dict(pair):
            return folder
    raise ServiceError(
        f"The bundle of {dict(pair)} is not kept any more; retrain. Received: {settings.bundles}"
    )


def canary(params: Params, settings: Settings) -> dict[str, Any]:
    """Let the service try the newest pair that passed the gate and is not the champion.

    It prices the canary arm and, with `quote.experiment.shadow`, every quote unserved.

    Raises:
        ServiceError: there is no such pair.
    """
    from ledger import last_verdicts, open_ledger
    from models.registry import CHAMPION, Registry

    registry = Registry(settings)
    champion = registry.aliased(CHAMPION)
    for recorded in last_verdicts(open_ledger(settings.ledger)):
        if recorded.passed and recorded.body["challenger"] != champion:
            with atomic_dir(settings.challenger) as partial:
                write_bundle(partial, recorded.body, params, settings, registry)
            _keep(settings.challenger, settings)
            return {"challenger": recorded.body["challenger"], "verdict": recorded.id}
    raise ServiceError(f"No pair has passed the gate but the champion. Received: {champion}")


def stop_canary(settings: Settings) -> None:
    shutil.rmtree(settings.challenger, ignore_errors=True)


def switch_on(why: str, settings: Settings) -> None:
    """Put everything on its list price at once, in every worker."""
    with atomic_path(settings.kill_switch) as partial:
        partial.write_text(why + "\n")


def switch_off(settings: Settings) -> None:
    settings.kill_switch.unlink(missing_ok=True)
