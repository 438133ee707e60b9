"""promote: make a judged pair the champion, and hand it to the price service.

The bundle is written and the Bento built before the registry's alias moves, so a failure leaves the
champion unchanged. `pipelines.champion.rollback` does the same for the pair before.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.bundle import write_bundle
from pipelines.champion import put_in_service
from pipelines.reports.public_prices import summarise
from pricebook.config import REPO_ROOT, Params, Settings
from pricebook.errors import RegistryError, ServiceError
from pricebook.files import read_json, write_json
from pricebook.verdict import after_refusal

log = logging.getLogger("pricebook.promote")


def last_verdict(settings: Settings) -> dict[str, Any]:
    """The verdict that `gate` last wrote in this home.

    Raises:
        RegistryError: there is none.
    """
    path = settings.report("gate")
    try:
        return dict(read_json(path))
    except FileNotFoundError:
        raise RegistryError(f"No verdict yet. Run `pricebook gate`. Received: no {path}") from None


def promote(verdict: Mapping[str, Any], params: Params, settings: Settings) -> dict[str, Any]:
    """Promote the challenger of a passed verdict; report why a refused one is not promoted.

    Returns:
        verdict (its id), promoted, champion (model name to version), bento (its tag, or None) if
        promoted; refusals and next_step if not.

    Raises:
        RegistryError: a version of the pair does not exist.
        ServiceError: the Bento could not be built; the champion stays.
    """
    from models.registry import CHAMPION, Registry

    registry = Registry(settings)
    report: dict[str, Any] = {"verdict": verdict["id"], "promoted": bool(verdict["passed"])}
    if verdict["passed"]:
        summarise(settings)
        with tempfile.TemporaryDirectory(prefix="pricebook-bundle-") as scratch:
            bundle = Path(scratch)
            write_bundle(bundle, verdict, params, settings, registry)
            report["bento"] = _build_bento(bundle, settings) if params.promote.build_bento else None
            registry.promote(verdict["challenger"])
            put_in_service(bundle, settings)
        log.info("Champion is now %s.", registry.aliased(CHAMPION))
    else:
        report |= {"refusals": verdict["refusals"], "next_step": after_refusal(verdict)}
        log.info("Refused: %s %s", " ".join(verdict["refusals"]), report["next_step"])
    report["champion"] = registry.aliased(CHAMPION)
    write_json(settings.report("promote"), report)
    return report


def _build_bento(bundle: Path, settings: Settings) -> str:
    """Build in a separate process, because `pipelines` must not import `serving`."""
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
