"""A home made by version 0.1.0, unpacked into another folder than it was made in, works.

`fixtures/home_0_1_0.tar.gz` was made by the commands of version 0.1.0 in /srv/kiosk: a made-up shop
of 8 skus in 2 zones with 60 weeks of orders, four of them with faults. `refresh` ran once,
`retrain` twice, each with a promotion. Then alerts were acknowledged, assigned, waived and
resolved, two API keys issued and one of them revoked, prices published, and 18 quotes given. It has
no Bentos, Data Docs, plots or logs.
"""

import tarfile
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ledger import PublishedPrice, Status, keys, last_price, last_verdicts, list_alerts, open_ledger
from ledger.keys import KeyRefusal, Scope
from ledger.signing_keys import signing_keys
from models.registry import CHAMPION, PREVIOUS, Registry
from pricebook.config import Settings, load_params
from pricebook.files import read_json

ARCHIVE = Path(__file__).parent / "fixtures" / "home_0_1_0.tar.gz"
AS_OF = date(2025, 2, 24)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
# Keys of this made-up home, as `pricebook keys issue` printed them.
VALID_KEY = "pb_3656e83d3ae1_911105eea5aea08de4dd75a9254f439bd55c5bce4fd7deba"
REVOKED_KEY = "pb_6bba0d9fdd80_4633fe6d8c3146ccf94ea26232690fa1e7b81b22a5f11197"
QUOTE_ID, QUOTED_PRICE = "0647a2cc697000661649f115ae329a7c", 329


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Settings:
    """The unpacked home, in another folder than it was made in."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return Settings(home=folder / "kiosk", params=folder / "kiosk" / "params.yaml")


@pytest.fixture
def run(home, pricebook):
    """Run a `pricebook` command in the home; it must succeed."""

    def command(*words: str) -> str:
        result = pricebook(*words, home=home.home, params=home.params)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    return command


def test_alerts_keep_their_status_owner_and_reason(home):
    alerts = {alert.check: alert for alert in list_alerts(open_ledger(home.ledger))}
    known = alerts["orders.sku.known"]
    assert (known.status, known.owner, known.count) == (Status.ACKNOWLEDGED, "ana", 2)
    assert {row["sku"] for row in known.sample} == {"ghost"}
    assert alerts["orders.quantity.not_equal"].owner == "bob"
    waived = alerts["orders.net_amount.at_least"]
    assert waived.is_waived(date(2099, 12, 31))
    assert waived.reason == "refunds are booked apart"
    assert alerts["orders.sku.category.looked_up"].status is Status.RESOLVED


def test_verdicts_are_kept(home, run):
    recorded = last_verdicts(open_ledger(home.ledger))
    assert [verdict.id for verdict in recorded] == [
        "2025-02-24_d2-r2_vs_d1-r1",
        "2025-02-24_d1-r1_vs_none",
    ]
    assert "challenger demand v2, response v2" in run("verdicts")


def test_api_keys_still_authenticate_or_stay_revoked(home):
    stored = keys.load(open_ledger(home.ledger))
    key = stored.find(VALID_KEY, NOW)
    assert key.grant.scopes == {Scope.QUOTE, Scope.EVENTS}
    assert key.grant.per_second == 50
    assert stored.find(REVOKED_KEY, NOW) is KeyRefusal.REVOKED


def test_published_prices_are_kept(home):
    ledger, start = open_ledger(home.ledger), datetime(2025, 2, 24, tzinfo=UTC)
    spring = PublishedPrice("sku1", "north", 395, start, start, "spring prices")
    assert last_price(ledger, "sku1", "north", at=start) == spring
    assert last_price(ledger, "sku1", "south", at=NOW).effective_from > start


def test_signing_keys_are_kept(home):
    stored = read_json(home.state / "signing_keys.json")
    assert list(signing_keys(home, NOW)) == [key["id"] for key in stored]
    assert len(stored) == 2


def test_a_quote_is_found_and_decided_again_with_the_same_price(run):
    shown = run("quotes", "show", QUOTE_ID)
    assert f"{QUOTED_PRICE}, the same" in shown
    assert "order o1" in shown


def test_the_service_reads_the_bundles_of_the_home(home):
    from serving.quotes import bundle

    for folder in (home.bundle, *home.bundles.iterdir()):
        loaded = bundle.load(folder)
        bundle.check(loaded)
        assert loaded.manifest.minor_digits == 2


def test_refresh_runs_and_gives_the_same_features(home, run):
    before = pd.read_parquet(home.features / "sku_period.parquet")
    for stage in ("ingest", "validate", "featurize", "materialize"):
        run(stage)
    pd.testing.assert_frame_equal(pd.read_parquet(home.features / "sku_period.parquet"), before)
    occurrences = {
        alert.check: alert.occurrences for alert in list_alerts(open_ledger(home.ledger))
    }
    assert occurrences["orders.sku.known"] == 2


def test_registered_models_load_from_the_folder_the_home_is_in_now(home, tmp_path):
    from models.demand.model import DemandModel
    from models.response.model import ResponseModel

    registry = Registry(home)
    demand = DemandModel.load(registry.download("demand", "2", tmp_path / "demand"))
    assert demand.shape.quantiles[0] == 0.05
    response = ResponseModel.load(registry.download("response", "2", tmp_path / "response"))
    assert (response.elasticities()["elasticity"] < 0).all()
    assert registry.recorded("response", "2", "params.json")["shop"]["minor_digits"] == 2


@pytest.mark.parametrize("name", ["demand", "response"])
def test_mlflow_loads_a_registered_model_by_its_alias(home, name):
    import mlflow

    Registry(home)  # sets MLflow's tracking URI
    assert mlflow.pyfunc.load_model(f"models:/{name}@champion").metadata.signature is not None


def test_the_gate_compares_with_the_champion_which_can_be_replaced_and_restored(home, run):
    from pipelines.gate import gate
    from pipelines.promote import promote

    params = load_params(home.params)
    verdict = gate(AS_OF, params, home, {"demand": "1", "response": "1"})
    assert verdict["champion"] == {"demand": "2", "response": "2"}
    figures = [check["figure"] for check in verdict["checks"]]
    assert np.isfinite(figures).all()
    assert verdict["passed"], verdict["refusals"]
    assert promote(verdict, params, home)["champion"] == {"demand": "1", "response": "1"}
    run("rollback")
    registry = Registry(home)
    assert registry.aliased(CHAMPION) == {"demand": "2", "response": "2"}
    assert registry.aliased(PREVIOUS) == {"demand": "1", "response": "1"}


def test_a_new_run_writes_its_artifacts_into_the_home(home):
    with Registry(home).run("check") as run:
        run.record({"made": "here"}, "note.json")
    (note,) = (home.state / "mlartifacts").rglob("note.json")
    assert read_json(note) == {"made": "here"}
