"""What the feature files say of a small made-up shop whose answers are known by hand."""

import logging
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from pipelines.featurize import featurize
from pricebook.config import Costs, Featurize, Params, Settings, Shop
from pricebook.errors import ConfigError, EmptyHistory, SourceError
from pricebook.features.calendar import Calendar, period_of, step, whole_periods
from pricebook.files import read_json

MONDAY = date(2024, 1, 1)
WEEKS = 8
AS_OF = MONDAY + timedelta(weeks=WEEKS)
FILES = ("sku_period", "sku", "sku_segment", "shopper", "segment_period", "price_book")


def week(number):
    return MONDAY + timedelta(weeks=number)


def noon(day):
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def line(day, sku="milk", quantity=1, net=200, **more):
    at = noon(day) if isinstance(day, date) and not isinstance(day, datetime) else day
    order = more.pop(
        "order_id", f"{at:%m%d%H}-{more.get('customer_id', '')}-{more.get('zone', '')}"
    )
    return {
        "order_id": order,
        "ordered_at": at,
        "sku": sku,
        "quantity": quantity,
        "net_amount": net,
        **more,
    }


def every_day(sku="bread", **more):
    return [line(MONDAY + timedelta(days=n), sku, **more) for n in range(7 * WEEKS)]


def params(min_periods=2, costs=None, **shop):
    given = {"name": "corner shop", "source": "files", **shop}
    return Params(
        shop=Shop(**given), costs=costs or Costs(), featurize=Featurize(min_periods=min_periods)
    )


@pytest.fixture
def build(tmp_path):
    """Run the stage on tables given as rows; the feature files as frames."""

    def run(orders, asked=None, as_of=AS_OF, **tables):
        settings = Settings(home=tmp_path)
        settings.validated.mkdir(parents=True, exist_ok=True)
        for name, rows in {"orders": orders, **tables}.items():
            pd.DataFrame(rows).to_parquet(settings.validated / f"{name}.parquet", index=False)
        featurize(as_of, asked or params(), settings)
        return {name: pd.read_parquet(settings.features / f"{name}.parquet") for name in FILES}

    return run


def of(frame, sku="milk", **keys):
    frame = frame[frame["sku"] == sku]
    for name, value in keys.items():
        frame = frame[frame[name] == value]
    return frame.set_index("period" if "period" in frame else "zone")


def milk_in(*weeks, **more):
    return [line(week(number), **more) for number in weeks]


# Periods


@pytest.mark.parametrize(
    ("grain", "day", "start"),
    [
        ("day", date(2024, 1, 3), date(2024, 1, 3)),
        ("week", date(2024, 1, 7), date(2024, 1, 1)),
        ("month", date(2024, 2, 29), date(2024, 2, 1)),
    ],
)
def test_a_day_falls_in_the_period_that_starts_on_or_before_it(grain, day, start):
    assert period_of(day, grain) == start


def test_a_month_back_from_a_long_month_ends_in_the_short_one():
    assert step(date(2024, 3, 31), "month", -1) == date(2024, 2, 29)


def test_a_first_or_last_week_with_fewer_trading_days_is_left_out():
    trading = {week(0): 1, week(1): 7, week(2): 7, week(3): 7, week(4): 6}
    assert whole_periods(trading, "week", week(5)) == (week(1), week(2), week(3))


def test_a_week_that_has_not_ended_is_left_out():
    trading = {week(n): 5 for n in range(4)}
    assert whole_periods(trading, "week", week(3) + timedelta(days=6))[-1] == week(2)


def test_days_are_always_whole():
    assert len(whole_periods({MONDAY: 1, MONDAY + timedelta(days=2): 1}, "day", AS_OF)) == 3


def test_an_inner_week_without_a_line_is_still_a_week():
    assert len(whole_periods({week(0): 7, week(2): 7}, "week", AS_OF)) == 3


def test_segments_are_known_before_the_period_starts():
    calendar = Calendar("week", "UTC", AS_OF, MONDAY, tuple(week(n) for n in range(WEEKS)))
    known = calendar.table().to_pandas().set_index("number")["segments_of"]
    assert known[:4].isna().all()
    assert set(pd.to_datetime(known[4:]).dt.date) == {week(4)}


def test_a_late_sunday_evening_counts_in_the_shops_own_week(build):
    monday_in_utc = datetime(2024, 1, 15, 3, tzinfo=UTC)
    shop = params(timezone="America/New_York")
    rows = build([*every_day(), *milk_in(3, 4), line(monday_in_utc)], shop)["sku_period"]
    assert of(rows).units[week(1)] == 1
    assert of(rows).units[week(2)] == 0


def test_a_row_is_known_when_its_period_ends(build):
    rows = build([*every_day(), *milk_in(1, 2)])["sku_period"]
    assert of(rows).event_timestamp[week(1)] == pd.Timestamp(week(2), tz="UTC")
    assert (rows.created_timestamp == pd.Timestamp(AS_OF, tz="UTC")).all()


# Series


def test_weeks_without_a_sale_are_zeros_at_the_last_price(build):
    rows = of(build([*every_day(), *milk_in(1), *milk_in(4, net=150)])["sku_period"])
    assert list(rows.units) == [0, 1, 0, 0, 1, 0, 0, 0]
    assert list(rows.price) == [200, 200, 200, 200, 150, 150, 150, 150]


def test_a_price_carried_back_is_marked_and_no_snapshot_knows_it(build):
    built = build([*every_day(), *milk_in(2, 3)])
    assert list(of(built["sku_period"]).price_carried_back) == [True, True] + [False] * 6
    assert of(built["sku"]).price_last.isna().tolist() == [True, True] + [False] * 6
    assert of(built["sku"]).list_price.isna().tolist() == [True, True] + [False] * 6


def test_a_sku_with_one_sale_is_not_modelled_but_is_in_the_price_book(build):
    built = build([*every_day(), *milk_in(3)])
    assert of(built["sku_period"]).empty
    book = of(built["price_book"]).loc["all"]
    assert (book.list_price, book.list_price_from, book.modelled) == (200, "orders", False)


def test_a_seasonal_sku_that_sells_as_much_as_a_steady_one_is_modelled(build):
    many = milk_in(3, quantity=60, net=12_000)
    assert not of(build([*every_day(), *many])["sku_period"]).empty


def test_the_list_price_is_the_list_amount_of_a_unit_carried_likewise(build):
    sold = [line(week(1), quantity=2, net=400, list_amount=500), *milk_in(2)]
    rows = of(build([*every_day(), *sold])["sku_period"])
    assert (rows.list_price == 250).all()


def test_without_list_amounts_the_list_price_is_the_highest_seen_so_far(build):
    sold = [*milk_in(1, net=150), *milk_in(3, net=220), *milk_in(5, net=180)]
    rows = of(build([*every_day(), *sold])["sku_period"])
    assert list(rows.list_price) == [150, 150, 150, 220, 220, 220, 220, 220]


def test_a_week_without_a_sale_has_the_published_price(build):
    prices = [
        {"sku": "milk", "price": 210, "effective_from": noon(date(2023, 6, 1))},
        {"sku": "milk", "price": 230, "effective_from": noon(week(3))},
    ]
    rows = of(build([*every_day(), *milk_in(1, 5)], prices=prices)["sku_period"])
    assert list(rows.price) == [210, 200, 210, 230, 230, 200, 230, 230]
    assert list(rows.list_price) == [210] * 3 + [230] * 5


def test_returns_lower_the_units_and_set_no_price(build):
    back = line(week(2), quantity=-1, net=-200, order_id="back")
    rows = of(build([*every_day(), *milk_in(1, 3), back], params(allow_returns=True))["sku_period"])
    assert list(rows.units[:4]) == [0, 1, -1, 1]
    assert rows.price[week(2)] == 200


def test_lines_of_departments_the_shop_leaves_out_are_nowhere(build):
    shop = params(exclude_departments=("FUEL",))
    products = [{"sku": "milk", "department": "FUEL"}, {"sku": "bread", "department": "BAKERY"}]
    built = build([*every_day(), *milk_in(1, 2, 3)], shop, products=products)
    assert of(built["sku_period"]).empty
    assert of(built["price_book"]).empty


def test_a_shop_that_prices_by_zone_has_a_series_for_each(build):
    sold = [*milk_in(1, 2, zone="north"), *milk_in(1, 2, zone="south", net=300)]
    built = build([*every_day(zone="north"), *sold], params(by_zone=True))
    rows = of(built["sku_period"])
    assert rows[rows.zone == "south"].price[week(1)] == 300
    assert set(of(built["price_book"]).index) == {"north", "south"}


@pytest.mark.parametrize(("grain", "periods"), [("day", 56), ("week", 8), ("month", 1)])
def test_the_grain_of_a_period_is_the_shops(build, grain, periods):
    built = build(every_day(customer_id="ann"), params(min_periods=1, grain=grain))
    assert len(built["sku_period"]) == periods
    assert built["sku_period"].units.sum() == (31 if grain == "month" else 56)


# What surrounds a series


def promoted(sku, number, zone, kind="display", weeks=1):
    start, end = noon(week(number)), noon(week(number + weeks))
    midnight = timedelta(hours=12)
    return {
        "sku": sku,
        "zone": zone,
        "starts_at": start - midnight,
        "ends_at": end - midnight,
        "kind": kind,
    }


def test_a_promotion_share_counts_the_zones_with_any_promotion_that_week(build):
    promotions = [
        promoted("milk", 1, "north"),
        promoted("milk", 1, "north", "mailer"),
        promoted("milk", 1, "south", "display+mailer"),
        promoted("eggs", 1, "west"),
        promoted("eggs", 1, "east"),
    ]
    rows = of(build([*every_day(), *milk_in(1, 2)], promotions=promotions)["sku_period"])
    assert rows.loc[week(1), ["display", "mailer", "promotion"]].tolist() == [0.5, 0.5, 0.5]
    assert rows.loc[week(2), ["display", "mailer", "promotion"]].tolist() == [0, 0, 0]


def test_a_promotion_of_the_shops_own_kind_everywhere_for_two_weeks(build):
    promotions = [promoted("milk", 2, None, "half price", weeks=2), promoted("eggs", 2, "north")]
    rows = of(build([*every_day(), *milk_in(1, 2)], promotions=promotions)["sku_period"])
    assert list(rows.promotion) == [0, 0, 1, 1, 0, 0, 0, 0]
    assert rows.display.sum() == 0


def test_a_promotion_in_a_zone_is_on_in_that_zone_only(build):
    sold = [*milk_in(1, 2, zone="north"), *milk_in(1, 2, zone="south")]
    promotions = [promoted("milk", 1, "north"), promoted("milk", 2, None)]
    shop = params(by_zone=True)
    rows = of(build([*every_day(), *sold], shop, promotions=promotions)["sku_period"])
    assert list(rows[rows.zone == "north"].promotion[:3]) == [0, 1, 1]
    assert list(rows[rows.zone == "south"].promotion[:3]) == [0, 0, 1]


def test_stock_and_rivals_are_as_last_seen(build):
    inventory = [
        {"sku": "milk", "zone": "north", "observed_at": noon(week(2)), "on_hand": 0},
        {"sku": "milk", "zone": "south", "observed_at": noon(week(2)), "on_hand": 9},
    ]
    seen = {"sku": "milk", "competitor": "Acme", "observed_at": noon(week(3))}
    rivals = [{**seen, "price": 190, "public": True}, {**seen, "price": 100, "public": False}]
    built = build([*every_day(), *milk_in(1, 2)], inventory=inventory, competitor_prices=rivals)
    rows = of(built["sku_period"])
    assert list(rows.on_hand_share) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert rows.competitor_price.isna().tolist() == [True] * 3 + [False] * 5
    assert of(built["price_book"]).competitor_price["all"] == 190


def test_what_an_absent_table_or_column_costs_is_said(build, caplog):
    with caplog.at_level(logging.WARNING, "pricebook.featurize"):
        built = build([*every_day(), *milk_in(1, 2)])
    assert "No promotions table: display, mailer and promotion are 0." in caplog.text
    assert "Orders have no customer_id" in caplog.text
    assert built["shopper"].empty
    assert built["segment_period"].empty


# Snapshots


def test_a_snapshot_sums_up_the_periods_so_far(build):
    sold = [line(week(n), quantity=n, net=n * 100, list_amount=n * 200) for n in (1, 2, 4)]
    rows = of(build([*every_day(), *sold])["sku"])
    assert list(rows.units_4[1:6]) == [1, 3, 3, 7, 6]
    assert list(rows.units_13[1:6]) == [1, 3, 3, 7, 7]
    assert list(rows.periods_since_sale[1:6]) == [0, 0, 1, 0, 1]
    assert (rows.discount_share_13[1:] == 1).all()


def test_the_reference_price_is_the_median_of_the_last_weeks_with_sales(build):
    sold = [line(week(n), net=net) for n, net in ((1, 100), (2, 300), (5, 200))]
    rows = of(build([*every_day(), *sold])["sku"])
    assert list(rows.reference_price[1:]) == [100, 200, 200, 200, 200, 200, 200]


# Shoppers


def weekly(customer, weeks, **more):
    return [line(week(n), customer_id=customer, **more) for n in weeks]


def test_a_shopper_is_what_their_own_orders_say(build):
    sold = [
        *weekly("ann", range(8), net=150, list_amount=200),
        *weekly("bob", range(8), list_amount=200),
        *weekly("cat", [1], list_amount=200),
    ]
    products = [{"sku": "milk", "category": "DAIRY"}, {"sku": "bread", "category": "BAKERY"}]
    people = build([*every_day(), *sold], products=products)["shopper"]
    last = people[people.event_timestamp == pd.Timestamp(AS_OF, tz="UTC")]
    last = last.set_index("customer_id")
    assert last.loc["ann", ["recency_days", "orders_13", "spend_13"]].tolist() == [7, 8, 1200]
    assert (last.basket_mean["bob"], last.discount_affinity["ann"]) == (200, 1)
    assert list(last.top_categories["cat"]) == ["DAIRY"]


def test_a_shopper_without_an_order_in_the_window_has_lapsed(build):
    late = AS_OF + timedelta(weeks=12)
    people = build([*every_day(), *weekly("ann", [0])], as_of=late)["shopper"]
    last = people.sort_values("event_timestamp").iloc[-1]
    assert (last.segment, last.orders_13, last.recency_days) == ("lapsed", 0, 140)


def test_a_line_counts_in_the_segment_its_shopper_was_in_before_the_week(build):
    sold = [*weekly("ann", range(8)), *weekly("new", [6, 7])]
    rows = of(build([*every_day(), *sold])["segment_period"], segment="regular")
    assert list(rows.index) == [week(4), week(5), week(6), week(7)]
    assert list(rows.units) == [1, 1, 1, 1]


def test_consent_is_as_the_shopper_gave_it_and_null_if_unknown(build):
    customers = [{"customer_id": "ann", "consent_personalised": True}]
    sold = [*weekly("ann", [1]), *weekly("bob", [1])]
    people = build([*every_day(), *sold], customers=customers)["shopper"]
    consent = people.groupby("customer_id").consent_personalised.agg(list)
    assert consent["ann"] == [True, True]
    assert consent["bob"] == [None, None]


# The price book


def listed(**more):
    return [{"sku": "milk", "department": "DAIRY", "list_price": 240, **more}]


@pytest.mark.parametrize(
    ("tables", "price", "source"),
    [
        ({}, 220, "orders"),
        ({"products": listed()}, 240, "products"),
        (
            {
                "products": listed(),
                "prices": [{"sku": "milk", "price": 260, "effective_from": noon(week(2))}],
            },
            260,
            "prices",
        ),
    ],
)
def test_the_list_price_is_the_best_published_one(build, tables, price, source):
    sold = [*milk_in(1, 2, list_amount=220), *milk_in(3, list_amount=230)]
    book = of(build([*every_day(), *sold], **tables)["price_book"]).loc["all"]
    assert (book.list_price, book.list_price_from) == (price, source)


def test_a_cost_is_the_products_else_assumed_else_absent(build):
    assumed = Costs(assumed_margin=0.5, assumed_margin_by_department={"DAIRY": 0.25})
    orders = [*every_day(), *milk_in(1, 2)]
    book = build(orders, params(costs=assumed), products=listed())["price_book"].set_index("sku")
    assert book.unit_cost.to_dict() == {"bread": 100, "milk": 180}
    assert book.cost_assumed.all()
    given = build(orders, products=listed(unit_cost=90))["price_book"].set_index("sku")
    assert (given.unit_cost["milk"], given.cost_assumed["milk"]) == (90, False)
    assert pd.isna(given.unit_cost["bread"])


def test_a_product_never_sold_is_sellable_if_it_has_a_list_price(build):
    products = [{"sku": "new", "list_price": 500}, {"sku": "no price"}]
    book = build(every_day(), products=products)["price_book"].set_index("sku")
    assert book.loc["new", ["list_price", "last_price", "lowest_30d"]].tolist() == [500] * 3
    assert "no price" not in book.index


def test_the_lowest_price_of_thirty_days_forgets_older_ones(build):
    sold = [*milk_in(1, net=50), *milk_in(5, net=150), *milk_in(6, net=180)]
    book = of(build([*every_day(), *sold])["price_book"]).loc["all"]
    assert (book.lowest_30d, book.last_price, book.reference_price) == (150, 180, 150)


# The stage


def test_running_again_changes_no_byte(build, tmp_path):
    orders = [*every_day(), *weekly("ann", range(8))]
    build(orders)
    first = {path.name: path.read_bytes() for path in (tmp_path / "data/features").iterdir()}
    build(orders)
    again = {path.name: path.read_bytes() for path in (tmp_path / "data/features").iterdir()}
    assert again == first


def test_the_manifest_says_what_was_built(build, tmp_path):
    build([*every_day(), *milk_in(1, 2)])
    manifest = read_json(tmp_path / "data/features/manifest.json")
    assert (manifest["series"], manifest["periods"]) == (2, 8)
    assert (manifest["first_period"], manifest["last_period"]) == (str(week(0)), str(week(7)))


def test_a_run_that_dies_leaves_the_files_before_it(build, tmp_path, monkeypatch):
    build(every_day())
    before = (tmp_path / "data/features/sku.parquet").read_bytes()
    monkeypatch.setattr("pipelines.featurize._manifest", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build([*every_day(), *milk_in(1, 2)])
    assert (tmp_path / "data/features/sku.parquet").read_bytes() == before
    assert [path.name for path in (tmp_path / "data").iterdir() if "partial" in path.name] == []


def test_no_validated_orders_is_said(tmp_path):
    with pytest.raises(SourceError, match=r"No validated orders.*Received: .*validated"):
        featurize(AS_OF, params(), Settings(home=tmp_path))


def test_a_cutoff_before_the_data_is_said(build):
    with pytest.raises(EmptyHistory, match=r"before the cut-off. Received: as_of 2020"):
        build(every_day(), as_of=date(2020, 1, 1))


def test_a_shop_where_nothing_sells_often_enough_is_told_which_setting_to_lower(build):
    with pytest.raises(EmptyHistory, match=r"lower featurize.min_periods. Received: sales of 1 sk"):
        build(every_day(), params(min_periods=9))


def test_pricing_by_zone_without_zones_is_said(build):
    with pytest.raises(ConfigError, match=r"shop.by_zone needs a zone in orders. Received: "):
        build(every_day(), params(by_zone=True))
