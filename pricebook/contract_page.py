"""Write docs/canonical-tables.md from the tables of contract.py.

python -m pricebook.contract_page > docs/canonical-tables.md
"""

from __future__ import annotations

import sys

from pricebook.contract import TABLES, Check, Rule, Table

_HEAD = """\
# The canonical tables

`python -m pricebook.contract_page` writes this page from `pricebook/contract.py`. Do not edit it.

Money is a whole number of minor units (cents). Timestamps are UTC instants. Columns in **bold** are
required. All other columns are optional, and so are all tables except `orders`. Pricebook logs the
features that are missing because of an absent column or table. A check on an absent column or table
does not run.

Each check has a severity. `validate.severities` in the params changes it, by the name of the check.

- **critical**: a failure stops the run.
- **row**: a row that fails goes to quarantine, with the name of the check as the reason. The run
  stops if the quarantined share of a table exceeds `validate.quarantine_limit`.
- **warning**: a failure only raises an alert.
"""


def page() -> str:
    """The page as Markdown, ending in a newline."""
    return "\n".join([_HEAD, *(_section(table) for table in TABLES.values())])


def _section(table: Table) -> str:
    return "\n".join(
        (
            f"## {table.name}",
            "",
            f"A row is {table.a_row_is}. {_keys(table)}",
            "",
            "| column | type | meaning |",
            "|---|---|---|",
            *(_column(table, column.name) for column in table.columns),
            "",
            "| check | severity | condition | reason |",
            "|---|---|---|---|",
            *(
                f"| `{check.name}` | {check.severity} | {_condition(check)} | {check.why} |"
                for check in table.checks
            ),
            "",
        )
    )


def _keys(table: Table) -> str:
    key = f"The key is {_and(table.key)}." if table.key else ""
    time = f" Its event time is `{table.event_time}`." if table.event_time else ""
    return key + time


def _column(table: Table, name: str) -> str:
    column = table.column(name)
    label = f"**{name}**" if column.required else name
    return f"| {label} | {column.type} | {column.meaning} |"


def _and(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _condition(check: Check) -> str:
    columns, reference = _and(check.columns), f"`{check.references}`"
    if check.unless:
        where = f" (off with `shop.{check.unless}`)"
    else:
        where = f" (on with `shop.{check.only_if}`)" if check.only_if else ""
    bound = f"`shop.{check.limit_from}`" if check.limit_from else f"{check.limit or 0:g}"
    conditions = {
        Rule.NOT_NULL: f"{columns} is not null",
        Rule.AT_LEAST: f"{columns} ≥ {bound}",
        Rule.AT_MOST: f"{columns} ≤ {bound}",
        Rule.SALE_AT_LEAST: f"{columns} ≥ {bound}, except in a return",
        Rule.WITHIN: f"{columns} is between −{bound} and {bound}",
        Rule.NOT_EQUAL: f"{columns} ≠ {bound}",
        Rule.ONE_OF: f"{columns} is one of {', '.join(check.values)}",
        Rule.NOT_ABOVE: " ≤ ".join(f"`{name}`" for name in check.columns),
        Rule.UNIQUE: f"no earlier row has the same {columns}",
        Rule.KNOWN: f"{columns} is in {reference}",
        Rule.LOOKED_UP: f"{reference} is not null for {columns}",
        Rule.COVERED: f"each {columns} is in {reference}",
        Rule.ROWS: f"at least {bound} row",
        Rule.BEFORE_CUTOFF: f"{columns} is before the cut-off",
        Rule.FRESH: f"the newest {columns} is at most {bound} days before the cut-off",
        Rule.VOLUME: f"the last whole period has at least {bound} × the median period's rows",
        Rule.NET_SALES: "no sku has a period with more units returned than sold",
        Rule.WEEK_AGREES: f"{columns} is the local week of the shop",
        Rule.WEEK_IN_UTC: f"{columns} falls in the same period in UTC and in local time",
        Rule.WHOLE_PERIODS: "the first and last period have as many days as the others",
    }
    return conditions[check.rule] + where


if __name__ == "__main__":
    sys.stdout.write(page())
