"""half_period: units and price of each series and period in two halves of the sales."""

import pandas as pd
import pytest

from models.evaluation.holdout import HALVES, as_model_input, hold_out
from pipelines.evaluation import panel as panels
from pipelines.featurize import featurize
from pricebook.config import Settings
from tests.test_features import AS_OF, every_day, line, params, week

STORES = [f"store {number}" for number in range(40)]
SHOPPERS = [f"shopper {number}" for number in range(40)]


@pytest.fixture
def halves(tmp_path):
    """Run featurize on order lines; return half_period joined to the units of sku_period."""

    def run(orders, shop=None):
        settings = Settings(home=tmp_path)
        settings.validated.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(orders).to_parquet(settings.validated / "orders.parquet", index=False)
        featurize(AS_OF, shop or params(), settings)
        rows = pd.read_parquet(settings.features / "half_period.parquet")
        units = pd.read_parquet(settings.features / "sku_period.parquet")
        return rows.merge(units, on=["sku", "zone", "period"], suffixes=("", "_period"))

    return run


def bought(where, values, **columns):
    """One unit of milk for each value, in weeks 1 and 2; the price of a value is its number."""
    return [
        line(week(number), net=100 + n, **{where: value}, **columns)
        for number in (1, 2)
        for n, value in enumerate(values)
    ]


def test_the_halves_add_up_to_the_period(halves):
    rows = halves([*every_day(), *bought("zone", STORES)])
    assert (rows.units_a + rows.units_b == rows.units).all()
    revenue = rows.units_a * rows.price_a.fillna(0) + rows.units_b * rows.price_b.fillna(0)
    assert revenue.tolist() == pytest.approx(rows.revenue.tolist())


def test_a_half_without_sales_has_no_price(halves):
    rows = halves([*every_day(), *bought("zone", STORES[:1], order_id="one")])
    milk = rows[rows.sku == "milk"]
    assert (milk[["price_a", "price_b"]].notna().sum(axis=1) == 1).all()
    assert (milk[["units_a", "units_b"]].min(axis=1) == 0).all()


def test_a_store_is_in_the_same_half_in_every_week(halves):
    rows = halves([*every_day(), *bought("zone", STORES)])
    milk = rows[rows.sku == "milk"]
    assert len(milk) == 2 and milk.price_a.nunique() == milk.price_b.nunique() == 1
    assert milk.units_a.between(10, 30).all()


@pytest.mark.parametrize("columns", [{"zone": "north"}, {}])
def test_a_shop_of_few_stores_is_divided_by_shopper(halves, columns):
    rows = halves([*every_day(), *bought("customer_id", SHOPPERS, **columns)])
    milk = rows[rows.sku == "milk"]
    assert milk.price_a.nunique() == milk.price_b.nunique() == 1


def test_a_shop_with_prices_by_zone_is_divided_by_shopper_within_each_zone(halves):
    orders = [
        line(week(number), net=100 + n, zone=zone, customer_id=shopper)
        for number in (1, 2)
        for zone in ("north", "south")
        for n, shopper in enumerate(SHOPPERS)
    ]
    rows = halves([*every_day(zone="north"), *orders], params(by_zone=True))
    milk = rows[rows.sku == "milk"]
    assert set(milk.zone) == {"north", "south"} and milk.price_a.nunique() == 1


def test_anonymous_orders_are_divided_by_order(halves):
    orders = [line(week(number), order_id=f"{number}-{n}") for number in (1, 2) for n in range(100)]
    rows = halves([*every_day(), *orders])
    assert rows[rows.sku == "milk"].units_a.between(30, 70).all()


def test_returns_do_not_give_a_half_a_price(halves):
    returned = [line(week(1), quantity=-5, net=-500, zone=store) for store in STORES[:3]]
    rows = halves([*every_day(), *bought("zone", STORES[:3]), *returned])
    milk = rows[(rows.sku == "milk") & (pd.to_datetime(rows.period) == pd.Timestamp(week(1)))]
    assert (milk[["units_a", "units_b"]] == 0).all(axis=None)
    assert milk[["price_a", "price_b"]].isna().all(axis=None)


def test_features_of_an_earlier_version_give_a_panel_without_halves(tmp_path):
    rows = pd.DataFrame({"sku": ["milk"], "zone": ["all"], "period": [pd.Timestamp(week(1))]})
    assert panels.with_halves(rows, Settings(home=tmp_path)) is rows


def test_the_input_of_the_demand_model_has_no_halves():
    periods = pd.date_range("2024-01-01", periods=9, freq="7D")
    columns = dict.fromkeys(["price", "display", "mailer", "promotion", "units", *HALVES], 1.0)
    panel = pd.DataFrame({"sku": "milk", "zone": "all", "period": periods, **columns})
    assert not set(HALVES) & set(as_model_input(hold_out(panel, 4)))
