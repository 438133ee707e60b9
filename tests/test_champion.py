"""Commands for the champion: kept bundles, rollback, canary and kill switch."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app
from pipelines import champion
from pipelines.promote import promote
from pricebook.config import Settings
from pricebook.errors import ServiceError
from pricebook.files import read_json


def bundle(folder, version):
    folder.mkdir(parents=True)
    models = {"demand": {"version": version}, "response": {"version": version}}
    about = {"models": models, "built_from": f"v{version}"}
    (folder / "bundle.json").write_text(json.dumps(about))
    return folder


def test_the_newest_bundles_are_kept_and_named_by_what_they_were_built_from(tmp_path):
    settings = Settings(home=tmp_path)
    for number in range(champion.STORED_BUNDLES + 2):
        champion.put_in_service(bundle(tmp_path / f"{number}", number), settings)
    kept = {folder.name for folder in settings.bundles.iterdir()}
    assert kept == {f"v{number}" for number in range(2, champion.STORED_BUNDLES + 2)}
    assert json.loads((settings.bundle / "bundle.json").read_text())["models"]["demand"] == {
        "version": champion.STORED_BUNDLES + 1
    }


def test_without_a_previous_champion_a_rollback_is_refused(tmp_path):
    with pytest.raises(ServiceError, match="no previous champion to roll back to"):
        champion.rollback(Settings(home=tmp_path))


@pytest.fixture
def previous(promoted):
    """The versions of the champion, which are also the previous champion during the test."""
    from models.registry import CHAMPION, PREVIOUS, Registry

    registry = Registry(promoted)
    pair = registry.aliased(CHAMPION)
    for name, version in pair.items():
        registry._client.set_registered_model_alias(name, PREVIOUS, version)
    yield pair
    for name in pair:
        registry._client.delete_registered_model_alias(name, PREVIOUS)


def test_a_rollback_restores_the_kept_bundle(promoted, previous):
    original = (promoted.bundle / "bundle.json").read_text()
    (promoted.bundle / "bundle.json").write_text("{}")
    assert champion.rollback(promoted)["champion"] == previous
    assert (promoted.bundle / "bundle.json").read_text() == original


def test_a_verdict_promoted_with_other_limits_is_a_separate_bundle(promoted, params, previous):
    def promote_with(**limits):
        quote = params.quote.model_copy(update=limits)
        unbuilt = params.promote.model_copy(update={"build_bento": False})
        other = params.model_copy(update={"quote": quote, "promote": unbuilt})
        promote(read_json(promoted.report("gate")), other, promoted)
        return read_json(promoted.bundle / "bundle.json")["built_from"]

    usual, strict = promote_with(), promote_with(max_markdown=0.1)
    assert usual != strict
    assert {usual, strict} <= {folder.name for folder in promoted.bundles.iterdir()}
    assert champion.rollback(promoted)["bundle"] == strict
    assert promote_with() == usual


def test_without_another_pair_that_passed_the_gate_a_canary_is_refused(promoted, params):
    with pytest.raises(ServiceError, match="No pair other than the champion has passed the gate"):
        champion.canary(params, promoted)


def test_the_command_turns_the_kill_switch_on_and_off(tmp_path):
    def output(*words):
        run = CliRunner().invoke(
            app, ["kill-switch", *words], env={"PRICEBOOK_HOME": str(tmp_path)}
        )
        return run.output.strip()

    assert output("status") == "The kill switch is off."
    assert output("on", "--why", "a wrong cost file") == "The kill switch is on: a wrong cost file."
    assert output("off") == "The kill switch is off."
