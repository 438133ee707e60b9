"""The page of the docs that lists the canonical tables, from contract.py.

python -m pricebook.contract_page > docs/canonical-tables.md
"""

from __future__ import annotations

import sys

from pricebook.contract import TABLES, Check, Rule, Table

_HEAD = """\
# The canonical tables

Written by `python -m pricebook.contract_page` from `pricebook/contract.py`; do not edit it here.

Money is a whole number of minor units (cents), timestamps are UTC instants. Columns in **bold** are
required; any other may be absent, and so may every table but `orders`: what depends on it degrades
and says so. A check on an absent column or table does not run.

A failing **critical** check stops the run. A **row** check sends its rows to quarantine, with its
name as the reason, and the run goes on while the quarantined share stays under
`validate.quarantine_limit`. A **warning** only raises an alert. A shop may change the severity of a
check by its name in `validate.severities`.
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
            "| check | severity | asks | why |",
            "|---|---|---|---|",
            *(
                f"| `{check.name}` | {check.severity} | {_asks(check)} | {check.why} |"
                for check in table.checks
            ),
            "",
        )
    )


def _keys(table: Table) -> str:
    key = "No two rows should share " + _and(table.key) + "." if table.key else ""
    time = f" Its event time is `{table.event_time}`." if table.event_time else ""
    return key + time


def _column(table: Table, name: str) -> str:
    column = table.column(name)
    shown = f"**{name}**" if column.required else name
    return f"| {shown} | {column.type} | {column.meaning} |"


def _and(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _asks(check: Check) -> str:
    columns, reference = _and(check.columns), f"`{check.references}`"
    where = f" (off with `shop.{check.unless}`)" if check.unless else ""
    bound = f"`shop.{check.limit_from}`" if check.limit_from else f"{check.limit or 0:g}"
    sentences = {
        Rule.NOT_NULL: f"{columns} is there",
        Rule.AT_LEAST: f"{columns} ≥ {bound}",
        Rule.AT_MOST: f"{columns} ≤ {bound}",
        Rule.NOT_EQUAL: f"{columns} ≠ {bound}",
        Rule.ONE_OF: f"{columns} is one of {', '.join(check.values)}",
        Rule.NOT_ABOVE: " ≤ ".join(f"`{name}`" for name in check.columns),
        Rule.UNIQUE: f"{columns} are not those of an earlier row",
        Rule.KNOWN: f"{columns} is in {reference}",
        Rule.LOOKED_UP: f"{reference} is there for {columns}",
        Rule.COVERED: f"each {columns} is in {reference}",
        Rule.ROWS: f"at least {bound} row",
        Rule.BEFORE_CUTOFF: f"{columns} is before the cut-off",
        Rule.FRESH: f"the newest {columns} is at most {bound} days before the cut-off",
        Rule.VOLUME: f"the last whole period has at least {bound} × the median period's rows",
        Rule.WEEK_AGREES: f"{columns} is the shop's own week",
        Rule.WEEK_IN_UTC: f"{columns} falls in the same period in UTC as at the shop",
        Rule.WHOLE_PERIODS: "the first and last period have as many days as the others",
    }
    return sentences[check.rule] + where


if __name__ == "__main__":
    sys.stdout.write(page())
