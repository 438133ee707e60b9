"""The feature files of a small made-up shop, against values worked out by hand."""

import logging
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from pipelines.featurize import featurize
from pricebook.config import Costs, Featurize, Params, Settings, Shop
from pricebook.errors import ConfigError, EmptyHistory, SourceError
from pricebook.features.calendar import Calendar, add_periods, period_of, whole_periods
from pricebook.files import read_json

MONDAY = date(2024, 1, 1)
WEEKS = 8
AS_OF = MONDAY + timedelta(weeks=WEEKS)
FILES = ("sku_period", "sku", "sku_segment", "shopper", "segment_period", "price_book")


def week(number):
    return MONDAY + timedelta(weeks=number)


def noon(day):
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def line(day, sku="milk", quantity=1, net=200, **columns):
    at = noon(day) if isinstance(day, date) and not isinstance(day, datetime) else day
    order = columns.pop(
        "order_id", f"{at:%m%d%H}-{columns.get('customer_id', '')}-{columns.get('zone', '')}"
    )
    return {
        "order_id": order,
        "ordered_at": at,
        "sku": sku,
        "quantity": quantity,
        "net_amount": net,
        **columns,
    }


def every_day(sku="bread", **columns):
    return [line(MONDAY + timedelta(days=n), sku, **columns) for n in range(7 * WEEKS)]


def params(min_periods=2, costs=None, **shop):
    settings = {"name": "corner shop", "source": "files", **shop}
    return Params(
        shop=Shop(**settings), costs=costs or Costs(), featurize=Featurize(min_periods=min_periods)
    )


@pytest.fixture
def build(tmp_path):
    """Run featurize on tables given as rows; return the feature files as frames."""

    def run(orders, shop=None, as_of=AS_OF, **tables):
        settings = Settings(home=tmp_path)
        settings.validated.mkdir(parents=True, exist_ok=True)
        for name, rows in {"orders": orders, **tables}.items():
            pd.DataFrame(rows).to_parquet(settings.validated / f"{name}.parquet", index=False)
        featurize(as_of, shop or params(), settings)
        return {name: pd.read_parquet(settings.features / f"{name}.parquet") for name in FILES}

    return run


def rows_of(frame, sku="milk", **keys):
    frame = frame[frame["sku"] == sku]
    for name, value in keys.items():
        frame = frame[frame[name] == value]
    return frame.set_index("period" if "period" in frame else "zone")


def milk_in(*weeks, **columns):
    return [line(week(number), **columns) for number in weeks]


# Periods


@pytest.mark.parametrize(
    ("grain", "day", "start"),
    [
        ("day", date(2024, 1, 3), date(2024, 1, 3)),
        ("week", date(2024, 1, 7), date(2024, 1, 1)),
        ("month", date(2024, 2, 29), date(2024, 2, 1)),
    ],
)
def test_a_period_starts_on_or_before_its_days(grain, day, start):
    assert period_of(day, grain) == start


def test_the_last_day_of_a_long_month_minus_a_month_is_the_last_of_a_short_one():
    assert add_periods(date(2024, 3, 31), "month", -1) == date(2024, 2, 29)


def test_a_first_or_last_week_with_fewer_trading_days_is_left_out():
    trading = {week(0): 1, week(1): 7, week(2): 7, week(3): 7, week(4): 6}
    assert whole_periods(trading, "week", week(5)) == (week(1), week(2), week(3))


def test_a_week_that_has_not_ended_is_left_out():
    trading = {week(n): 5 for n in range(4)}
    assert whole_periods(trading, "week", week(3) + timedelta(days=6))[-1] == week(2)


def test_days_are_always_whole():
    assert len(whole_periods({MONDAY: 1, MONDAY + timedelta(days=2): 1}, "day", AS_OF)) == 3


def test_a_week_without_a_line_between_others_is_whole():
    assert len(whole_periods({week(0): 7, week(2): 7}, "week", AS_OF)) == 3


def test_segments_come_from_a_snapshot_before_the_period_starts():
    calendar = Calendar("week", "UTC", AS_OF, MONDAY, tuple(week(n) for n in range(WEEKS)))
    known = calendar.table().to_pandas().set_index("number")["segments_of"]
    assert known[:4].isna().all()
    assert set(pd.to_datetime(known[4:]).dt.date) == {week(4)}


def test_a_line_counts_in_the_week_of_its_local_date(build):
    monday_in_utc = datetime(2024, 1, 15, 3, tzinfo=UTC)
    shop = params(timezone="America/New_York")
    rows = build([*every_day(), *milk_in(3, 4), line(monday_in_utc)], shop)["sku_period"]
    assert rows_of(rows).units[week(1)] == 1
    assert rows_of(rows).units[week(2)] == 0


def test_a_row_is_known_from_the_end_of_its_period(build):
    rows = build([*every_day(), *milk_in(1, 2)])["sku_period"]
    assert rows_of(rows).event_timestamp[week(1)] == pd.Timestamp(week(2), tz="UTC")
    assert (rows.created_timestamp == pd.Timestamp(AS_OF, tz="UTC")).all()


# Series


def test_weeks_without_a_sale_have_zero_units_at_the_last_price(build):
    rows = rows_of(build([*every_day(), *milk_in(1), *milk_in(4, net=150)])["sku_period"])
    assert list(rows.units) == [0, 1, 0, 0, 1, 0, 0, 0]
    assert list(rows.price) == [200, 200, 200, 200, 150, 150, 150, 150]


def test_a_price_carried_back_is_marked_and_not_in_snapshots(build):
    built = build([*every_day(), *milk_in(2, 3)])
    assert list(rows_of(built["sku_period"]).price_carried_back) == [True, True] + [False] * 6
    assert rows_of(built["sku"]).price_last.isna().tolist() == [True, True] + [False] * 6
    assert rows_of(built["sku"]).list_price.isna().tolist() == [True, True] + [False] * 6


def test_a_sku_with_one_sale_is_not_modelled_but_is_in_the_price_book(build):
    built = build([*every_day(), *milk_in(3)])
    assert rows_of(built["sku_period"]).empty
    book = rows_of(built["price_book"]).loc["all"]
    assert (book.list_price, book.list_price_from, book.modelled) == (200, "orders", False)


def test_a_seasonal_sku_that_sells_as_much_as_a_steady_one_is_modelled(build):
    many = milk_in(3, quantity=60, net=12_000)
    assert not rows_of(build([*every_day(), *many])["sku_period"]).empty


def test_the_list_price_is_the_list_amount_per_unit_carried_in_time(build):
    sold = [line(week(1), quantity=2, net=400, list_amount=500), *milk_in(2)]
    rows = rows_of(build([*every_day(), *sold])["sku_period"])
    assert (rows.list_price == 250).all()


def test_without_list_amounts_the_list_price_is_the_highest_price_so_far(build):
    sold = [*milk_in(1, net=150), *milk_in(3, net=220), *milk_in(5, net=180)]
    rows = rows_of(build([*every_day(), *sold])["sku_period"])
    assert list(rows.list_price) == [150, 150, 150, 220, 220, 220, 220, 220]


def test_a_week_without_a_sale_has_the_published_price(build):
    prices = [
        {"sku": "milk", "price": 210, "effective_from": noon(date(2023, 6, 1))},
        {"sku": "milk", "price": 230, "effective_from": noon(week(3))},
    ]
    rows = rows_of(build([*every_day(), *milk_in(1, 5)], prices=prices)["sku_period"])
    assert list(rows.price) == [210, 200, 210, 230, 230, 200, 230, 230]
    assert list(rows.list_price) == [210] * 3 + [230] * 5


def milk_returned(number, quantity, **columns):
    return line(week(number), quantity=-quantity, net=-200 * quantity, order_id="back", **columns)


def test_returns_lower_the_units_of_their_week(build):
    sold = [line(week(1), quantity=5, net=1000), *milk_in(3), milk_returned(1, 2)]
    rows = rows_of(build([*every_day(), *sold], params(allow_returns=True))["sku_period"])
    assert list(rows.units[:4]) == [0, 3, 0, 1]
    assert (rows.revenue[week(1)], rows.price[week(1)]) == (600, 200)


def test_a_week_with_more_returns_than_sales_has_no_demand_and_is_reported(build, tmp_path, caplog):
    sold = [*milk_in(1, 2, 3), milk_returned(2, 4)]
    with caplog.at_level(logging.WARNING, "pricebook.featurize"):
        built = build([*every_day(), *sold], params(allow_returns=True))
    rows = rows_of(built["sku_period"])
    assert list(rows.units[:4]) == [0, 1, 0, 1]
    assert list(rows.revenue[:4]) == [0, 200, 0, 200]
    assert rows.price[week(2)] == 200
    assert list(rows_of(built["sku"]).units_4[:4]) == [0, 1, 1, 2]
    assert "More units returned than sold in 1 rows (a series in a week), 3 units" in caplog.text
    manifest = read_json(tmp_path / "data/features/manifest.json")
    assert manifest["net_returns"] == {"rows": 1, "units": 3}


def test_without_net_returns_the_manifest_does_not_mention_them(build, tmp_path):
    build([*every_day(), *milk_in(1, 2)])
    assert "net_returns" not in read_json(tmp_path / "data/features/manifest.json")


def test_a_segment_that_returns_more_than_it_buys_has_no_demand(build):
    sold = [*weekly("ann", range(8)), milk_returned(6, 3, customer_id="ann")]
    built = build([*every_day(), *sold], params(allow_returns=True))
    assert list(rows_of(built["segment_period"]).units) == [1, 1, 0, 1]


def test_returns_do_not_count_as_units_sold_below_list(build):
    sold = weekly("ann", range(8), net=150, list_amount=200)
    sold.append(milk_returned(7, 5, customer_id="ann", list_amount=1_000))
    built = build([*every_day(), *sold], params(allow_returns=True))
    assert set(built["shopper"].discount_affinity) == {1.0}
    assert rows_of(built["sku"]).discount_share_13.dropna().eq(1).all()


def test_excluded_departments_are_in_no_file(build):
    shop = params(exclude_departments=("FUEL",))
    products = [{"sku": "milk", "department": "FUEL"}, {"sku": "bread", "department": "BAKERY"}]
    built = build([*every_day(), *milk_in(1, 2, 3)], shop, products=products)
    assert rows_of(built["sku_period"]).empty
    assert rows_of(built["price_book"]).empty


def test_a_shop_that_prices_by_zone_has_a_series_per_zone(build):
    sold = [*milk_in(1, 2, zone="north"), *milk_in(1, 2, zone="south", net=300)]
    built = build([*every_day(zone="north"), *sold], params(by_zone=True))
    rows = rows_of(built["sku_period"])
    assert rows[rows.zone == "south"].price[week(1)] == 300
    assert set(rows_of(built["price_book"]).index) == {"north", "south"}


@pytest.mark.parametrize(("grain", "periods"), [("day", 56), ("week", 8), ("month", 1)])
def test_the_shop_sets_the_length_of_a_period(build, grain, periods):
    built = build(every_day(customer_id="ann"), params(min_periods=1, grain=grain))
    assert len(built["sku_period"]) == periods
    assert built["sku_period"].units.sum() == (31 if grain == "month" else 56)


# The context of a series


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


def test_promotion_shares_are_of_the_zones_with_any_promotion_that_week(build):
    promotions = [
        promoted("milk", 1, "north"),
        promoted("milk", 1, "north", "mailer"),
        promoted("milk", 1, "south", "display+mailer"),
        promoted("eggs", 1, "west"),
        promoted("eggs", 1, "east"),
    ]
    rows = rows_of(build([*every_day(), *milk_in(1, 2)], promotions=promotions)["sku_period"])
    assert rows.loc[week(1), ["display", "mailer", "promotion"]].tolist() == [0.5, 0.5, 0.5]
    assert rows.loc[week(2), ["display", "mailer", "promotion"]].tolist() == [0, 0, 0]


def test_a_promotion_of_another_kind_in_all_zones_for_two_weeks(build):
    promotions = [promoted("milk", 2, None, "half price", weeks=2), promoted("eggs", 2, "north")]
    rows = rows_of(build([*every_day(), *milk_in(1, 2)], promotions=promotions)["sku_period"])
    assert list(rows.promotion) == [0, 0, 1, 1, 0, 0, 0, 0]
    assert rows.display.sum() == 0


def test_a_promotion_with_a_zone_applies_to_that_zone(build):
    sold = [*milk_in(1, 2, zone="north"), *milk_in(1, 2, zone="south")]
    promotions = [promoted("milk", 1, "north"), promoted("milk", 2, None)]
    shop = params(by_zone=True)
    rows = rows_of(build([*every_day(), *sold], shop, promotions=promotions)["sku_period"])
    assert list(rows[rows.zone == "north"].promotion[:3]) == [0, 1, 1]
    assert list(rows[rows.zone == "south"].promotion[:3]) == [0, 0, 1]


def test_stock_and_competitor_prices_are_the_last_observed(build):
    inventory = [
        {"sku": "milk", "zone": "north", "observed_at": noon(week(2)), "on_hand": 0},
        {"sku": "milk", "zone": "south", "observed_at": noon(week(2)), "on_hand": 9},
    ]
    observed = {"sku": "milk", "competitor": "Acme", "observed_at": noon(week(3))}
    prices = [
        {**observed, "price": 190, "public": True},
        {**observed, "price": 100, "public": False},
    ]
    built = build([*every_day(), *milk_in(1, 2)], inventory=inventory, competitor_prices=prices)
    rows = rows_of(built["sku_period"])
    assert list(rows.on_hand_share) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert rows.competitor_price.isna().tolist() == [True] * 3 + [False] * 5
    assert rows_of(built["price_book"]).competitor_price["all"] == 190


def test_absent_tables_and_columns_are_logged_with_their_effect(build, caplog):
    with caplog.at_level(logging.WARNING, "pricebook.featurize"):
        built = build([*every_day(), *milk_in(1, 2)])
    assert "No promotions table: display, mailer and promotion are 0, and deals" in caplog.text
    assert "Orders have no customer_id" in caplog.text
    assert built["shopper"].empty
    assert built["segment_period"].empty


# Snapshots


def test_a_snapshot_sums_the_periods_so_far(build):
    sold = [line(week(n), quantity=n, net=n * 100, list_amount=n * 200) for n in (1, 2, 4)]
    rows = rows_of(build([*every_day(), *sold])["sku"])
    assert list(rows.units_4[1:6]) == [1, 3, 3, 7, 6]
    assert list(rows.units_13[1:6]) == [1, 3, 3, 7, 7]
    assert list(rows.periods_since_sale[1:6]) == [0, 0, 1, 0, 1]
    assert (rows.discount_share_13[1:] == 1).all()


def test_the_reference_price_is_the_median_of_the_last_weeks_with_sales(build):
    sold = [line(week(n), net=net) for n, net in ((1, 100), (2, 300), (5, 200))]
    rows = rows_of(build([*every_day(), *sold])["sku"])
    assert list(rows.reference_price[1:]) == [100, 200, 200, 200, 200, 200, 200]


# Shoppers


def weekly(customer, weeks, **columns):
    return [line(week(n), customer_id=customer, **columns) for n in weeks]


def test_a_shopper_is_described_by_their_own_orders(build):
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


def test_a_line_counts_in_the_segment_of_its_shopper_before_the_week(build):
    sold = [*weekly("ann", range(8)), *weekly("new", [6, 7])]
    rows = rows_of(build([*every_day(), *sold])["segment_period"], segment="regular")
    assert list(rows.index) == [week(4), week(5), week(6), week(7)]
    assert list(rows.units) == [1, 1, 1, 1]


def test_consent_comes_from_customers_and_is_null_if_unknown(build):
    customers = [{"customer_id": "ann", "consent_personalised": True}]
    sold = [*weekly("ann", [1]), *weekly("bob", [1])]
    people = build([*every_day(), *sold], customers=customers)["shopper"]
    consent = people.groupby("customer_id").consent_personalised.agg(list)
    assert consent["ann"] == [True, True]
    assert consent["bob"] == [None, None]


# The price book


def listed(**columns):
    return [{"sku": "milk", "department": "DAIRY", "list_price": 240, **columns}]


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
def test_the_list_price_is_published_else_of_the_product_else_of_orders(
    build, tables, price, source
):
    sold = [*milk_in(1, 2, list_amount=220), *milk_in(3, list_amount=230)]
    book = rows_of(build([*every_day(), *sold], **tables)["price_book"]).loc["all"]
    assert (book.list_price, book.list_price_from) == (price, source)


def test_a_cost_is_of_the_product_else_assumed_else_null(build):
    assumed = Costs(assumed_margin=0.5, assumed_margin_by_department={"DAIRY": 0.25})
    orders = [*every_day(), *milk_in(1, 2)]
    book = build(orders, params(costs=assumed), products=listed())["price_book"].set_index("sku")
    assert book.unit_cost.to_dict() == {"bread": 100, "milk": 180}
    assert book.cost_assumed.all()
    book = build(orders, products=listed(unit_cost=90))["price_book"].set_index("sku")
    assert (book.unit_cost["milk"], book.cost_assumed["milk"]) == (90, False)
    assert pd.isna(book.unit_cost["bread"])


def test_a_product_never_sold_is_in_the_price_book_if_it_has_a_list_price(build):
    products = [{"sku": "new", "list_price": 500}, {"sku": "no price"}]
    book = build(every_day(), products=products)["price_book"].set_index("sku")
    assert book.loc["new", ["list_price", "last_price", "lowest_30d"]].tolist() == [500] * 3
    assert "no price" not in book.index


def test_the_lowest_price_of_thirty_days_ignores_older_prices(build):
    sold = [*milk_in(1, net=50), *milk_in(5, net=150), *milk_in(6, net=180)]
    book = rows_of(build([*every_day(), *sold])["price_book"]).loc["all"]
    assert (book.lowest_30d, book.last_price, book.reference_price) == (150, 180, 150)


def published(price, period, **fields):
    return {
        "sku": "milk",
        "zone": None,
        "price": price,
        "effective_from": noon(week(period)),
    } | fields


@pytest.mark.parametrize(
    ("prices", "charged", "lowest"),
    [
        ([(300, 0), (250, 5), (320, 6)], 400, 250),  # published
        ([(300, 0), (250, 1), (320, 2)], 400, 320),  # published more than 30 days ago
        ([(300, 0)], 200, 200),  # charged, below the published price
    ],
)
def test_the_lowest_price_before_quotes_is_published_charged_or_listed(
    build, prices, charged, lowest
):
    rows = [published(price, period) for price, period in prices]
    products = [{"sku": "milk", "list_price": 390}]
    sold = [*every_day(), *milk_in(6, net=charged)]
    book = build(sold, prices=rows, products=products)["price_book"]
    assert rows_of(book).lowest_30d["all"] == lowest


def test_a_list_price_below_the_prices_charged_is_the_lowest(build):
    products = [{"sku": "milk", "list_price": 190}]
    book = build([*every_day(), *milk_in(6, net=200)], products=products)["price_book"]
    assert rows_of(book).lowest_30d["all"] == 190


def test_a_sku_is_sold_since_its_first_order_or_published_price(build):
    rows = [published(300, 2)]
    products = [{"sku": "new", "list_price": 500}, {"sku": "milk"}]
    book = build([*every_day(), *milk_in(3)], prices=rows, products=products)["price_book"]
    book = book.set_index("sku").sold_since
    assert (pd.Timestamp(book["milk"]).date(), book.isna()["new"]) == (week(2), True)
    book = build([*every_day(), *milk_in(1)], prices=rows, products=products)["price_book"]
    assert pd.Timestamp(book.set_index("sku").sold_since["milk"]).date() < week(2)


# The stage


def test_a_second_run_writes_the_same_bytes(build, tmp_path):
    orders = [*every_day(), *weekly("ann", range(8))]
    build(orders)
    first = {path.name: path.read_bytes() for path in (tmp_path / "data/features").iterdir()}
    build(orders)
    again = {path.name: path.read_bytes() for path in (tmp_path / "data/features").iterdir()}
    assert again == first


def test_the_manifest_describes_the_files(build, tmp_path):
    build([*every_day(), *milk_in(1, 2)])
    manifest = read_json(tmp_path / "data/features/manifest.json")
    assert (manifest["series"], manifest["periods"]) == (2, 8)
    assert (manifest["first_period"], manifest["last_period"]) == (str(week(0)), str(week(7)))


def test_a_failed_run_leaves_the_earlier_files(build, tmp_path, monkeypatch):
    build(every_day())
    before = (tmp_path / "data/features/sku.parquet").read_bytes()
    monkeypatch.setattr("pipelines.featurize._manifest", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build([*every_day(), *milk_in(1, 2)])
    assert (tmp_path / "data/features/sku.parquet").read_bytes() == before
    assert [path.name for path in (tmp_path / "data").iterdir() if "partial" in path.name] == []


def test_missing_validated_orders_are_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"No validated orders.*Received: .*validated"):
        featurize(AS_OF, params(), Settings(home=tmp_path))


def test_a_validated_file_that_is_not_parquet_is_an_error(build, tmp_path):
    build(every_day())
    (tmp_path / "data/validated/products.parquet").write_text("sku\nmilk\n")
    with pytest.raises(SourceError, match=r"not a Parquet file.*Received: .*products\.parquet"):
        build(every_day())


def test_sums_that_do_not_fit_in_64_bits_are_an_error(build):
    huge = [line(week(n), quantity=9 * 10**18) for n in (1, 1, 2)]
    with pytest.raises(SourceError, match=r"too large for 64 bits; set shop.max_quantity"):
        build([*every_day(), *huge])


def test_too_little_memory_is_an_error_that_names_the_setting(build):
    tiny = params()
    limits = tiny.featurize.model_copy(update={"memory_limit": "1MB", "threads": 1})
    with pytest.raises(ConfigError, match=r"featurize.memory_limit is too low. Received: 1MB"):
        build(every_day(), tiny.model_copy(update={"featurize": limits}))


def test_a_cutoff_before_the_data_is_an_error(build):
    with pytest.raises(EmptyHistory, match=r"before the cut-off. Received: as_of 2020"):
        build(every_day(), as_of=date(2020, 1, 1))


def test_no_series_with_enough_periods_is_an_error_that_names_a_value_that_works(build):
    with pytest.raises(EmptyHistory, match=r"min_periods to 8 or less. Received: sales of 1 sku"):
        build(every_day(), params(min_periods=9))
    assert len(build(every_day(), params(min_periods=8))["sku"])


def test_a_short_history_is_modelled_with_a_warning_unless_params_set_the_periods(build, caplog):
    assert len(build(every_day(), params(min_periods=None))["sku"])
    assert "modelled with sales in 6 of them instead of 40" in caplog.text


def test_without_a_sale_in_any_whole_period_the_error_says_so(build):
    with pytest.raises(EmptyHistory, match="in 1 of the 8 whole periods; none has any"):
        build(every_day(quantity=-1), params(min_periods=None, allow_returns=True))


def test_pricing_by_zone_without_zones_is_an_error(build):
    with pytest.raises(ConfigError, match=r"shop.by_zone needs a zone in orders. Received: "):
        build(every_day(), params(by_zone=True))
