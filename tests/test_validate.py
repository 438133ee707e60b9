"""validate quarantines bad rows, raises alerts, and stops on critical checks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import Alert, clock, list_alerts, open_ledger, waive
from pipelines.checks import quarantine
from pipelines.checks.measures import Calendar, Period, last_volume, partial_ends
from pipelines.validate import validate
from pricebook.config import Featurize, Params, Settings, Severity, Shop
from pricebook.contract import Check, Rule
from pricebook.errors import ConfigError, ContractBreach, SourceError
from pricebook.files import read_json

AS_OF = date(2026, 3, 9)  # a Monday
CUTOFF, DAY = datetime(2026, 3, 9, tzinfo=UTC), timedelta(days=1)
DAYS, SKUS = 70, ("ale", "bread", "cheese")
Row = dict[str, Any]


CORNER = Shop(name="Corner", source="files", timezone="UTC", max_quantity=100)


def shop(**validate_: Any) -> Params:
    return Params(shop=CORNER, validate=validate_)


def with_returns() -> Params:
    return Params(shop=CORNER.model_copy(update={"allow_returns": True}))


def clean_orders() -> list[Row]:
    """Valid lines of ten whole weeks, three a day."""
    first = datetime(2025, 12, 29, 12, tzinfo=UTC)
    return [
        {
            "order_id": f"o{day}",
            "ordered_at": first + timedelta(days=day),
            "sku": sku,
            "quantity": 2,
            "net_amount": 500,
            "zone": "north",
        }
        for day in range(DAYS)
        for sku in SKUS
    ]


ORDERS = pa.schema(
    [
        ("order_id", pa.string()),
        ("ordered_at", pa.timestamp("us", "UTC")),
        ("sku", pa.string()),
        ("quantity", pa.int64()),
        ("net_amount", pa.int64()),
        ("zone", pa.string()),
    ]
)


class Home:
    """A home with raw tables."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder)
        self.settings.raw.mkdir(parents=True)
        self.write("orders", clean_orders(), ORDERS)
        self.write("products", [{"sku": sku, "category": "food"} for sku in SKUS])

    def write(self, table: str, rows: list[Row], schema: pa.Schema | None = None) -> None:
        content = pa.Table.from_pylist(rows, schema)
        pq.write_table(content, self.settings.raw / f"{table}.parquet")

    def orders(self, change: Callable[[list[Row]], object]) -> None:
        rows = clean_orders()
        change(rows)
        self.write("orders", rows, ORDERS)

    def validate(self, params: Params | None = None, **options: Any) -> dict[str, Any]:
        return validate(AS_OF, params or shop(), self.settings, **options)

    def read(self, layer: str, table: str = "orders") -> list[Row]:
        return pq.read_table(self.settings.data / layer / f"{table}.parquet").to_pylist()

    def alerts(self) -> dict[str, Alert]:
        return {alert.check: alert for alert in list_alerts(open_ledger(self.settings.ledger))}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_clean_tables_are_validated_unchanged_without_an_alert(home: Home):
    report = home.validate()
    assert report["tables"]["orders"] == {
        "rows": 210,
        "validated": 210,
        "quarantined": 0,
        "reasons": {},
    }
    assert report["alerts"] == 0
    assert home.read("validated") == home.read("raw")
    assert home.read("quarantine") == []
    assert "reasons" in pq.read_schema(home.settings.quarantine / "orders.parquet").names
    assert report == read_json(home.settings.report("validate"))


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("quantity", 0, "orders.quantity.not_equal"),
        ("quantity", -1, "orders.quantity.at_least"),
        ("quantity", 101, "orders.quantity.at_most"),
        ("net_amount", 0, "orders.net_amount.not_equal"),
        ("net_amount", -5, "orders.net_amount.at_least"),
        ("net_amount", None, "orders.net_amount.not_null"),
        ("ordered_at", None, "orders.ordered_at.not_null"),
        ("sku", None, "orders.sku.not_null"),
    ],
)
def test_a_row_that_fails_a_row_check_is_quarantined_with_the_name_of_the_check(
    home: Home, column: str, value: object, check: str
):
    home.orders(lambda rows: rows[4].update({column: value}))
    report = home.validate()["tables"]["orders"]
    assert (report["validated"], report["reasons"]) == (209, {check: 1})
    (row,) = home.read("quarantine")
    assert (row[column], row["reasons"]) == (value, check)
    assert home.alerts()[check].count == 1
    assert home.alerts()[check].sample[0]["row"] == 4


def test_a_row_may_have_several_reasons(home: Home):
    home.orders(lambda rows: rows[4].update(quantity=0, net_amount=0))
    home.validate()
    (row,) = home.read("quarantine")
    assert row["reasons"] == "orders.quantity.not_equal; orders.net_amount.not_equal"


def test_the_first_of_repeated_order_lines_passes(home: Home):
    home.orders(lambda rows: rows.extend([rows[4] | {"quantity": 9}, rows[4] | {"quantity": 8}]))
    assert home.validate()["tables"]["orders"]["reasons"] == {"orders.order_id.sku.unique": 2}
    assert [row["quantity"] for row in home.read("quarantine")] == [9, 8]


def test_an_unknown_and_an_uncategorised_sku_only_raise_an_alert(home: Home):
    home.orders(lambda rows: rows[4].update(sku="ghost"))
    assert home.validate()["tables"]["orders"]["quarantined"] == 0
    assert home.alerts()["orders.sku.known"].sample[0]["sku"] == "ghost"
    assert home.alerts()["orders.sku.category.looked_up"].count == 1


def test_repeated_lines_are_found_in_a_large_table(home: Home):
    zones = [str(copy) for copy in range(20)]
    rows = [row | {"order_id": f"{row['order_id']}-{z}"} for z in zones for row in clean_orders()]
    home.write("orders", [*rows, *rows[7:17], rows[9] | {"quantity": 0}], ORDERS)
    home.validate()
    assert home.read("validated") == rows
    quarantined = home.read("quarantine")
    assert [row["order_id"] for row in quarantined[:10]] == [row["order_id"] for row in rows[7:17]]
    assert quarantined[10]["reasons"] == "orders.quantity.not_equal; orders.order_id.sku.unique"


def test_a_repeated_key_with_nulls_is_a_repeat(home: Home):
    price = {"sku": "ale", "zone": None, "price": 200, "effective_from": CUTOFF - DAY}
    home.write("prices", [price, price, price | {"zone": "north"}])
    assert home.validate(shop(quarantine_limit=1))["tables"]["prices"]["quarantined"] == 1


@pytest.mark.parametrize("quantity", [-74_215, 74_215])
def test_max_quantity_bounds_returns_as_it_bounds_sales(home: Home, quantity: int):
    home.orders(lambda rows: rows[4].update(quantity=quantity, net_amount=quantity))
    report = home.validate(with_returns())["tables"]["orders"]
    assert report["reasons"] == {"orders.quantity.at_most": 1}


def test_a_return_may_have_a_negative_list_amount_and_a_sale_may_not(home: Home):
    rows = [row | {"list_amount": 500} for row in clean_orders()]
    rows[4] |= {"quantity": -1, "net_amount": -250, "list_amount": -300}
    rows[5] |= {"list_amount": -300}
    home.write("orders", rows)
    report = home.validate(with_returns())["tables"]["orders"]
    assert report["reasons"] == {"orders.list_amount.at_least": 1}


def test_a_week_with_more_returns_than_sales_raises_an_alert(home: Home):
    home.orders(lambda rows: rows[0].update(quantity=-50, net_amount=-9))
    assert home.validate(with_returns())["tables"]["orders"]["quarantined"] == 0
    alert = home.alerts()["orders.sku.quantity.net_sales"]
    shown = {"sku": "ale", "zone": "all", "period": "2025-12-29", "units": -38}
    assert (alert.severity, alert.count, alert.sample) == ("warning", 1, (shown,))


def test_quarantined_returns_do_not_count_as_returns(home: Home):
    home.orders(lambda rows: rows[0].update(quantity=-5000, net_amount=-9))
    home.validate(with_returns())
    assert home.alerts().keys() == {"orders.quantity.at_most"}


def test_a_quarantined_share_above_the_limit_stops_the_run_and_changes_no_file(home: Home):
    home.validate()
    home.orders(lambda rows: [row.update(quantity=0) for row in rows[:20]])
    with pytest.raises(ContractBreach, match=r"orders.quarantined.at_most .*Received: 20 failing"):
        home.validate()
    assert len(home.read("validated")) == 210
    assert home.read("quarantine") == []
    assert home.alerts()["orders.quantity.not_equal"].count == 20


def test_a_shop_may_raise_the_quarantine_limit(home: Home):
    home.orders(lambda rows: [row.update(quantity=0) for row in rows[:20]])
    report = home.validate(shop(quarantine_limit=0.2))
    assert report["tables"]["orders"]["quarantined"] == 20


def test_an_empty_orders_table_stops_the_run(home: Home):
    home.write("orders", [], ORDERS)
    with pytest.raises(ContractBreach, match=r"orders\.rows in .*orders\.parquet"):
        home.validate()
    assert "orders.rows" in home.alerts()
    assert not home.settings.validated.exists()


def test_a_missing_required_column_stops_the_run(home: Home):
    home.write("orders", [{"order_id": "1", "sku": "ale", "quantity": 1, "net_amount": 5}])
    with pytest.raises(ContractBreach, match=r"orders\.parquet has no column 'ordered_at'"):
        home.validate()
    assert home.alerts()["orders.ordered_at.present"].severity == "critical"


def test_a_column_of_a_wrong_type_stops_the_run(home: Home):
    rows = [row | {"net_amount": float("nan")} for row in clean_orders()]
    home.write("orders", rows)
    with pytest.raises(ContractBreach, match=r"column 'net_amount': not money\. Received: DOUBLE"):
        home.validate()


def test_a_text_file_named_parquet_raises_source_error(home: Home):
    (home.settings.raw / "products.parquet").write_text("sku,name\n1,ale\n")
    with pytest.raises(SourceError, match=r"not a Parquet file.*Received: .*products\.parquet"):
        home.validate()


def test_an_empty_home_stops_the_run(tmp_path: Path):
    with pytest.raises(ContractBreach, match=r"orders\.parquet is absent"):
        validate(AS_OF, shop(), Settings(home=tmp_path))


def test_a_row_at_the_cutoff_stops_the_run(home: Home):
    late = datetime(2026, 3, 9, tzinfo=UTC)
    home.orders(lambda rows: rows[4].update(ordered_at=late))
    with pytest.raises(ContractBreach, match=r"orders\.ordered_at\.before_cutoff"):
        home.validate()


def test_a_waived_critical_check_does_not_stop_the_run(home: Home):
    home.orders(lambda rows: rows[4].update(sku="ghost"))
    strict = shop(severities={"orders.sku.known": "critical"})
    with pytest.raises(ContractBreach, match=r"orders\.sku\.known"):
        home.validate(strict)
    waive_until(home, "orders.sku.known", timedelta(days=1))
    assert home.validate(strict)["tables"]["orders"]["validated"] == 210


def test_an_expired_waiver_stops_the_run_again(home: Home):
    home.write("orders", [], ORDERS)
    with pytest.raises(ContractBreach):
        home.validate()
    waive_until(home, "orders.rows", timedelta(days=1))
    with pytest.raises(ContractBreach):
        home.validate(at=clock.now() + timedelta(days=2))


def test_rows_that_fail_a_waived_row_check_are_still_quarantined(home: Home):
    home.orders(lambda rows: rows[4].update(quantity=0))
    home.validate()
    waive_until(home, "orders.quantity.not_equal", timedelta(days=1))
    assert home.validate()["tables"]["orders"]["quarantined"] == 1


def waive_until(home: Home, check: str, later: timedelta) -> None:
    today = clock.now().date()
    book = open_ledger(home.settings.ledger)
    waive(book, check, until=today + later, reason="known", today=today)


def test_two_runs_write_the_same_bytes_and_update_one_alert(home: Home):
    home.orders(lambda rows: rows[4].update(quantity=0))
    written = []
    for _ in range(2):
        home.validate()
        written.append(
            [path.read_bytes() for path in sorted(home.settings.data.rglob("*.parquet"))]
        )
    assert written[0] == written[1]
    (alert,) = home.alerts().values()
    assert alert.occurrences == 2


def test_an_alert_records_when_its_check_passes_again(home: Home):
    home.orders(lambda rows: rows[4].update(quantity=0))
    home.validate()
    home.orders(lambda rows: rows)
    home.validate(at=datetime(2026, 3, 10, tzinfo=UTC))
    alert = home.alerts()["orders.quantity.not_equal"]
    assert (alert.status, alert.last_passed) == ("open", datetime(2026, 3, 10, tzinfo=UTC))


def test_a_shop_may_change_the_severity_of_a_check(home: Home):
    home.orders(lambda rows: [rows[4].update(quantity=0), rows[5].update(sku="ghost")])
    severities = {"orders.quantity.not_equal": "warning", "orders.sku.known": "row"}
    home.validate(shop(severities=severities))
    assert [row["sku"] for row in home.read("quarantine")] == ["ghost"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("orders.quantity.odd", "no such check"), ("orders.rows", "has no rows to quarantine")],
)
def test_a_severity_of_an_unknown_or_unsuitable_check_is_a_config_error(
    home: Home, name: str, message: str
):
    with pytest.raises(ConfigError, match=message):
        home.validate(shop(severities={name: "row"}))


def test_a_zone_without_promotions_raises_an_alert_unless_a_promotion_covers_all_zones(home: Home):
    start = datetime(2026, 1, 5, tzinfo=UTC)
    promotion = {"sku": "ale", "starts_at": start, "ends_at": start + timedelta(days=7)}
    home.write("promotions", [promotion | {"zone": "south"}])
    home.validate()
    assert home.alerts()["orders.zone.covered"].sample == ({"zone": "north", "rows": 210},)
    home.write("promotions", [promotion | {"zone": zone} for zone in ("south", None)])
    assert home.validate()["alerts"] == 0


def test_a_table_that_disappears_from_raw_disappears_from_validated(home: Home):
    home.validate()
    (home.settings.raw / "products.parquet").unlink()
    home.validate()
    assert not (home.settings.validated / "products.parquet").exists()


def test_data_docs_show_every_check_of_the_run(home: Home):
    home.orders(lambda rows: rows[4].update(quantity=0))
    page = Path(home.validate()["data_docs"])
    pages = list(page.parent.glob("validations/**/*.html"))
    assert len(pages) == 2  # one for each table
    text = "".join(page.read_text() for page in pages)
    assert "orders.quantity.not_equal: a line without units" in text
    assert "orders.ordered_at.fresh: " in text


def test_weeks_are_those_of_the_time_zone_of_the_shop(home: Home):
    """A Sunday evening in New York is Monday in UTC."""
    home.orders(lambda rows: rows[-1].update(ordered_at=datetime(2026, 3, 9, 2, tzinfo=UTC)))
    new_york = CORNER.model_copy(update={"timezone": "America/New_York"})
    home.validate(Params(shop=new_york))
    assert home.alerts()["orders.ordered_at.week_in_utc"].count == 1


def test_a_partial_first_week_raises_an_alert(home: Home):
    home.orders(lambda rows: [rows.pop(0) for _ in range(9)])  # the first three days
    home.validate()
    alert = home.alerts()["orders.ordered_at.whole_periods"]
    assert alert.sample == ({"period": "2025-12-29", "rows": 12, "days": 4},)


def week(number: int, rows: int = 70, days: int = 7) -> Period:
    return Period(date(2026, 1, 5) + timedelta(weeks=number), rows, days, 7)


def test_a_shop_closed_on_sundays_has_no_partial_weeks():
    assert partial_ends([week(number, days=6) for number in range(5)]) == ()


def test_a_short_month_is_not_partial():
    months = [Period(date(2026, n, 1), 9, days, days) for n, days in [(2, 28), (3, 31), (4, 30)]]
    assert partial_ends(months) == ()


def test_volume_ignores_a_partial_last_period():
    weeks = [*(week(number) for number in range(4)), week(4, rows=35), week(5, rows=1, days=1)]
    assert last_volume(weeks) == 0.5


def test_a_single_period_has_no_volume():
    assert last_volume([week(0)]) is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.sampled_from(["a", "b", "c"])), max_size=40))
def test_splitting_conserves_rows_their_order_and_their_reasons(failing: list[set[str]]):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        counts = split_by(failing, Path(folder))
        sound = pq.read_table(Path(folder) / "good.parquet")["order_id"].to_pylist()
        refused = pq.read_table(Path(folder) / "bad.parquet").to_pylist()
    assert sound == [str(n) for n, columns in enumerate(failing) if not columns & {"a", "b"}]
    assert {row["order_id"]: row["reasons"] for row in refused} == {
        str(n): "; ".join(sorted(columns & {"a", "b"}))
        for n, columns in enumerate(failing)
        if columns & {"a", "b"}
    }
    assert counts == (len(sound), len(refused))


def split_by(failing: list[set[str]], folder: Path) -> tuple[int, int]:
    """Split a table whose n-th row fails the checks `failing[n]`; `c` is only a warning."""
    columns = {"order_id": [str(n) for n in range(len(failing))]}
    columns |= {name: [None if name in row else 1 for row in failing] for name in "abc"}
    raw = folder / "orders.parquet"
    types = {name: pa.string() if name == "order_id" else pa.int64() for name in columns}
    pq.write_table(pa.table(columns, pa.schema(list(types.items()))), raw)
    con = quarantine.connect(Featurize(), folder / "spill")
    quarantine.open_tables(con, folder)
    checks = [Check(Rule.NOT_NULL, (name,), Severity.ROW, "", name=name) for name in "abc"]
    quarantine.find_failing_rows(con, "orders", checks, Calendar(AS_OF, CORNER))
    into = (folder / "good.parquet", folder / "bad.parquet")
    return quarantine.split(con, "orders", ["a", "b"], raw, into)


ANY_LINE = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(["o1", "o2", None]),
        "ordered_at": st.sampled_from([datetime(2026, 3, 1, tzinfo=UTC), None]),
        "sku": st.sampled_from(["ale", "ghost", None]),
        "quantity": st.sampled_from([-1, 0, 1, 100, 101, None]),
        "net_amount": st.sampled_from([-1, 0, 1, None]),
        "zone": st.sampled_from(["north", None]),
    }
)


@settings(max_examples=4, deadline=None)
@given(st.lists(ANY_LINE, min_size=1, max_size=30))
def test_any_lines_are_judged_as_the_same_rules_in_python_judge_them(lines: list[Row]):
    import tempfile

    sound = [line for n, line in enumerate(lines) if is_sound(line, lines[:n])]
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.write("orders", lines, ORDERS)
        home.validate(shop(quarantine_limit=1))
        assert home.read("validated") == sound
        assert len(home.read("quarantine")) == len(lines) - len(sound)
        assert all(row["reasons"] for row in home.read("quarantine"))


def is_sound(line: Row, before: list[Row]) -> bool:
    key = ("order_id", "sku")
    repeats = any(all(line[column] == other[column] for column in key) for other in before)
    absent = any(value is None for column, value in line.items() if column != "zone")
    return not repeats and not absent and 0 < line["quantity"] <= 100 and line["net_amount"] > 0


def test_a_killed_run_changes_no_file_and_the_next_run_completes(home: Home):
    home.validate()
    before = home.read("validated")
    home.orders(lambda rows: rows[4].update(quantity=0))
    code = f"""
from datetime import date
from pricebook.config import Params, Settings
from pipelines.validate import validate
params = Params.model_validate_json({shop().model_dump_json(by_alias=True)!r})
validate(date.fromisoformat("{AS_OF}"), params, Settings(home={str(home.settings.home)!r}))
"""
    run = subprocess.Popen([sys.executable, "-c", code])
    while not list(home.settings.data.glob(".*.partial")) and run.poll() is None:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert home.read("validated") == before
    assert home.validate()["tables"]["orders"]["quarantined"] == 1


def test_every_row_of_a_real_sample_is_validated_or_quarantined(featured: Settings):
    report = read_json(featured.report("validate"))["tables"]
    assert report.keys() >= {"orders", "products", "promotions", "customers"}
    for table, counts in report.items():
        files = (featured.data / layer / f"{table}.parquet" for layer in LAYERS)
        raw, validated, refused = (pq.read_metadata(path).num_rows for path in files)
        assert raw == validated + refused
        assert (raw, validated) == (counts["rows"], counts["validated"])


def test_alerts_on_a_real_sample_have_the_counts_that_plain_sql_finds(featured: Settings):
    alerts = {a.check: a.count for a in list_alerts(open_ledger(featured.ledger))}
    counted = {check: count_raw(featured, condition) for check, condition in REAL_DIRT.items()}
    assert {check: alerts.get(check, 0) for check in REAL_DIRT} == counted
    assert len([count for count in counted.values() if count]) >= 4


LAYERS = ("raw", "validated", "quarantine")
REAL_DIRT = {
    "orders.quantity.not_equal": "quantity = 0",
    "orders.net_amount.not_equal": "net_amount = 0",
    "orders.sku.known": "sku not in (select sku from products)",
    "orders.sku.category.looked_up": (
        "sku not in (select sku from products where category is not null)"
    ),
    "orders.ordered_at.week_in_utc": (
        "date_trunc('week', ordered_at at time zone 'UTC') "
        "!= date_trunc('week', ordered_at at time zone 'America/New_York')"
    ),
}


def count_raw(settings: Settings, condition: str) -> int:
    con = duckdb.connect()
    for table in ("orders", "products"):
        path = settings.raw / f"{table}.parquet"
        con.execute(f"create view {table} as select * from read_parquet('{path}')")
    return con.execute(f"select count(*) from orders where {condition}").fetchall()[0][0]
