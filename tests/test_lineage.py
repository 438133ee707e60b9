"""Data versions: recorded, verified and restored with DVC."""

import shutil
from pathlib import Path

import pytest

from pipelines import lineage
from pricebook.config import Settings
from pricebook.errors import LineageError


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    settings.raw.mkdir(parents=True)
    (settings.raw / "orders.parquet").write_bytes(b"first")
    (settings.raw / "products.parquet").write_bytes(b"second")
    return settings


def test_a_version_is_the_hash_that_dvc_gives(home):
    version = lineage.record(home.raw, home)

    from dvc.repo import Repo

    (stage,) = Repo(str(home.home)).add(str(home.raw))
    assert stage.outs[0].hash_info.value == version


def test_recording_twice_changes_nothing(home):
    assert lineage.record(home.raw, home) == lineage.record(home.raw, home)
    assert list(lineage.versions(home)) == ["raw"]


def test_a_restored_version_holds_the_exact_content(home, tmp_path):
    version = lineage.record(home.raw, home)
    (home.raw / "orders.parquet").write_bytes(b"later")
    lineage.record(home.raw, home)
    lineage.restore(version, tmp_path / "restored", home)
    assert (tmp_path / "restored" / "orders.parquet").read_bytes() == b"first"


@pytest.mark.parametrize("change", [b"altered", None])
def test_an_altered_or_missing_file_is_named(home, change):
    version = lineage.record(home.raw, home)
    file = home.raw / "products.parquet"
    file.write_bytes(change) if change else file.unlink()
    with pytest.raises(LineageError, match=r"products\.parquet"):
        lineage.verify(home.raw, version, home)


def test_an_error_names_the_damaged_file_of_the_cache(home, tmp_path):
    version = lineage.record(home.raw, home)
    for cached in (home.home / ".dvc" / "cache").rglob("*"):
        if cached.is_file() and cached.read_bytes() == b"second":
            cached.chmod(0o644)
            cached.write_bytes(b"damage")
    with pytest.raises(LineageError, match=r"products\.parquet"):
        lineage.restore(version, tmp_path / "restored", home)
    assert not (tmp_path / "restored").exists()


def test_an_unknown_version_is_an_error(home):
    with pytest.raises(LineageError, match=r"Received: 0+"):
        lineage.restore("0" * 32 + ".dir", home.state / "x", home)


def test_versions_are_pushed_to_a_configured_remote(home, tmp_path):
    from dvc.repo import Repo

    lineage.record(home.raw, home)
    with Repo(str(home.home)).config.edit("repo") as config:
        config["remote"] = {"store": {"url": str(tmp_path / "remote")}}
        config["core"]["remote"] = "store"
    (home.raw / "orders.parquet").write_bytes(b"pushed")
    version = lineage.record(home.raw, home)
    shutil.rmtree(home.home / ".dvc" / "cache")
    lineage.restore(version, tmp_path / "restored", home)
    assert (tmp_path / "restored" / "orders.parquet").read_bytes() == b"pushed"


def test_a_home_that_dvc_cannot_open_is_an_error_that_names_it(home):
    (home.home / ".dvc").mkdir()
    (home.home / ".dvc" / "config").touch()  # without core.no_scm, DVC needs a git repository
    with pytest.raises(LineageError, match=f"DVC cannot open this home.*Received: {home.home}"):
        lineage.record(home.raw, home)
