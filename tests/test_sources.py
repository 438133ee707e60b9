"""Files of a shop become canonical tables, or an error names the cell that cannot."""

import gzip
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.sources import connect, open_source
from pipelines.sources.complete_journey import CompleteJourney
from pipelines.sources.files import Files
from pricebook.config import REPO_ROOT, Featurize, Settings, Shop, TableFile, load_params
from pricebook.contract import TABLES, Type
from pricebook.errors import SourceError

HEAD = "order_id,ordered_at,sku,quantity,net_amount"


@pytest.fixture
def connection(tmp_path):
    with connect(Featurize(memory_limit="500MB"), tmp_path / "spill") as open_connection:
        yield open_connection


@pytest.fixture
def read(tmp_path, connection):
    """Write a file of orders and read it as dictionaries."""

    def read(content, name="orders.csv", shop=None, table="orders", **spec):
        if isinstance(content, pa.Table):
            pq.write_table(content, tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        files = {"orders": TableFile(path="orders.csv")}
        files[table] = TableFile(path=spec.pop("path", name), **spec)
        config = Shop(name="x", source="files", files=files, **(shop or {}))
        relation = Files(config, tmp_path).read(table, connection)
        rows = relation.fetchall()
        return [dict(zip(relation.columns, row, strict=True)) for row in rows]

    return read


def lines(*rows):
    return "\n".join([HEAD, *rows]) + "\n"


def line(**cells):
    defaults = {"order_id": "1", "ordered_at": "2025-01-02", "sku": "a", "quantity": "1"}
    return lines(",".join((defaults | {"net_amount": "1.99"} | cells).values()))


def table_of(**columns):
    defaults = {"order_id": ["1"], "ordered_at": [datetime(2025, 1, 2, tzinfo=UTC)], "sku": ["a"]}
    return pa.table(defaults | {"quantity": [1], "net_amount": [1.99]} | columns)


def test_money_in_major_units_becomes_whole_minor_units(read):
    rows = read(lines("1,2025-01-02,a,1,12.34", "1,2025-01-02,b,2,1.005", "1,2025-01-02,c,3,5"))
    assert [row["net_amount"] for row in rows] == [1234, 101, 500]


def test_a_currency_without_minor_digits_keeps_its_amounts(read):
    assert read(line(net_amount="128"), shop={"minor_digits": 0})[0]["net_amount"] == 128


def test_money_in_minor_units_stays_and_must_be_whole(read):
    assert read(line(net_amount="199"), money="minor")[0]["net_amount"] == 199
    with pytest.raises(SourceError, match=r"not an amount\. Received: '1\.99'"):
        read(line(net_amount="1.99"), money="minor")


def test_decimal_commas_are_read_if_the_params_say_so(read):
    text = f"{HEAD}\n1,2025-01-02,a,1,12.34\n".replace(",", ";").replace(".", ",")
    assert read(text, decimal=",")[0]["net_amount"] == 1234
    with pytest.raises(SourceError, match="Received: '12,34'"):
        read(text)


def test_a_thousands_mark_is_an_error(read):
    text = f"{HEAD}\n1,2025-01-02,a,1,1.234\n".replace(",", ";")
    with pytest.raises(SourceError, match=r"Received: '1\.234'"):
        read(text, decimal=",")


def test_naive_times_are_local_and_offsets_are_kept(read):
    times = ("2025-07-02 09:00", "2025-07-02T09:00:00Z", "2025-07-02 09:00:00-0400", "2025-07-02")
    rows = read(lines(*(f"1,{time},a,1,1" for time in times)), shop={"timezone": "Europe/Berlin"})
    hours = [row["ordered_at"].astimezone(UTC).isoformat()[8:16] for row in rows]
    assert hours == ["02T07:00", "02T09:00", "02T13:00", "01T22:00"]


def test_a_table_may_have_its_own_time_zone(read):
    row = read(line(ordered_at="2025-01-02 09:00"), timezone="Asia/Tokyo")[0]
    assert row["ordered_at"].astimezone(UTC) == datetime(2025, 1, 2, 0, 0, tzinfo=UTC)


def test_a_timestamp_format_replaces_iso(read):
    row = read(line(ordered_at="31.12.2025 14:05"), timestamp_format="%d.%m.%Y %H:%M")[0]
    assert row["ordered_at"].astimezone(UTC) == datetime(2025, 12, 31, 14, 5, tzinfo=UTC)


def test_columns_are_mapped_and_other_columns_are_ignored(read):
    text = "Bon,Zeit,Artikel,Menge,Betrag,Kasse\n1,2025-01-02,a,1,1.99,7\n"
    mapped = dict(zip(HEAD.split(","), text.split(",")[:5], strict=True))
    assert read(text, columns=mapped)[0].keys() == mapped.keys()


def test_defaults_fill_columns_the_file_does_not_have(read):
    row = read(line(), defaults={"channel": "web", "coupon_amount": 0.5})[0]
    assert (row["channel"], row["coupon_amount"]) == ("web", 50)


@pytest.mark.parametrize("blank", ["", "NaN", " null "])
def test_a_missing_amount_is_null(read, blank):
    assert read(line(net_amount=blank))[0]["net_amount"] is None


def test_a_nan_in_parquet_is_null(read):
    row = read(table_of(net_amount=[float("nan")]), name="orders.parquet")[0]
    assert row["net_amount"] is None


def test_negative_amounts_are_read(read):
    assert read(line(net_amount="-1.99"))[0]["net_amount"] == -199


def test_duplicate_lines_are_read(read):
    assert len(read(lines(*["1,2025-01-02,a,1,1.99"] * 3))) == 3


def test_ids_stored_as_floats_lose_their_point_zero(read):
    row = read(table_of(sku=[1095275.0]), name="orders.parquet")[0]
    assert row["sku"] == "1095275"


def test_an_id_keeps_its_leading_zeros(read):
    assert read(line(sku="00071"))[0]["sku"] == "00071"


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("ordered_at", "2025-02-30", "a date and time"),
        ("ordered_at", "yesterday", "a date and time"),
        ("ordered_at", "02/03/2025", "a date and time"),
        ("ordered_at", "infinity", "a date and time"),
        ("quantity", "two", "a whole number"),
        ("quantity", "1.5", "a whole number"),
        ("net_amount", "1_99", "an amount"),
        ("net_amount", "inf", "an amount"),
        ("net_amount", "9" * 25, "an amount"),
        ("net_amount", "€ 2", "an amount"),
    ],
)
def test_a_cell_that_cannot_be_converted_is_an_error_that_names_it(read, column, value, expected):
    good = line().splitlines()[1]
    bad = line(**{column: value}).splitlines()[1]
    with pytest.raises(SourceError) as caught:
        read(lines(good, good, bad, bad))
    message = str(caught.value)
    assert f"orders.csv, column '{column}' (orders.{column}), row 3: not {expected}" in message
    assert message.endswith(f"nor are 1 more. Received: '{value}'")


def test_an_infinite_amount_in_parquet_is_an_error(read):
    with pytest.raises(SourceError, match=r"row 1: not an amount\. Received: inf"):
        read(table_of(net_amount=[float("inf")]), name="orders.parquet")


def test_a_number_is_not_a_time(read):
    with pytest.raises(SourceError, match=r"row 1: not a date and time\. Received: 20250102"):
        read(table_of(ordered_at=[20250102]), name="orders.parquet")


def test_booleans_have_several_spellings(read):
    text = "customer_id,consent_personalised\n1,yes\n2,0\n3,\n4,TRUE\n"
    rows = read(text, name="customers.csv", table="customers")
    assert [row["consent_personalised"] for row in rows] == [True, False, None, True]
    with pytest.raises(SourceError, match=r"not true or false\. Received: 'maybe'"):
        read(text.replace("yes", "maybe"), name="customers.csv", table="customers")


def test_a_missing_required_column_is_an_error_that_lists_the_columns(read):
    with pytest.raises(SourceError, match=r"no column 'sku', needed for orders\.sku\. Received: a"):
        read("a,b\n1,2\n", columns={"order_id": "a", "ordered_at": "b"})


def test_a_mapped_column_that_the_file_lacks_is_an_error_even_if_optional(read):
    with pytest.raises(SourceError, match=r"no column 'Filiale', needed for orders\.zone"):
        read(line(), columns={"zone": "Filiale"})


@pytest.mark.parametrize("where", ["columns", "defaults"])
def test_an_unknown_canonical_column_is_an_error(read, where):
    with pytest.raises(SourceError, match=rf"orders\.{where}: not a column.*Received: 'colour'"):
        read(line(), **{where: {"colour": "x"}})


def test_a_default_for_a_column_of_the_file_is_an_error(read):
    with pytest.raises(SourceError, match=r"defaults: .* has the column 'sku' itself"):
        read(line(), defaults={"sku": "a"})


def test_a_default_of_the_wrong_type_is_an_error(read):
    with pytest.raises(SourceError, match=r"defaults\.list_amount: not an amount\. Received: 'x'"):
        read(line(), defaults={"list_amount": "x"})


def test_text_named_parquet_is_an_error(read):
    with pytest.raises(SourceError, match=r"orders\.parquet is not a readable Parquet file.*b'ord"):
        read(line(), name="orders.parquet")


def test_a_truncated_parquet_file_is_an_error(read, tmp_path):
    read(table_of(), name="orders.parquet")
    content = (tmp_path / "orders.parquet").read_bytes()
    with pytest.raises(SourceError, match="not a readable Parquet file"):
        read(content[: len(content) // 2], name="orders.parquet")


def test_an_empty_folder_is_an_error(read, tmp_path):
    (tmp_path / "till").mkdir()
    with pytest.raises(SourceError, match=r"no CSV or Parquet file in .*till\. Received: nothing"):
        read(line(), path="till")


def test_a_path_without_a_file_is_an_error(read):
    with pytest.raises(SourceError, match=r"orders\.path: no such file.*Received: nothing"):
        read(line(), path="elsewhere/*.csv")


def test_an_empty_csv_is_an_error_and_one_with_only_a_header_is_an_empty_table(read):
    with pytest.raises(SourceError, match=r"has no header line\. Received: b''"):
        read("")
    assert read(HEAD + "\n") == []


def test_a_row_with_too_many_cells_is_an_error(read):
    with pytest.raises(SourceError, match=r"cannot be read\. Received: .*Line: 3"):
        read(lines("1,2025-01-02,a,1,1.99", "1,2025-01-02,a,1,1,99"))


def test_a_column_twice_is_an_error(read):
    with pytest.raises(SourceError, match=r"has a column twice\. Received: 'sku'"):
        read("sku,sku\n1,2\n")


def test_latin_1_is_an_error(read):
    with pytest.raises(SourceError, match=r"cannot be read|is not UTF-8 text"):
        read(line(sku="Käse").encode("latin-1"))


def test_files_of_a_folder_are_read_in_order_of_names_and_may_differ_in_columns(read, tmp_path):
    folder = tmp_path / "till"
    folder.mkdir()
    (folder / "2.csv.gz").write_bytes(gzip.compress(line(order_id="2").encode()))
    (folder / "1.csv").write_text(line())
    pq.write_table(table_of(order_id=["3"], zone=["north"]), folder / "3.parquet")
    (folder / "notes.txt").write_text("not a table")
    rows = read(line(), path="till")
    assert [(row["order_id"], row["zone"]) for row in rows] == [
        ("1", None),
        ("2", None),
        ("3", "north"),
    ]


def test_a_large_file_keeps_the_order_of_its_rows(tmp_path, connection):
    connection.sql(
        "SELECT i AS order_id, DATE '2025-01-01' AS ordered_at, 'a' AS sku, 1 AS quantity, "
        "1.5 AS net_amount, i % 2 AS customer_id FROM range(300000) AS t(i)"
    ).write_csv(str(tmp_path / "orders.csv"))
    shop = Shop(name="x", source="files", files={"orders": TableFile(path="orders.csv")})
    relation = Files(shop, tmp_path).read("orders", connection)
    relation.write_parquet(str(tmp_path / "out.parquet"))
    ids = pq.read_table(tmp_path / "out.parquet")["order_id"].to_pylist()
    assert ids == [str(number) for number in range(300_000)]


def test_an_error_names_the_file_of_a_glob(read, tmp_path):
    (tmp_path / "a-1.csv").write_text(line())
    (tmp_path / "a-2.csv").write_text(line(quantity="x"))
    with pytest.raises(SourceError, match=r"a-2\.csv, column 'quantity' .*row 1:"):
        read(line(), path="a-*.csv")


def test_quotes_commas_and_line_breaks_in_cells_are_read(read):
    text = f'\ufeff{HEAD}\r\n1,2025-01-02,"a ""b"",\nc",1,1.99\r\n'
    assert read(text)[0]["sku"] == 'a "b",\nc'


def test_an_unknown_table_and_no_orders_are_errors(tmp_path):
    def shop(table):
        return Shop(name="x", source="files", files={table: TableFile(path="x.csv")})

    with pytest.raises(SourceError, match=r"no such canonical table.*Received: 'order'"):
        Files(shop("order"), tmp_path)
    with pytest.raises(SourceError, match=r"has no orders.*Received: products"):
        Files(shop("products"), tmp_path)


def canonical(relation, table):
    arrow = {
        Type.STRING: pa.string(),
        Type.INTEGER: pa.int64(),
        Type.MONEY: pa.int64(),
        Type.FLOAT: pa.float64(),
        Type.BOOLEAN: pa.bool_(),
        Type.TIMESTAMP: pa.timestamp("us", "UTC"),
        Type.DATE: pa.date32(),
    }
    schema = relation.limit(0).arrow().read_all().schema
    expected = {column.name: arrow[column.type] for column in TABLES[table].columns}
    return all(field.type == expected[field.name] for field in schema)


@pytest.mark.parametrize("params", ["params.yaml", "examples/corner_shop/params.yaml"])
def test_a_source_returns_canonical_columns_and_types(params, connection):
    path = REPO_ROOT / params
    source = open_source(load_params(path), Settings(params=path))
    assert source.tables[0] == "orders"
    for table in source.tables:
        assert canonical(source.read(table, connection), table), table


def journey(connection, table, query):
    relation = CompleteJourney.installed().read(table, connection)  # noqa: F841  named in the query
    return connection.sql(query).fetchall()


def test_the_complete_journey_has_all_its_rows(connection):
    counts = [
        journey(connection, table, "SELECT count(*) FROM relation")[0][0]
        for table in ("orders", "products", "promotions", "customers")
    ]
    assert counts == [1_469_307, 92_331, 20_940_529, 2_469]


def test_a_line_of_the_complete_journey_is_converted_correctly(connection):
    [row] = journey(connection, "orders", "SELECT * FROM relation LIMIT 1")
    time = datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC)
    assert (row[0], row[1].astimezone(UTC), row[2:]) == (
        "31198570044",
        time,
        ("1095275", 1, 50, "900", "330", 50, 0, date(2016, 12, 26)),
    )


def test_bad_rows_of_the_complete_journey_are_read_unchanged(connection):
    conditions = "quantity > 100", "quantity = 0", "net_amount = 0", "coupon_amount > net_amount"
    counts = ", ".join(f"count_if({each})" for each in (*conditions, "net_amount IS NULL"))
    [row] = journey(connection, "orders", f"SELECT {counts} FROM relation")
    assert row == (13_510, 8_869, 11_226, 3_507, 20)


def test_promotions_of_the_complete_journey_cover_local_weeks(connection):
    spans = journey(
        connection,
        "promotions",
        "SELECT timezone('America/New_York', starts_at), timezone('America/New_York', ends_at) "
        "FROM (SELECT DISTINCT starts_at, ends_at FROM relation) ORDER BY starts_at",
    )
    assert len(spans) == 53
    assert spans[0] == (datetime(2016, 12, 26), datetime(2017, 1, 2))  # noqa: DTZ001
    assert {(end - start).days for start, end in spans} == {7}


def test_product_names_are_in_title_case(connection):
    rows = journey(connection, "products", "SELECT name FROM relation WHERE sku = '25671'")
    assert rows == [("Ice - Crushed/Cubed, 22 LB",)]


GUIDE = (REPO_ROOT / "docs" / "bring-your-own-data.md").read_text()


def test_the_guide_names_every_setting_of_a_file():
    assert [name for name in TableFile.model_fields if f"| `{name}` |" not in GUIDE] == []


def test_the_params_file_of_the_guide_reads_an_export(tmp_path, connection):
    (tmp_path / "params.yaml").write_text(GUIDE.split("```yaml\n")[1].split("```")[0])
    (tmp_path / "exports").mkdir()
    export = "receipt,time,article,units,paid\n1,2025-01-02,a,1,1.99\n"
    (tmp_path / "exports" / "orders.csv").write_text(export)
    path = tmp_path / "params.yaml"
    source = open_source(load_params(path), Settings(params=path))
    assert source.read("orders", connection).fetchall()[0][2:] == ("a", 1, 199)
