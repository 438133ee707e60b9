"""Data versions: stores folders under their DVC hash, and restores them.

The only module that imports DVC. A folder is stored in the home's DVC cache, under the hash that
`dvc add` would give it. The repository lock is not taken, so stages can run in parallel. If a DVC
remote is configured, versions are pushed to it too.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from pricebook.config import Settings
from pricebook.errors import LineageError
from pricebook.files import atomic_dir, read_json, write_json

log = logging.getLogger("pricebook.lineage")


def record(folder: Path, settings: Settings) -> str:
    """Store a folder's content under its hash, and record that as the folder's current version.

    Returns:
        the DVC hash of the folder, ending in `.dir`.
    """
    from dvc.fs import localfs
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.transfer import transfer

    repo = _repo(settings)
    cache = repo.cache.local
    staging, _, tree = build(cache, str(folder), localfs, "md5")
    transfer(staging, cache, {tree.hash_info}, shallow=False)
    if repo.config["core"].get("remote"):
        transfer(cache, repo.cloud.get_remote_odb(), {tree.hash_info}, shallow=False)
    version = str(tree.hash_info.value)
    _record_version(folder, version, settings)
    log.info("%s is version %s", folder.name, version)
    return version


def versions(settings: Settings) -> dict[str, str]:
    """The current version of each recorded folder, by the folder's name."""
    path = _versions_file(settings)
    return dict(read_json(path)) if path.exists() else {}


def verify(folder: Path, version: str, settings: Settings) -> None:
    """Check that a folder holds exactly the files of `version`.

    Raises:
        LineageError: a file is altered, missing or new; the message names the first.
    """
    recorded = _files(version, settings)
    present = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    for name in sorted(recorded.keys() | present.keys()):
        if name not in present:
            raise LineageError(f"{folder / name} is missing from version {version}. Received: none")
        if name not in recorded:
            raise LineageError(f"{present[name]} is not part of version {version}. Received: new")
        if (received := _md5(present[name])) != recorded[name]:
            raise LineageError(
                f"{present[name]} was altered: recorded as {recorded[name]}. Received: {received}"
            )


def restore(version: str, folder: Path, settings: Settings) -> None:
    """Write the files of `version` into `folder`, from the cache or else the remote.

    Raises:
        LineageError: the version is neither in the cache nor in the remote, or a stored file does
            not match its hash.
    """
    from dvc.fs import localfs
    from dvc_data.hashfile.checkout import CheckoutError, checkout

    tree = _tree(version, settings)
    with atomic_dir(folder) as partial:
        try:
            checkout(str(partial), localfs, tree, _repo(settings).cache.local, force=True)
        except CheckoutError as error:
            names = ", ".join(Path(path).name for path in error.paths)
            raise LineageError(
                f"A stored file is damaged or lost in the DVC cache. Received: {names} of {version}"
            ) from None
        verify(partial, version, settings)


def _repo(settings: Settings) -> Any:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)  # it prints that it made a repository
    home = settings.home.resolve()
    try:
        if (home / ".dvc").exists():
            return Repo(str(home))
        home.mkdir(parents=True, exist_ok=True)
        return Repo.init(str(home), no_scm=True)
    except DvcException as error:
        raise LineageError(f"DVC cannot open this home: {error}. Received: {home}") from None


def _tree(version: str, settings: Settings) -> Any:
    from dvc_data.hashfile import load
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.transfer import transfer

    repo = _repo(settings)
    tree = HashInfo("md5", version)
    cache = repo.cache.local
    if not cache.exists(version) and repo.config["core"].get("remote"):
        transfer(repo.cloud.get_remote_odb(), cache, {tree}, shallow=False)
    if not cache.exists(version):
        raise LineageError(f"No such data version in the DVC cache or remote. Received: {version}")
    return load(cache, tree)


def _files(version: str, settings: Settings) -> dict[str, str]:
    return {"/".join(key): entry.value for key, (_, entry) in _tree(version, settings).iteritems()}


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _versions_file(settings: Settings) -> Path:
    return settings.state / "lineage.json"


def _record_version(folder: Path, version: str, settings: Settings) -> None:
    write_json(_versions_file(settings), {**versions(settings), folder.name: version})
