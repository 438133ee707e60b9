"""Build the Bento: `python -m serving.build --bundle DIR` stores the bundle and prints the tag.

The bundle becomes the BentoML model `pricebook:<version>` in the home's BentoML store, and the
Bento holds it beside the serving code. No container is made, and nothing is fetched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from pricebook.config import REPO_ROOT, Settings
from pricebook.errors import PricebookError

BENTOFILE = Path(__file__).with_name("bentofile.yaml")


def build(folder: Path, settings: Settings) -> str:
    """Store the bundle in `folder`, build the Bento around it, and return the Bento's tag.

    Raises:
        ServiceError: the bundle cannot be read, or fails its golden quotes.
    """
    os.environ["BENTOML_HOME"] = str(settings.state / "bentoml")  # read when bentoml is imported
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    import bentoml

    from serving.quotes import bundle as bundles

    bundle = bundles.load(folder)
    bundles.check(bundle)
    version = _version(bundle.about)
    model = _stored(folder, version)
    recipe = _recipe()
    labels = {"as_of": bundle.about.as_of.isoformat(), "built_from": bundle.about.built_from}
    bento = bentoml.build(**recipe, models=[model], labels=labels, build_ctx=str(REPO_ROOT))
    return str(bento.tag)


def requirements() -> list[str]:
    """What the service needs, from pyproject.toml: the base dependencies and the serving extra."""
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["serving"]]


def _version(about: Any) -> str:
    """Names the pair and, by the digest it ends in, the very bundle, in letters BentoML takes."""
    pair = "-".join(f"{name[0]}{about.models[name].version}" for name in sorted(about.models))
    digest = "".join(letter for letter in about.built_from.lower() if letter.isalnum())[-8:]
    return f"{pair}-{digest}" if digest else pair


def _stored(folder: Path, version: str) -> str:
    """Put the bundle into the model store, over an equal version of an earlier run."""
    import bentoml

    tag = f"pricebook:{version}"
    with suppress(bentoml.exceptions.NotFound):
        bentoml.models.delete(tag)
    with bentoml.models.create(tag) as model:
        shutil.copytree(folder, model.path, dirs_exist_ok=True)
    return tag


def _recipe() -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load(BENTOFILE.read_text())
    recipe["python"] = {**recipe["python"], "packages": requirements()}
    return recipe


def main(arguments: list[str] | None = None) -> int:
    """The command; its last line of output is the tag."""
    parser = argparse.ArgumentParser(prog="python -m serving.build", description=__doc__)
    parser.add_argument("--bundle", type=Path, help="the champion's folder; the home's if absent")
    asked = parser.parse_args(arguments)
    settings = Settings()
    try:
        tag = build(asked.bundle or settings.bundle, settings)
    except PricebookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{tag}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
