"""The feature store: point-in-time joins for training, the same values online for serving."""

import shutil
from datetime import date, timedelta

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.checks.parity import compare, distance, parity
from pipelines.feature_store import KEYS, _config, online_rows, open_store, training_frame
from pipelines.materialize import materialize
from pricebook.config import REPO_ROOT, Settings, cutoff
from pricebook.errors import EmptyHistory
from pricebook.feature_store import online_settings, redis_address, registry_settings

AS_OF = date(2018, 1, 1)


@pytest.fixture(scope="module")
def store(featured):
    return open_store(featured)


@pytest.fixture
def home(featured, tmp_path):
    """A new home with the same features, in which nothing is materialized."""
    settings = Settings(home=tmp_path)
    shutil.copytree(featured.features, settings.features)
    return settings


def _features(settings, name):
    return pd.read_parquet(settings.features / f"{name}.parquet")


def _a_sku(settings):
    return _features(settings, "sku_period").sku.iloc[0]


def test_offline_and_online_agree_for_a_sample_of_keys(store):
    result = parity(store, AS_OF, sample=50, seed=7)
    assert result["compared"] > 2000
    assert (result["mismatched"], result["not_covered"]) == ([], [])
    assert result["max_abs_diff"] == 0


def test_an_altered_feature_is_a_mismatch(home, params):
    materialize(AS_OF, params, home)
    rows = _features(home, "sku")
    rows["price_last"] += 1
    rows.to_parquet(home.features / "sku.parquet", index=False)
    result = parity(open_store(home), AS_OF, sample=5, seed=7)
    assert result["max_abs_diff"] == 1
    assert any("price_last" in text for text in result["mismatched"])


def test_parity_before_materialize_is_an_error(home):
    with pytest.raises(EmptyHistory, match="Nothing was materialized"):
        parity(open_store(home), AS_OF, sample=5, seed=7)


@pytest.fixture
def anonymous(home):
    """The home of a shop whose orders have no customer: no shoppers, so no segments."""
    for name in ("shopper", "sku_segment", "segment_period"):
        file = home.features / f"{name}.parquet"
        pq.write_table(pq.read_table(file).slice(0, 0), file)
    return home


def test_parity_names_the_views_that_an_anonymous_shop_does_not_have(anonymous, params):
    assert materialize(AS_OF, params, anonymous)["shopper"] == 0
    result = parity(open_store(anonymous), AS_OF, sample=20, seed=7)
    assert result["mismatched"] == []
    assert result["compared"] > 500
    assert result["not_covered"] == ["shopper: no active keys", "sku_segment: no active keys"]


def test_parity_of_an_anonymous_shop_finds_an_altered_feature(anonymous, params):
    materialize(AS_OF, params, anonymous)
    rows = _features(anonymous, "sku")
    rows["price_last"] += 1
    rows.to_parquet(anonymous.features / "sku.parquet", index=False)
    result = parity(open_store(anonymous), AS_OF, sample=5, seed=7)
    assert any("price_last" in text for text in result["mismatched"])


def test_shoppers_that_disappear_from_the_features_are_overwritten_online(home, params, request):
    materialize(AS_OF, params, home)
    shopper = _features(home, "shopper").sort_values("event_timestamp").iloc[-1].customer_id
    request.getfixturevalue("anonymous")
    materialize(AS_OF, params, home)
    key = {"sku": "?", "zone": "all", "customer_id": shopper}
    assert online_rows(open_store(home), "quote", [key])[0]["segment"] is None


def test_parity_with_no_active_key_is_an_error(home, params):
    late = AS_OF + timedelta(days=400)
    for name in KEYS:
        rows = _features(home, name)
        column = {"shopper": "recency_days", "sku": "periods_since_sale"}.get(name)
        if column:
            rows[column] = 400
            rows.to_parquet(home.features / f"{name}.parquet", index=False)
    assert set(materialize(late, params, home).values()) == {0}
    with pytest.raises(EmptyHistory, match=r"No sku is active in the online store.*sku: no act"):
        parity(open_store(home), late, sample=5, seed=7)


def test_a_cutoff_before_every_feature_is_an_error(home, params):
    with pytest.raises(EmptyHistory, match=r"no feature known at the cut-off. Received: 2016-01"):
        materialize(date(2016, 1, 1), params, home)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1, 1.0, 0), (None, float("nan"), 0), (["a"], ["b"], float("inf")), (2, 5, 3)],
)
def test_the_distance_of_two_values(first, second, expected):
    assert distance(first, second) == expected


def test_a_value_in_only_one_store_is_a_mismatch():
    offline = pd.DataFrame([{"sku": "a", "price_last": 2.0}])
    result = compare("quote", ["sku"], offline, [{"sku": "a", "price_last": None}])
    assert result.as_dict()["mismatched"] == ["quote:price_last of a: 2.0 != None"]


def test_a_join_returns_the_features_known_at_that_time(store, featured):
    rows = _features(featured, "sku_period")
    sku = _a_sku(featured)
    third = rows[rows.sku == sku].sort_values("period").iloc[2]
    later = third.event_timestamp + pd.Timedelta(days=3)
    entities = pd.DataFrame([{"sku": sku, "zone": "all", "event_timestamp": later}])
    frame = training_frame(store, "demand", entities)
    assert frame.units.tolist() == [third.units]
    assert frame.price.tolist() == [third.price]


def test_features_are_null_before_the_first_period(store, featured):
    early = pd.Timestamp("2017-01-02", tz="UTC")
    entities = pd.DataFrame([{"sku": _a_sku(featured), "zone": "all", "event_timestamp": early}])
    assert training_frame(store, "demand", entities).units.isna().all()


def test_a_training_frame_keeps_the_columns_of_its_entities(store, featured):
    entities = _features(featured, "sku_period")[["sku", "zone", "period", "event_timestamp"]]
    frame = training_frame(store, "demand", entities)
    assert len(frame) == len(entities)
    assert {"period", "units", "price", "department", "promotion"} <= set(frame.columns)
    assert not [name for name in frame.columns if name.endswith("_at")]


def test_the_online_store_has_the_latest_snapshot(store, featured):
    rows = _features(featured, "sku").sort_values("period")
    last = rows[(rows.sku == _a_sku(featured)) & (rows.zone == "all")].iloc[-1]
    key = {"sku": last.sku, "zone": "all", "customer_id": "unknown"}
    row = online_rows(store, "quote", [key])[0]
    assert row["price_last"] == last.price_last
    assert row["sku_at"] == last.event_timestamp
    assert row["segment"] is None


def test_an_unknown_key_has_null_features(store):
    key = {"sku": "?", "zone": "all", "customer_id": "?"}
    row = online_rows(store, "quote", [key])[0]
    assert {value for name, value in row.items() if name not in key} == {None}


def test_materializing_twice_changes_nothing(home, params):
    keys = [{"sku": sku, "zone": "all"} for sku in _features(home, "sku").sku.unique()[:20]]
    first = materialize(AS_OF, params, home)
    before = online_rows(open_store(home), "demand", keys)
    assert materialize(AS_OF, params, home) == first
    assert online_rows(open_store(home), "demand", keys) == before


def _with_active_periods(params, periods):
    short = params.materialize.model_copy(update={"active_periods": periods})
    return params.model_copy(update={"materialize": short})


def test_an_idle_shopper_is_not_pushed_and_overwritten_if_online(home, params):
    shoppers = _features(home, "shopper").sort_values("event_timestamp")
    shoppers = shoppers.groupby("customer_id").last()
    idle = shoppers[shoppers.recency_days.between(8, 100)].index[0]
    busy = shoppers[shoppers.recency_days <= 7].index[0]
    keys = [{"sku": "?", "zone": "all", "customer_id": shopper} for shopper in (idle, busy)]
    everyone = materialize(AS_OF, params, home)
    assert all(row["segment"] for row in online_rows(open_store(home), "quote", keys))
    recent = materialize(AS_OF, _with_active_periods(params, 1), home)
    assert recent["shopper"] == (shoppers.recency_days <= 7).sum() < everyone["shopper"]
    rows = online_rows(open_store(home), "quote", keys)
    assert (rows[0]["segment"], rows[0]["orders_13"]) == (None, None)
    assert rows[1]["segment"]


def test_the_run_after_a_failed_push_overwrites_idle_shoppers(home, params, monkeypatch):
    materialize(AS_OF, params, home)
    rows = _features(home, "shopper").sort_values("event_timestamp")
    idle = rows.groupby("customer_id").last().query("8 <= recency_days <= 100").index[0]
    recent = _with_active_periods(params, 1)
    with monkeypatch.context() as broken:
        broken.setattr("pipelines.materialize._write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            materialize(AS_OF, recent, home)
    materialize(AS_OF, recent, home)
    key = {"sku": "?", "zone": "all", "customer_id": idle}
    assert online_rows(open_store(home), "quote", [key])[0]["segment"] is None


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


def test_materialize_without_features_is_an_error(tmp_path, params):
    with pytest.raises(EmptyHistory, match=r"run `pricebook featurize`. Received: "):
        materialize(AS_OF, params, Settings(home=tmp_path))


def test_every_registered_feature_is_a_column_of_its_file(featured, store):
    for view in map(store.get_feature_view, KEYS):
        columns = set(_features(featured, view.name).columns)
        assert {field.name for field in view.features} <= columns


def test_the_command_line_of_feast_opens_the_default_home(tmp_path):
    from feast.repo_config import load_repo_config

    repo = shutil.copytree(REPO_ROOT / "feature_repo", tmp_path / "feature_repo")
    shell = load_repo_config(repo, repo / "feature_store.yaml")
    ours = _config(Settings(home=tmp_path))
    assert shell.project == ours.project
    assert (shell.offline_store.type, shell.online_store.type) == ("duckdb", "sqlite")
    assert (repo / shell.registry.path).resolve() == (tmp_path / ".pricebook/feast/registry.db")


def test_urls_in_settings_replace_sqlite():
    settings = Settings(
        redis_url="redis://cache:6379/1", feast_registry_url="postgresql://db/feast"
    )
    assert online_settings(settings) == {"type": "redis", "connection_string": "cache:6379,db=1"}
    assert registry_settings(settings)["registry_type"] == "sql"


def test_a_redis_url_may_have_a_password_and_tls():
    assert redis_address("rediss://:pw@cache/0") == "cache:6379,db=0,password=pw,ssl=true"


def test_an_earlier_cutoff_pushes_the_features_known_then(home, params):
    earlier = date(2017, 10, 2)
    materialize(earlier, params, home)
    rows = online_rows(open_store(home), "demand", [{"sku": _a_sku(home), "zone": "all"}])
    assert rows[0]["sku_period_at"] <= cutoff(earlier, params.shop.timezone)
