"""No leakage: on a real sample, later data changes no earlier feature."""

import shutil
from datetime import UTC, date, datetime

import duckdb
import pandas as pd
import pytest

from pipelines.featurize import featurize, refuse_future
from pricebook.config import Settings, cutoff
from pricebook.errors import LeakageError

EARLIER = date(2017, 11, 22)  # a Wednesday: the week it falls in goes on after it
FILES = (
    "sku_period",
    "sku",
    "sku_segment",
    "shopper",
    "segment_period",
    "half_period",
    "price_book",
)
FUTURE = {
    "orders": """
        select * replace (quantity * 3 as quantity, net_amount * 2 + 1 as net_amount,
                          list_amount * 5 as list_amount)
        from old where ordered_at >= {t}
        union all by name
        select * replace (order_id || '-more' as order_id) from old where ordered_at >= {t}""",
    "promotions": "select * replace ('mailer' as kind) from old where starts_at >= {t} limit 1000",
}


@pytest.fixture(scope="module")
def at(featured, params):
    """The instant the earlier cut-off begins."""
    return cutoff(EARLIER, params.shop.timezone)


def _rewrite(source, target, at, past, future):
    """Copy a validated file and change only the rows after the cut-off."""
    instant = f"timestamptz '{at.isoformat()}'"
    old = f"with old as (select * from '{source}') "
    unchanged = f"select * from old where {past} < {instant}"
    con = duckdb.connect()
    query = f"{old} {unchanged} union all by name ({future.format(t=instant)})"
    con.execute(f"copy ({query}) to '{target}' (format parquet)")


@pytest.fixture(scope="module")
def built_at_the_earlier_cutoff(featured, params, tmp_path_factory):
    """Two homes with the same data before the cut-off and different data after it."""
    at = cutoff(EARLIER, params.shop.timezone)
    homes = {name: Settings(home=tmp_path_factory.mktemp(name)) for name in ("real", "changed")}
    for settings in homes.values():
        shutil.copytree(featured.validated, settings.validated)
    for table, time in (("orders", "ordered_at"), ("promotions", "starts_at")):
        source = featured.validated / f"{table}.parquet"
        target = homes["changed"].validated / f"{table}.parquet"
        _rewrite(source, target, at, time, FUTURE[table])
    for settings in homes.values():
        featurize(EARLIER, params, settings)
    return homes


def test_the_homes_differ_after_the_cutoff(built_at_the_earlier_cutoff):
    orders = [
        pd.read_parquet(home.validated / "orders.parquet")
        for home in built_at_the_earlier_cutoff.values()
    ]
    assert orders[0].net_amount.sum() != orders[1].net_amount.sum()
    assert len(orders[0]) < len(orders[1])


@pytest.mark.parametrize("name", FILES)
def test_no_feature_price_or_target_comes_from_the_cutoff_or_after(
    name, built_at_the_earlier_cutoff
):
    real, changed = (
        (home.features / f"{name}.parquet").read_bytes()
        for home in built_at_the_earlier_cutoff.values()
    )
    assert len(real) > 1000
    assert real == changed


def test_training_rows_do_not_change_with_the_future(built_at_the_earlier_cutoff, params):
    from pipelines.evaluation.panel import panel

    real, changed = (panel(EARLIER, params, home) for home in built_at_the_earlier_cutoff.values())
    assert len(real) > 1000
    pd.testing.assert_frame_equal(real, changed)


@pytest.mark.parametrize("name", ["sku_period", "sku", "shopper", "segment_period", "half_period"])
def test_data_after_a_snapshot_does_not_change_it(name, featured, built_at_the_earlier_cutoff, at):
    keys = {"shopper": ["customer_id"], "segment_period": ["sku", "zone", "segment"]}
    keys = [*keys.get(name, ["sku", "zone"]), "event_timestamp"]
    early, late = (
        pd.read_parquet(home.features / f"{name}.parquet").set_index(keys)
        for home in (built_at_the_earlier_cutoff["real"], featured)
    )
    if name == "sku_period":  # a price carried back is marked as known later than its period
        early = early[~early.price_carried_back]
    both = early.index.intersection(late.index)
    assert len(both) > 1000
    assert both.get_level_values("event_timestamp").max() <= at
    columns = early.columns.drop("created_timestamp")
    pd.testing.assert_frame_equal(early.loc[both, columns], late.loc[both, columns])


@pytest.mark.parametrize("name", FILES[:-1])
def test_every_row_is_known_by_the_cutoff(name, built_at_the_earlier_cutoff, at):
    file = built_at_the_earlier_cutoff["real"].features / f"{name}.parquet"
    assert pd.read_parquet(file).event_timestamp.max() <= at


def test_a_row_known_only_after_the_cutoff_is_an_error():
    instant = datetime(2017, 10, 2, 4, tzinfo=UTC)
    refuse_future("sku", instant, instant)
    with pytest.raises(LeakageError, match=r"sku: .*Received: event_timestamp 2017-10-03"):
        refuse_future("sku", instant.replace(day=3), instant)


def test_a_leak_stops_featurize_and_changes_no_file(
    built_at_the_earlier_cutoff, params, monkeypatch
):
    home = built_at_the_earlier_cutoff["real"]
    before = (home.features / "sku.parquet").read_bytes()
    monkeypatch.setattr("pricebook.features.Calendar.cutoff", datetime(2017, 3, 1, tzinfo=UTC))
    with pytest.raises(LeakageError, match="known only after the cut-off"):
        featurize(EARLIER, params, home)
    assert (home.features / "sku.parquet").read_bytes() == before


def test_a_join_that_returns_a_later_row_is_an_error(
    featured, built_at_the_earlier_cutoff, params, tmp_path
):
    from pipelines.evaluation.panel import panel

    home = Settings(home=tmp_path)
    shutil.copytree(built_at_the_earlier_cutoff["real"].features, home.features)
    file = home.features / "sku.parquet"
    shifted = pd.read_parquet(file)
    shifted["event_timestamp"] -= pd.Timedelta(weeks=1)
    shifted.to_parquet(file, index=False)
    with pytest.raises(LeakageError, match=r"known only after their event_timestamp.*sku_at"):
        panel(EARLIER, params, home)
