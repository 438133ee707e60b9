"""Builds the Bento: `python -m serving.build --bundle DIR` stores the bundle and prints the tag.

The bundle becomes the BentoML model `pricebook:<version>` in the home's BentoML store, and the
Bento contains it and the serving code. It builds no container and downloads nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from pricebook.config import REPO_ROOT, Settings
from pricebook.errors import PricebookError

BENTOFILE = Path(__file__).with_name("bentofile.yaml")


def build(folder: Path, settings: Settings) -> str:
    """Store the bundle in `folder`, build a Bento that contains it, and return the Bento's tag.

    Raises:
        ServiceError: the bundle cannot be read, or fails its golden quotes.
    """
    os.environ["BENTOML_HOME"] = str(settings.state / "bentoml")  # BentoML reads it when imported
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    import bentoml

    from serving.quotes import bundle as bundles

    bundle = bundles.load(folder)
    bundles.check(bundle)
    version = _version(bundle.manifest)
    model = _store_model(folder, version)
    labels = {"as_of": bundle.manifest.as_of.isoformat(), "built_from": bundle.manifest.built_from}
    options = _build_options()
    with _build_context(options["include"]) as context:
        bento = bentoml.build(**options, models=[model], labels=labels, build_ctx=context)
    return str(bento.tag)


def requirements() -> list[str]:
    """The service's requirements: base dependencies and `serving` extra of pyproject.toml."""
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["serving"]]


@contextmanager
def _build_context(patterns: Iterable[str]) -> Iterator[str]:
    """Copy the top folders of the patterns to a temporary folder.

    BentoML compares every file of its build context with the patterns. The repository may hold a
    virtual environment with many thousand files.
    """
    with tempfile.TemporaryDirectory(prefix="pricebook-bento-") as scratch:
        for name in sorted({pattern.split("/")[0] for pattern in patterns}):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPO_ROOT / name, Path(scratch) / name, ignore=ignored)
        yield scratch


def _version(manifest: Any) -> str:
    """A version that BentoML accepts, such as `d4-r7-0a1b2c3d`.

    It names the versions of both models and ends in part of the bundle's digest, since the same
    models may be bundled again with other limits.
    """
    pair = "-".join(f"{name[0]}{manifest.models[name].version}" for name in sorted(manifest.models))
    digest = "".join(letter for letter in manifest.built_from.lower() if letter.isalnum())[-8:]
    return f"{pair}-{digest}" if digest else pair


def _store_model(folder: Path, version: str) -> str:
    """Copy the bundle into the model store and return its tag. Replaces an equal version."""
    import bentoml

    tag = f"pricebook:{version}"
    with suppress(bentoml.exceptions.NotFound):
        bentoml.models.delete(tag)
    with bentoml.models.create(tag) as model:
        shutil.copytree(folder, model.path, dirs_exist_ok=True)
    return tag


def _build_options() -> dict[str, Any]:
    options: dict[str, Any] = yaml.safe_load(BENTOFILE.read_text())
    options["python"] = {**options["python"], "packages": requirements()}
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the command. The last line it prints is the Bento's tag."""
    parser = argparse.ArgumentParser(prog="python -m serving.build", description=__doc__)
    parser.add_argument(
        "--bundle", type=Path, help="folder of the bundle; default: the champion of the home"
    )
    options = parser.parse_args(arguments)
    settings = Settings()
    try:
        tag = build(options.bundle or settings.bundle, settings)
    except PricebookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{tag}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
