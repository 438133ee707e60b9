"""Which checks of the contract apply to a table of a shop, and with which severity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.checks.measures import TABLE_RULES
from pricebook.config import Severity, Shop, Validate
from pricebook.contract import TABLES, Check, Rule, checks
from pricebook.errors import ConfigError


def share_check(table: str, limit: float) -> Check:
    """The check that the quarantined share of a table is at most `limit`."""
    why = "a larger share of the rows fails its checks than validate.quarantine_limit allows"
    name = f"{table}.quarantined.at_most"
    return Check(Rule.QUARANTINED, (), Severity.CRITICAL, why, name=name, limit=limit)


@dataclass(frozen=True)
class CheckPlan:
    """The checks that apply to the tables of a shop.

    Attributes:
        tables: table: its columns and their DuckDB types.
        shop: its flags and limits turn checks on and off.
        limits: the severities and the quarantine limit of the shop.
    """

    tables: Mapping[str, Mapping[str, str]]
    shop: Shop
    limits: Validate

    def row_checks(self, table: str) -> list[Check]:
        """The checks that judge each row."""
        return [check for check in self._applicable(table) if check.rule not in TABLE_RULES]

    def table_checks(self, table: str) -> list[Check]:
        """The checks that judge the table as a whole, except its share in quarantine."""
        return [check for check in self._applicable(table) if check.rule in TABLE_RULES]

    def share_check(self, table: str) -> Check:
        """The check of the table's share in quarantine."""
        return self._with_severity(share_check(table, self.limits.quarantine_limit))

    def _applicable(self, table: str) -> list[Check]:
        columns, tables = frozenset(self.tables[table]), frozenset(self.tables)
        applicable = checks(table, columns, tables, self.shop)
        return [self._with_severity(check) for check in applicable if self._has_reference(check)]

    def _with_severity(self, check: Check) -> Check:
        return replace(check, severity=self.limits.severities.get(check.name, check.severity))

    def _has_reference(self, check: Check) -> bool:
        table, _, column = (check.references or "").partition(".")
        return not table or column in self.tables[table]


def reject_unknown(severities: Mapping[str, Severity]) -> None:
    """Raise ConfigError if `validate.severities` names no check, or one that cannot have it."""
    known = {check.name: check for table in TABLES.values() for check in table.checks}
    shares = {check.name: check for check in (share_check(table, 1) for table in TABLES)}
    for name, severity in severities.items():
        if name not in known and name not in shares:
            raise ConfigError(f"validate.severities: no such check. Received: {name!r}")
        judges_table = name in shares or known[name].rule in TABLE_RULES
        if severity is Severity.ROW and judges_table:
            raise ConfigError(
                f"validate.severities.{name}: the check judges the whole table and has no rows to "
                f"quarantine; use critical or warning. Received: {severity.value!r}"
            )
