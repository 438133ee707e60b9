"""The champion's bundle: put it into service, roll it back, and try a challenger as a canary.

Each promoted bundle is stored for a while. So the previous champion can be served again as it was,
and `pipelines.reports.replay` can decide a past quote again with the bundle that decided it.
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

STORED_BUNDLES = 10


def put_in_service(bundle: Path, settings: Settings) -> None:
    """Store a bundle, and make it the one that the service reads."""
    _store(bundle, settings)
    _replace(settings.bundle, bundle)


def _store(bundle: Path, settings: Settings) -> None:
    _replace(settings.bundles / read_json(bundle / "bundle.json")["built_from"], bundle)
    for folder in _newest_first(settings)[STORED_BUNDLES:]:
        shutil.rmtree(folder)


def _replace(folder: Path, bundle: Path) -> None:
    with atomic_dir(folder) as partial:
        shutil.copytree(bundle, partial, dirs_exist_ok=True)


def _newest_first(settings: Settings) -> list[Path]:
    folders = settings.bundles.glob("[!.]*")
    return sorted(folders, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)


def rollback(settings: Settings) -> dict[str, Any]:
    """Make the previous champion the champion again, in the service and in the registry.

    Returns:
        champion and previous (model name to version), and the name of the bundle.

    Raises:
        ServiceError: there is no previous champion, or its bundle is not stored any more.
    """
    from models.registry import CHAMPION, PREVIOUS, Registry

    registry = Registry(settings)
    previous, champion = registry.aliased(PREVIOUS), registry.aliased(CHAMPION)
    if not previous:
        raise ServiceError(
            "There is no previous champion to roll back to. "
            f"Received: champion {champion or 'none'}"
        )
    bundle = _stored_bundle(previous, settings)
    # The registry moves last: if the process is killed before, running it again completes it.
    _replace(settings.bundle, bundle)
    registry.promote(previous)
    bundle.touch()  # the newest of the stored bundles again
    log.info("Champion is %s again.", previous)
    return {"champion": previous, "previous": champion, "bundle": bundle.name}


def _stored_bundle(pair: Mapping[str, str], settings: Settings) -> Path:
    for folder in _newest_first(settings):
        models = read_json(folder / "bundle.json")["models"]
        if {name: str(model["version"]) for name, model in models.items()} == dict(pair):
            return folder
    raise ServiceError(
        f"The bundle of {dict(pair)} is not stored any more. Train and promote instead. "
        f"Received: {settings.bundles}"
    )


def canary(params: Params, settings: Settings) -> dict[str, Any]:
    """Let the service try the newest pair that passed the gate and is not the champion.

    It prices the canary arm, and every quote in the background with `quote.experiment.shadow`.

    Returns:
        challenger (model name to version) and verdict (its id).

    Raises:
        ServiceError: there is no champion, or no such pair.
    """
    from ledger import last_verdicts, open_ledger
    from models.registry import CHAMPION, Registry

    registry = Registry(settings)
    champion = registry.aliased(CHAMPION)
    if not champion:
        raise ServiceError(
            "A canary needs a champion. Run `pricebook promote` first. Received: no champion"
        )
    for verdict in last_verdicts(open_ledger(settings.ledger)):
        if verdict.passed and verdict.body["challenger"] != champion:
            with atomic_dir(settings.challenger) as partial:
                write_bundle(partial, verdict.body, params, settings, registry)
            _store(settings.challenger, settings)
            return {"challenger": verdict.body["challenger"], "verdict": verdict.id}
    raise ServiceError(
        "No pair other than the champion has passed the gate. Train one and run `pricebook gate`. "
        f"Received: champion {champion}"
    )


def stop_canary(settings: Settings) -> None:
    """Take the challenger out of service."""
    shutil.rmtree(settings.challenger, ignore_errors=True)


def switch_on(why: str, settings: Settings) -> None:
    """Turn the kill switch on: every worker quotes list prices only, and `why` is in each quote."""
    with atomic_path(settings.kill_switch) as partial:
        partial.write_text(why + "\n")


def switch_off(settings: Settings) -> None:
    """Turn the kill switch off."""
    settings.kill_switch.unlink(missing_ok=True)
