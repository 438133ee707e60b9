"""A champion can be trained again from its recorded data and params, to the same metrics."""

import shutil

import pytest
from typer.testing import CliRunner

from cli.main import app
from pipelines.reports.reproduce import reproduce
from pricebook.config import Settings
from pricebook.errors import LineageError, RegistryError


@pytest.fixture
def environment(promoted, monkeypatch):
    monkeypatch.setenv("PRICEBOOK_HOME", str(promoted.home))
    return promoted


def test_the_champion_trained_again_has_equal_metrics(environment):
    result = CliRunner().invoke(app, ["reproduce", "champion"])
    assert result.exit_code == 0, result.output
    assert "wape" in result.output
    assert "elasticity_pooled" in result.output
    assert "DIFFERS" not in result.output


def test_an_altered_data_file_fails_and_is_named(promoted, tmp_path):
    home = Settings(home=tmp_path / "home")
    shutil.copytree(promoted.home, home.home)
    with (home.validated / "products.parquet").open("ab") as file:
        file.write(b"one byte more")
    with pytest.raises(LineageError, match=r"products\.parquet was altered"):
        reproduce("champion", home)


def test_the_recorded_data_is_used_when_the_home_has_newer_data(promoted, tmp_path):
    from pipelines import lineage

    home = Settings(home=tmp_path / "home")
    shutil.copytree(promoted.home, home.home)
    (home.features / "price_book.parquet").unlink()
    lineage.record(home.features, home)
    assert all(row.equal for row in reproduce("champion", home))


def test_an_alias_without_a_pair_is_an_error(promoted):
    with pytest.raises(RegistryError, match="Received: 'previous'"):
        reproduce("previous", promoted)
