"""`ingest` keeps the rows before the cut-off, replaces all tables at once, and is repeatable."""

import hashlib
import signal
import subprocess
import sys
import time
from datetime import date

import duckdb
import pyarrow.parquet as pq
import pytest

from pipelines.ingest import ingest, resolve_as_of
from pricebook.config import REPO_ROOT, Ingest, Params, Settings, Shop, TableFile, load_params
from pricebook.errors import EmptyHistory, SourceError
from pricebook.files import read_json

ORDERS = """order_id,ordered_at,sku,quantity,net_amount
1,2025-01-01 23:30,a,1,1.00
1,2025-01-01 23:30,a,1,1.00
2,,b,1,2.00
3,2025-01-02 00:00,b,1,2.00
4,2025-01-02 23:59,c,0,-2.00
"""


@pytest.fixture
def home(tmp_path):
    """The settings of an empty home, with a file of orders next to the params file."""
    (tmp_path / "orders.csv").write_text(ORDERS)
    return Settings(home=tmp_path / "home", params=tmp_path / "params.yaml")


@pytest.fixture
def shop():
    """A shop in Berlin with one file of orders."""
    return Params(
        shop=Shop(
            name="x",
            source="files",
            timezone="Europe/Berlin",
            files={"orders": TableFile(path="orders.csv")},
        )
    )


def with_shop(params, **update):
    return params.model_copy(update={"shop": params.shop.model_copy(update=update)})


def raw(settings, table="orders"):
    return pq.read_table(settings.raw / f"{table}.parquet").to_pylist()


def content(settings):
    return {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in settings.raw.iterdir()}


def test_rows_before_the_local_cutoff_and_rows_without_a_time_are_kept(home, shop):
    assert ingest(date(2025, 1, 2), shop, home) == {"orders": 3}
    assert [row["order_id"] for row in raw(home)] == ["1", "1", "2"]


def test_duplicates_and_negative_amounts_are_kept_for_validate(home, shop):
    ingest(date(2025, 1, 3), shop, home)
    assert [row["net_amount"] for row in raw(home)] == [100, 100, 200, 200, -200]


def test_the_cutoff_is_the_day_after_the_last_local_order(home, shop):
    assert resolve_as_of(shop, home) == date(2025, 1, 3)
    assert resolve_as_of(with_shop(shop, timezone="UTC"), home) == date(2025, 1, 3)
    fixed = shop.model_copy(update={"as_of": date(2024, 2, 1)})
    assert resolve_as_of(fixed, home) == date(2024, 2, 1)


def test_a_cutoff_before_the_data_is_an_error_that_names_the_first_day(home, shop):
    message = r"first is of 2025-01-01 \(Europe/Berlin\)\. Received: as_of 2025-01-01"
    with pytest.raises(EmptyHistory, match=message):
        ingest(date(2025, 1, 1), shop, home)
    assert not home.raw.exists()


def test_an_empty_orders_file_is_an_error(home, shop, tmp_path):
    (tmp_path / "orders.csv").write_text(ORDERS.splitlines()[0] + "\n")
    with pytest.raises(EmptyHistory, match=r"Received: no orders"):
        ingest(date(2025, 1, 3), shop, home)
    with pytest.raises(EmptyHistory, match=r"Received: no orders"):
        resolve_as_of(shop, home)


def test_an_unreadable_file_leaves_the_tables_of_the_run_before(home, shop, tmp_path):
    ingest(date(2025, 1, 3), shop, home)
    before = content(home)
    (tmp_path / "orders.csv").write_text(ORDERS.replace("2025-01-02 23:59", "soon"))
    with pytest.raises(SourceError, match=r"row 5: not a date and time\. Received: 'soon'"):
        ingest(date(2025, 1, 3), shop, home)
    assert content(home) == before
    assert [path.name for path in home.data.iterdir()] == ["raw"]


def test_a_table_that_the_source_no_longer_has_is_removed(home, shop, tmp_path):
    (tmp_path / "products.csv").write_text("sku\na\n")
    two = {**shop.shop.files, "products": TableFile(path="products.csv")}
    assert ingest(date(2025, 1, 3), with_shop(shop, files=two), home)["products"] == 1
    ingest(date(2025, 1, 3), shop, home)
    assert content(home).keys() == {"orders.parquet"}


def test_the_report_file_holds_the_returned_rows(home, shop):
    rows = ingest(date(2025, 1, 3), shop, home)
    assert read_json(home.report("ingest")) == rows


@pytest.fixture(scope="module")
def corner():
    """The example shop of the repository."""
    path = REPO_ROOT / "examples" / "corner_shop" / "params.yaml"
    return load_params(path), path


def test_a_second_run_writes_the_same_bytes(corner, tmp_path):
    params, path = corner
    settings = Settings(home=tmp_path, params=path)
    as_of = resolve_as_of(params, settings)
    ingest(as_of, params, settings)
    first = content(settings)
    ingest(as_of, params, settings)
    assert content(settings) == first
    assert len(first) == 8


def test_a_sample_keeps_the_same_skus_in_every_table(corner, tmp_path):
    params, path = corner
    settings = Settings(home=tmp_path, params=path)
    half = params.model_copy(update={"ingest": Ingest(sample=0.5)})
    rows = ingest(date(2026, 11, 2), half, settings)
    skus = {row["sku"] for row in raw(settings, "products")}
    for table in ("promotions", "prices", "inventory", "competitor_prices", "events"):
        assert {row["sku"] for row in raw(settings, table)} <= skus | {None}
    assert 20 < len(skus) < 40
    assert rows["customers"] == 501


def test_no_row_of_any_table_is_at_or_after_the_cutoff(corner, tmp_path):
    params, path = corner
    settings = Settings(home=tmp_path, params=path)
    ingest(date(2026, 9, 21), params, settings)
    times = ("ordered_at", "starts_at", "effective_from", "observed_at", "occurred_at")
    for file in settings.raw.iterdir():
        for row in pq.read_table(file).to_pylist():
            for column in times:
                assert row.get(column) is None or row[column].isoformat() < "2026-09-20T22:00"


LARGE = """
as_of: 2026-01-01
shop:
  name: large
  source: files
  files: {orders: {path: large.csv}}
"""


@pytest.fixture
def large(home, tmp_path):
    """A shop with a million order lines, in the same home."""
    row = "i AS order_id, DATE '2025-01-01' AS ordered_at, i % 99 AS sku, 1 AS quantity"
    lines = duckdb.sql(f"SELECT {row}, 1.5 AS net_amount FROM range(1000000) AS t(i)")
    lines.write_csv(str(tmp_path / "large.csv"))
    home.params.write_text(LARGE)
    return home


def killed_while_writing(settings: Settings) -> None:
    """Run `pricebook ingest` in another process and kill it while it writes."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from cli.main import app; app()", "ingest"],
        env={"PRICEBOOK_HOME": str(settings.home), "PRICEBOOK_PARAMS": str(settings.params)},
        cwd=REPO_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list(settings.data.glob(".raw.*.partial/*.parquet")):
        assert process.poll() is None, "the process ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_killed_run_changes_no_table_and_the_next_run_completes(large, shop):
    ingest(date(2025, 1, 3), shop, large)
    before = content(large)
    killed_while_writing(large)
    assert content(large) == before
    assert [path.name[:5] for path in large.data.glob(".*")] == [".raw."]
    assert ingest(date(2026, 1, 1), load_params(large.params), large) == {"orders": 1_000_000}
    assert [path.name for path in large.data.iterdir()] == ["raw"]
