"""The canonical tables: columns, types, and checks with severities.

The one source for the Great Expectations suites, the readers and the table in the docs.
Money columns are integers in minor units; timestamps are UTC instants. A limit that belongs
to one shop is not written here: a check names the shop parameter that holds it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pricebook.config import Severity, Shop


class Type(StrEnum):
    """What a column holds. MONEY is an integer in minor units; TIMESTAMP is a UTC instant."""

    STRING = "string"
    INTEGER = "integer"
    MONEY = "money"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"


class Rule(StrEnum):
    """The closed set of things a check can ask."""

    NOT_NULL = "not_null"
    AT_LEAST = "at_least"  # column >= limit
    AT_MOST = "at_most"  # column <= limit
    NOT_EQUAL = "not_equal"  # column != limit
    ONE_OF = "one_of"  # column in values
    NOT_ABOVE = "not_above"  # columns[0] <= columns[1]
    UNIQUE = "unique"  # columns together; the first of equals passes
    KNOWN = "known"  # column is in references (table.column)
    LOOKED_UP = "looked_up"  # references (table.column) is not null for this row's key
    COVERED = "covered"  # each distinct value of column is in references; counts values
    ROWS = "rows"  # the table has at least `limit` rows
    BEFORE_CUTOFF = "before_cutoff"  # event time < as_of
    FRESH = "fresh"  # the newest event is at most `limit` days before as_of
    VOLUME = "volume"  # the last whole period has at least `limit` x the median period's rows
    WEEK_AGREES = "week_agrees"  # the feed's own week is the shop's local week
    WEEK_IN_UTC = "week_in_utc"  # reading the time as UTC would give the same period
    WHOLE_PERIODS = "whole_periods"  # the first and last period have as many days as the others


@dataclass(frozen=True)
class Check:
    """One question asked of a table, and what a failure does.

    `limit` is the figure of a bound; `limit_from` names the `shop` parameter that holds it instead
    (the check is skipped where the shop gives none); `unless` names a shop flag that turns it off.
    """

    rule: Rule
    columns: tuple[str, ...]
    severity: Severity
    why: str
    name: str = ""
    limit: float | None = None
    values: tuple[str, ...] = ()
    references: str | None = None
    limit_from: str | None = None
    unless: str | None = None


@dataclass(frozen=True)
class Column:
    """A column of a canonical table."""

    name: str
    type: Type
    meaning: str
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A canonical table."""

    name: str
    a_row_is: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    event_time: str | None
    checks: tuple[Check, ...]

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.required)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


CRITICAL, ROW, WARNING = Severity.CRITICAL, Severity.ROW, Severity.WARNING
STRING, INTEGER, MONEY, FLOAT = Type.STRING, Type.INTEGER, Type.MONEY, Type.FLOAT
BOOLEAN, TIMESTAMP, DATE = Type.BOOLEAN, Type.TIMESTAMP, Type.DATE


def _check(rule: Rule, columns: str, severity: Severity, why: str, **more: Any) -> Check:
    return Check(rule, tuple(columns.split()), severity, why, **more)


def _not_negative(column: str) -> Check:
    return _check(Rule.AT_LEAST, column, ROW, f"{column} cannot be negative", limit=0)


def _positive(column: str) -> Check:
    return _check(Rule.AT_LEAST, column, ROW, f"{column} must be above zero", limit=1)


def _share(column: str) -> Check:
    return _check(Rule.AT_MOST, column, ROW, f"{column} is a share of one", limit=1)


def _unique(key: str, severity: Severity = ROW) -> Check:
    return _check(Rule.UNIQUE, key, severity, "a row that repeats its key is not a new fact")


def _known(column: str, references: str) -> Check:
    why = f"this {column} is not in {references}"
    return _check(Rule.KNOWN, column, WARNING, why, references=references)


def _before_cutoff(column: str) -> Check:
    why = "only data strictly before the cut-off may be read"
    return _check(Rule.BEFORE_CUTOFF, column, CRITICAL, why)


def _looked_up(column: str, references: str, why: str) -> Check:
    name = f"{references.partition('.')[2]}.{Rule.LOOKED_UP}"
    return _check(Rule.LOOKED_UP, column, WARNING, why, references=references, name=name)


def _table(
    name: str,
    a_row_is: str,
    columns: list[Column],
    checks: list[Check],
    *,
    key: str = "",
    event_time: str | None = None,
) -> Table:
    rows = _check(
        Rule.ROWS,
        "",
        CRITICAL,
        "there is nothing to learn from an empty table",
        limit=1,
    )
    present = [
        _check(Rule.NOT_NULL, column.name, ROW, f"a row of {name} needs its {column.name}")
        for column in columns
        if column.required
    ]
    named = tuple(replace(check, name=_name(name, check)) for check in [rows, *present, *checks])
    return Table(name, a_row_is, tuple(columns), tuple(key.split()), event_time, named)


def _name(table: str, check: Check) -> str:
    return ".".join((table, *check.columns, check.name or check.rule))


_ORDERS = _table(
    "orders",
    "an order line",
    [
        Column("order_id", STRING, "the order", required=True),
        Column("ordered_at", TIMESTAMP, "when it was placed", required=True),
        Column("sku", STRING, "what was bought", required=True),
        Column("quantity", INTEGER, "units; below zero for a return", required=True),
        Column("net_amount", MONEY, "what the shop received for the line", required=True),
        Column("customer_id", STRING, "who bought; null where the order is anonymous"),
        Column("zone", STRING, "where: a store, region or price zone"),
        Column("channel", STRING, "web, app, store"),
        Column("list_amount", MONEY, "what the line would have cost at list price"),
        Column("coupon_amount", MONEY, "the part of the discount that a coupon gave"),
        Column("week_start", DATE, "the feed's own week, where it has one; only checked"),
    ],
    [
        _before_cutoff("ordered_at"),
        _check(Rule.NOT_EQUAL, "quantity", ROW, "a line of no units has no price", limit=0),
        _check(
            Rule.AT_LEAST,
            "quantity",
            ROW,
            "this shop has no returns",
            limit=0,
            unless="allow_returns",
        ),
        _check(
            Rule.AT_MOST,
            "quantity",
            ROW,
            "above the largest plausible quantity of a line in this shop",
            limit_from="max_quantity",
        ),
        _check(
            Rule.AT_LEAST,
            "net_amount",
            ROW,
            "this shop has no returns",
            limit=0,
            unless="allow_returns",
        ),
        _check(
            Rule.NOT_EQUAL,
            "net_amount",
            ROW,
            "a free line has no price to learn from",
            limit=0,
            unless="allow_free",
        ),
        _not_negative("list_amount"),
        _not_negative("coupon_amount"),
        _check(
            Rule.NOT_ABOVE,
            "coupon_amount net_amount",
            WARNING,
            "the coupon is worth more than the shop received",
        ),
        _unique("order_id sku"),
        _known("sku", "products.sku"),
        _looked_up("sku", "products.category", "a sku without a category learns from the shop"),
        _looked_up("sku", "products.pack_size", "no price per unit of content can be shown"),
        _check(
            Rule.COVERED,
            "zone",
            WARNING,
            "no promotion is recorded in this zone; its shelf promotions are unknown",
            references="promotions.zone",
        ),
        _check(
            Rule.WEEK_AGREES,
            "week_start",
            WARNING,
            "the feed's week is not the shop's week",
        ),
        _check(
            Rule.WEEK_IN_UTC,
            "ordered_at",
            WARNING,
            "read as UTC, the line would fall in another period than at the shop",
        ),
        _check(
            Rule.WHOLE_PERIODS,
            "ordered_at",
            WARNING,
            "the first or last period has fewer days than the others; it is not modelled",
        ),
        _check(Rule.FRESH, "ordered_at", WARNING, "the newest order is old", limit=14),
        _check(
            Rule.VOLUME,
            "ordered_at",
            WARNING,
            "the last whole period has few order lines against the periods before",
            limit=0.5,
        ),
    ],
    key="order_id sku",
    event_time="ordered_at",
)

_PRODUCTS = _table(
    "products",
    "a sku",
    [
        Column("sku", STRING, "the sku", required=True),
        Column("name", STRING, "what people call it"),
        Column("product_type", STRING, "its kind within the category"),
        Column("category", STRING, "where its substitutes are"),
        Column("department", STRING, "where its category is"),
        Column("brand", STRING, "who makes it"),
        Column("unit_cost", MONEY, "what a unit costs the shop"),
        Column("list_price", MONEY, "the published price of a unit"),
        Column("map_price", MONEY, "the lowest price its maker allows to be advertised"),
        Column("pack_size", STRING, "the content of a unit"),
    ],
    [
        _unique("sku"),
        _check(Rule.NOT_NULL, "category", WARNING, "learns from the whole shop"),
        _not_negative("unit_cost"),
        _positive("list_price"),
        _positive("map_price"),
        _check(
            Rule.NOT_ABOVE,
            "unit_cost list_price",
            WARNING,
            "sold below cost at list price",
        ),
    ],
    key="sku",
)

_PROMOTIONS = _table(
    "promotions",
    "a sku on promotion in a zone and period",
    [
        Column("sku", STRING, "the sku", required=True),
        Column("zone", STRING, "where; null for everywhere"),
        Column("starts_at", TIMESTAMP, "from", required=True),
        Column("ends_at", TIMESTAMP, "until, exclusive", required=True),
        Column("kind", STRING, "display, mailer, display+mailer, or the shop's own word"),
        Column("depth", FLOAT, "the share taken off the list price"),
    ],
    [
        _before_cutoff("starts_at"),
        _check(Rule.NOT_ABOVE, "starts_at ends_at", ROW, "ends before it starts"),
        _not_negative("depth"),
        _share("depth"),
        _unique("sku zone starts_at", WARNING),
        _known("sku", "products.sku"),
    ],
    key="sku zone starts_at",
    event_time="starts_at",
)

_CUSTOMERS = _table(
    "customers",
    "a customer",
    [
        Column("customer_id", STRING, "the customer", required=True),
        Column("attributes", STRING, "anything else, as JSON; never a feature"),
        Column("consent_personalised", BOOLEAN, "agreed to personal offers"),
    ],
    [_unique("customer_id")],
    key="customer_id",
)

_PRICES = _table(
    "prices",
    "a published list price",
    [
        Column("sku", STRING, "the sku", required=True),
        Column("zone", STRING, "where; null for everywhere"),
        Column("price", MONEY, "of a unit", required=True),
        Column("effective_from", TIMESTAMP, "valid until the next one", required=True),
    ],
    [
        _before_cutoff("effective_from"),
        _positive("price"),
        _unique("sku zone effective_from"),
        _known("sku", "products.sku"),
    ],
    key="sku zone effective_from",
    event_time="effective_from",
)

_INVENTORY = _table(
    "inventory",
    "stock at a time",
    [
        Column("sku", STRING, "the sku", required=True),
        Column("zone", STRING, "where; null for everywhere"),
        Column("observed_at", TIMESTAMP, "when it was counted", required=True),
        Column("on_hand", INTEGER, "units on the shelf", required=True),
        Column("inbound", INTEGER, "units on their way"),
    ],
    [
        _before_cutoff("observed_at"),
        _not_negative("on_hand"),
        _not_negative("inbound"),
        _unique("sku zone observed_at"),
        _known("sku", "products.sku"),
    ],
    key="sku zone observed_at",
    event_time="observed_at",
)

_COMPETITOR_PRICES = _table(
    "competitor_prices",
    "an observed rival price",
    [
        Column("sku", STRING, "our sku it competes with", required=True),
        Column("zone", STRING, "where; null for everywhere"),
        Column("competitor", STRING, "who", required=True),
        Column("observed_at", TIMESTAMP, "when it was seen", required=True),
        Column("price", MONEY, "of a unit", required=True),
        Column("source", STRING, "how it was seen"),
        Column("public", BOOLEAN, "seen where any shopper can see it"),
    ],
    [
        _before_cutoff("observed_at"),
        _positive("price"),
        _unique("sku zone competitor observed_at"),
        _known("sku", "products.sku"),
    ],
    key="sku zone competitor observed_at",
    event_time="observed_at",
)

_EVENTS = _table(
    "events",
    "a view, cart or search",
    [
        Column("event_id", STRING, "the event", required=True),
        Column("occurred_at", TIMESTAMP, "when", required=True),
        Column("session_id", STRING, "in which visit"),
        Column("customer_id", STRING, "who; null where anonymous"),
        Column("sku", STRING, "what"),
        Column("kind", STRING, "view, cart or search", required=True),
        Column("shown_price", MONEY, "the price the shopper saw"),
    ],
    [
        _before_cutoff("occurred_at"),
        _check(
            Rule.ONE_OF,
            "kind",
            ROW,
            "not a kind of event",
            values=("view", "cart", "search"),
        ),
        _not_negative("shown_price"),
        _unique("event_id"),
    ],
    key="event_id",
    event_time="occurred_at",
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _ORDERS,
        _PRODUCTS,
        _PROMOTIONS,
        _CUSTOMERS,
        _PRICES,
        _INVENTORY,
        _COMPETITOR_PRICES,
        _EVENTS,
    )
}
REQUIRED_TABLES = ("orders",)


def checks(
    table: str, columns: frozenset[str], tables: frozenset[str], shop: Shop
) -> tuple[Check, ...]:
    """The checks that apply to a table as this shop delivers it.

    Checks on absent columns, against absent tables, or switched off by the shop are left out, and
    a limit that the shop holds is filled in.

    >>> shop = Shop(name="x", source="files", max_quantity=12)
    >>> [check.limit for check in checks("orders", frozenset({"quantity"}), frozenset(), shop)
    ...  if check.rule is Rule.AT_MOST]
    [12]
    """
    filled = (_with_limit(check, shop) for check in TABLES[table].checks)
    return tuple(
        check
        for check in filled
        if check is not None
        and columns.issuperset(check.columns)
        and (check.references is None or check.references.partition(".")[0] in tables)
    )


def _with_limit(check: Check, shop: Shop) -> Check | None:
    if check.unless and getattr(shop, check.unless):
        return None
    if check.limit_from is None:
        return check
    limit = getattr(shop, check.limit_from)
    return None if limit is None else replace(check, limit=limit)
