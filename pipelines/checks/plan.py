"""Which checks of the contract are asked of a table, and how grave each is at this shop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.checks.measures import OF_THE_TABLE
from pricebook.config import Severity, Shop, Validate
from pricebook.contract import TABLES, Check, Rule, checks
from pricebook.errors import ConfigError


def share_check(table: str, limit: float) -> Check:
    """The check that too large a share of a table did not go to quarantine."""
    why = "more of its rows than the shop allows would be left out"
    name = f"{table}.quarantined.at_most"
    return Check(Rule.AT_MOST, ("quarantined",), Severity.CRITICAL, why, name=name, limit=limit)


@dataclass(frozen=True)
class Asked:
    """What is asked of the tables a shop delivers; `found` has the columns of each."""

    found: Mapping[str, Mapping[str, str]]
    shop: Shop
    limits: Validate

    def of_rows(self, table: str) -> list[Check]:
        """The checks that judge each row."""
        return [check for check in self._applying(table) if check.rule not in OF_THE_TABLE]

    def of_the_table(self, table: str) -> list[Check]:
        """The checks that judge the table as a whole; its share in quarantine comes apart."""
        return [check for check in self._applying(table) if check.rule in OF_THE_TABLE]

    def of_the_share(self, table: str) -> Check:
        return self._at_severity(share_check(table, self.limits.quarantine_limit))

    def _applying(self, table: str) -> list[Check]:
        columns, tables = frozenset(self.found[table]), frozenset(self.found)
        applying = checks(table, columns, tables, self.shop)
        return [self._at_severity(check) for check in applying if self._has_reference(check)]

    def _at_severity(self, check: Check) -> Check:
        return replace(check, severity=self.limits.severities.get(check.name, check.severity))

    def _has_reference(self, check: Check) -> bool:
        table, _, column = (check.references or "").partition(".")
        return not table or column in self.found[table]


def reject_unknown(severities: Mapping[str, Severity]) -> None:
    """Raise ConfigError for a severity of no check, or one its check cannot have."""
    known = {check.name: check for table in TABLES.values() for check in table.checks}
    shares = {check.name: check for check in (share_check(table, 1) for table in TABLES)}
    for name, severity in severities.items():
        if name not in known and name not in shares:
            raise ConfigError(f"validate.severities: no such check. Received: {name!r}")
        whole = name in shares or known[name].rule in OF_THE_TABLE
        if severity is Severity.ROW and whole:
            raise ConfigError(
                f"validate.severities.{name}: it judges the table and has no rows to quarantine; "
                f"critical or warning. Received: {severity.value!r}"
            )
