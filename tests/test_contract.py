"""The contract is consistent, and the page in the docs lists all of it."""

import pytest

from pricebook.config import REPO_ROOT, Severity, Shop
from pricebook.contract import REQUIRED_TABLES, TABLES, Rule, checks
from pricebook.contract_page import page


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_checks_name_columns_that_exist(table):
    columns = {column.name for column in table.columns}
    for check in table.checks:
        assert columns.issuperset(check.columns), check.name
    assert columns.issuperset(table.key)
    assert table.event_time is None or table.event_time in columns


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_check_names_are_unique(table):
    names = [check.name for check in table.checks]
    assert len(names) == len(set(names))


def test_references_name_columns_that_exist():
    for table in TABLES.values():
        for check in table.checks:
            if check.references:
                other, _, column = check.references.partition(".")
                assert TABLES[other].column(column)


def test_every_event_time_is_checked_against_the_cutoff():
    for table in TABLES.values():
        if table.event_time:
            rules = [c.rule for c in table.checks if c.columns == (table.event_time,)]
            assert Rule.BEFORE_CUTOFF in rules


def test_only_orders_are_required():
    assert REQUIRED_TABLES == ("orders",)


def test_a_check_takes_its_limit_from_the_shop_or_is_left_out():
    columns = frozenset({"quantity"})
    bounded = checks("orders", columns, frozenset(), Shop(name="x", source="files", max_quantity=9))
    unbounded = checks("orders", columns, frozenset(), Shop(name="x", source="files"))
    assert [check.limit for check in bounded if check.rule is Rule.WITHIN] == [9]
    assert not [check for check in unbounded if check.rule is Rule.WITHIN]


def test_a_flag_of_the_shop_turns_checks_on_and_off():
    columns = frozenset({"sku", "quantity", "net_amount"})
    rules = {
        allowed: {
            check.rule
            for check in checks(
                "orders",
                columns,
                frozenset(),
                Shop(name="x", source="files", allow_returns=allowed),
            )
        }
        for allowed in (True, False)
    }
    assert rules[False] - rules[True] == {Rule.AT_LEAST}
    assert rules[True] - rules[False] == {Rule.NET_SALES}


def test_every_table_stops_the_run_when_empty():
    for table in TABLES.values():
        assert [c.severity for c in table.checks if c.rule is Rule.ROWS] == [Severity.CRITICAL]


def test_the_page_in_the_docs_is_up_to_date():
    written = (REPO_ROOT / "docs" / "canonical-tables.md").read_text()
    assert written == page(), "run: python -m pricebook.contract_page > docs/canonical-tables.md"
