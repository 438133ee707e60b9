"""The feature store: point-in-time joins for training, the same figures online for serving."""

import shutil
from datetime import date

import pandas as pd
import pytest

from pipelines.checks.parity import compare, distance, parity
from pipelines.materialize import (
    KEYS,
    _config,
    materialize,
    online_rows,
    open_store,
    training_frame,
)
from pricebook.config import REPO_ROOT, Settings, cutoff
from pricebook.errors import EmptyHistory
from pricebook.feature_store import online_settings, redis_address, registry_settings

AS_OF = date(2018, 1, 1)


@pytest.fixture(scope="module")
def store(featured):
    return open_store(featured)


@pytest.fixture
def home(featured, tmp_path):
    """A home of one's own with the same features, nothing materialized."""
    settings = Settings(home=tmp_path)
    shutil.copytree(featured.features, settings.features)
    return settings


def _features(settings, name):
    return pd.read_parquet(settings.features / f"{name}.parquet")


def _a_sku(settings):
    return _features(settings, "sku_period").sku.iloc[0]


def test_offline_and_online_agree_for_a_sample_of_keys(store):
    found = parity(store, AS_OF, sample=50, seed=7)
    assert found["compared"] > 2000
    assert found["mismatched"] == []
    assert found["max_abs_diff"] == 0


def test_an_altered_feature_is_a_mismatch(home, params):
    materialize(AS_OF, params, home)
    rows = _features(home, "sku")
    rows["price_last"] += 1
    rows.to_parquet(home.features / "sku.parquet", index=False)
    found = parity(open_store(home), AS_OF, sample=5, seed=7)
    assert found["max_abs_diff"] == 1
    assert any("price_last" in what for what in found["mismatched"])


def test_parity_before_anything_was_materialized_is_said(home):
    with pytest.raises(EmptyHistory, match="Nothing was materialized"):
        parity(open_store(home), AS_OF, sample=5, seed=7)


@pytest.mark.parametrize(
    ("one", "other", "gap"),
    [(1, 1.0, 0), (None, float("nan"), 0), (["a"], ["b"], float("inf")), (2, 5, 3)],
)
def test_the_distance_of_two_values(one, other, gap):
    assert distance(one, other) == gap


def test_a_value_only_one_store_has_is_a_mismatch():
    offline = pd.DataFrame([{"sku": "a", "price_last": 2.0}])
    found = compare("quote", ["sku"], offline, [{"sku": "a", "price_last": None}])
    assert found.as_dict()["mismatched"] == ["quote:price_last of a: 2.0 != None"]


def test_a_join_gives_what_was_known_then(store, featured):
    rows = _features(featured, "sku_period")
    sku = _a_sku(featured)
    third = rows[rows.sku == sku].sort_values("period").iloc[2]
    later = third.event_timestamp + pd.Timedelta(days=3)
    asked = pd.DataFrame([{"sku": sku, "zone": "all", "event_timestamp": later}])
    frame = training_frame(store, "demand", asked)
    assert frame.units.tolist() == [third.units]
    assert frame.price.tolist() == [third.price]


def test_before_the_first_period_nothing_is_known(store, featured):
    early = pd.Timestamp("2017-01-02", tz="UTC")
    asked = pd.DataFrame([{"sku": _a_sku(featured), "zone": "all", "event_timestamp": early}])
    assert training_frame(store, "demand", asked).units.isna().all()


def test_a_training_frame_keeps_the_columns_it_was_given(store, featured):
    asked = _features(featured, "sku_period")[["sku", "zone", "period", "event_timestamp"]]
    frame = training_frame(store, "demand", asked)
    assert len(frame) == len(asked)
    assert {"period", "units", "price", "department", "promotion"} <= set(frame.columns)
    assert not [name for name in frame.columns if name.endswith("_at")]


def test_online_gives_the_latest_snapshot(store, featured):
    rows = _features(featured, "sku").sort_values("period")
    last = rows[(rows.sku == _a_sku(featured)) & (rows.zone == "all")].iloc[-1]
    found = online_rows(store, "quote", [{"sku": last.sku, "zone": "all", "customer_id": "nobody"}])
    assert found[0]["price_last"] == last.price_last
    assert found[0]["sku_at"] == last.event_timestamp
    assert found[0]["segment"] is None


def test_an_unknown_key_has_no_features_and_is_no_error(store):
    found = online_rows(store, "quote", [{"sku": "?", "zone": "all", "customer_id": "?"}])
    assert {
        value for name, value in found[0].items() if name not in ("sku", "zone", "customer_id")
    } == {None}


def test_materializing_twice_changes_nothing(home, params):
    keys = [{"sku": sku, "zone": "all"} for sku in _features(home, "sku").sku.unique()[:20]]
    first = materialize(AS_OF, params, home)
    before = online_rows(open_store(home), "demand", keys)
    assert materialize(AS_OF, params, home) == first
    assert online_rows(open_store(home), "demand", keys) == before


def _only_active_for(params, periods):
    short = params.materialize.model_copy(update={"active_periods": periods})
    return params.model_copy(update={"materialize": short})


def test_an_idle_shopper_is_not_pushed_and_one_gone_idle_is_forgotten(home, params):
    people = _features(home, "shopper").sort_values("event_timestamp")
    people = people.groupby("customer_id").last()
    idle = people[people.recency_days.between(8, 100)].index[0]
    busy = people[people.recency_days <= 7].index[0]
    keys = [{"sku": "?", "zone": "all", "customer_id": who} for who in (idle, busy)]
    every = materialize(AS_OF, params, home)
    assert all(row["segment"] for row in online_rows(open_store(home), "quote", keys))
    some = materialize(AS_OF, _only_active_for(params, 1), home)
    assert some["shopper"] == (people.recency_days <= 7).sum() < every["shopper"]
    found = online_rows(open_store(home), "quote", keys)
    assert (found[0]["segment"], found[0]["orders_13"]) == (None, None)
    assert found[1]["segment"]


def test_two_homes_never_touch_each_other(home, featured, params, tmp_path_factory):
    other = Settings(home=tmp_path_factory.mktemp("other"))
    shutil.copytree(home.features, other.features)
    rows = _features(other, "sku")
    rows["price_last"] += 1000
    rows.to_parquet(other.features / "sku.parquet", index=False)
    materialize(AS_OF, params, home)
    files = {path: path.read_bytes() for path in home.home.rglob("*") if path.is_file()}
    materialize(AS_OF, params, other)
    assert {path: path.read_bytes() for path in home.home.rglob("*") if path.is_file()} == files
    key = [{"sku": _a_sku(home), "zone": "all", "customer_id": "?"}]
    prices = [
        online_rows(open_store(where), "quote", key)[0]["price_last"] for where in (home, other)
    ]
    assert prices[1] == prices[0] + 1000


def test_a_copied_home_reads_its_own_files(home, params, tmp_path_factory):
    materialize(AS_OF, params, home)
    copy = Settings(home=tmp_path_factory.mktemp("copy") / "home")
    shutil.copytree(home.home, copy.home)
    source = open_store(copy).get_feature_view("sku").batch_source
    assert source.path == str(copy.features / "sku.parquet")


def test_materializing_without_features_is_said(tmp_path, params):
    with pytest.raises(EmptyHistory, match=r"run `pricebook featurize`. Received: "):
        materialize(AS_OF, params, Settings(home=tmp_path))


def test_every_feature_served_is_a_column_of_its_file(featured, store):
    for view in map(store.get_feature_view, KEYS):
        columns = set(_features(featured, view.name).columns)
        assert {field.name for field in view.features} <= columns


def test_feasts_own_command_line_opens_the_default_home(tmp_path):
    from feast.repo_config import load_repo_config

    repo = shutil.copytree(REPO_ROOT / "feature_repo", tmp_path / "feature_repo")
    shell = load_repo_config(repo, repo / "feature_store.yaml")
    ours = _config(Settings(home=tmp_path))
    assert shell.project == ours.project
    assert (shell.offline_store.type, shell.online_store.type) == ("duckdb", "sqlite")
    assert (repo / shell.registry.path).resolve() == (tmp_path / ".pricebook/feast/registry.db")


def test_servers_are_a_matter_of_settings():
    settings = Settings(
        redis_url="redis://cache:6379/1", feast_registry_url="postgresql://db/feast"
    )
    assert online_settings(settings) == {"type": "redis", "connection_string": "cache:6379,db=1"}
    assert registry_settings(settings)["registry_type"] == "sql"


def test_a_redis_url_with_a_password_and_tls():
    assert redis_address("rediss://:pw@cache/0") == "cache:6379,db=0,password=pw,ssl=true"


def test_an_earlier_cutoff_pushes_what_was_known_then(home, params):
    earlier = date(2017, 10, 2)
    materialize(earlier, params, home)
    found = online_rows(open_store(home), "demand", [{"sku": _a_sku(home), "zone": "all"}])
    assert found[0]["sku_period_at"] <= cutoff(earlier, params.shop.timezone)
