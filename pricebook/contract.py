"""The canonical tables: columns, types, and checks with severities.

The suites of Great Expectations, the readers of files and the page in the docs are all made from
this module. Money columns are integers in minor units; timestamps are UTC instants. A limit that
belongs to one shop is not written here: the check names the shop parameter that holds it.
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
    """What a check can test. The comment says what must hold."""

    NOT_NULL = "not_null"
    AT_LEAST = "at_least"  # column >= limit
    AT_MOST = "at_most"  # column <= limit
    SALE_AT_LEAST = "sale_at_least"  # column >= limit, except in a return (quantity < 0)
    WITHIN = "within"  # -limit <= column <= limit
    NOT_EQUAL = "not_equal"  # column != limit
    ONE_OF = "one_of"  # column in values
    NOT_ABOVE = "not_above"  # columns[0] <= columns[1]
    UNIQUE = "unique"  # no earlier row has the same values in all columns
    KNOWN = "known"  # column is in references (table.column)
    LOOKED_UP = "looked_up"  # references (table.column) is not null for this row's key
    COVERED = "covered"  # each distinct value of column is in references; counts values
    ROWS = "rows"  # the table has at least `limit` rows
    BEFORE_CUTOFF = "before_cutoff"  # event time < as_of
    FRESH = "fresh"  # the newest event is at most `limit` days before as_of
    VOLUME = "volume"  # the last whole period has at least `limit` x the median period's rows
    QUARANTINED = "quarantined"  # the share of rows in quarantine is at most `limit`
    NET_SALES = "net_sales"  # no series has a period with more units returned than sold
    WEEK_AGREES = "week_agrees"  # the feed's own week is the shop's local week
    WEEK_IN_UTC = "week_in_utc"  # the row falls in the same period in UTC as in local time
    WHOLE_PERIODS = "whole_periods"  # the first and last period have as many days as the others


@dataclass(frozen=True)
class Check:
    """One test of a table.

    Attributes:
        rule: what is tested.
        columns: the columns it looks at.
        severity: what a failure does, unless the shop's params change it.
        why: the reason for the check; alerts show it.
        name: unique; `table.column.rule`.
        limit: the figure of a bound.
        values: the allowed values of ONE_OF.
        references: `table.column` that the rule looks at.
        limit_from: the `shop` parameter that holds the limit; no value there skips the check.
        unless: the `shop` flag that turns the check off.
        only_if: the `shop` flag that turns the check on.
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
    only_if: str | None = None


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
        """Names of the columns that every shop needs."""
        return tuple(column.name for column in self.columns if column.required)

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


CRITICAL, ROW, WARNING = Severity.CRITICAL, Severity.ROW, Severity.WARNING
STRING, INTEGER, MONEY, FLOAT = Type.STRING, Type.INTEGER, Type.MONEY, Type.FLOAT
BOOLEAN, TIMESTAMP, DATE = Type.BOOLEAN, Type.TIMESTAMP, Type.DATE


def _check(rule: Rule, columns: str, severity: Severity, why: str, **options: Any) -> Check:
    return Check(rule, tuple(columns.split()), severity, why, **options)


def _not_negative(column: str) -> Check:
    return _check(Rule.AT_LEAST, column, ROW, f"{column} cannot be negative", limit=0)


def _not_negative_in_sales(column: str) -> Check:
    why = f"{column} cannot be negative in a sale"
    return _check(Rule.SALE_AT_LEAST, column, ROW, why, name="at_least", limit=0)


def _positive(column: str) -> Check:
    return _check(Rule.AT_LEAST, column, ROW, f"{column} must be above zero", limit=1)


def _share(column: str) -> Check:
    return _check(Rule.AT_MOST, column, ROW, f"{column} is a share; it cannot exceed 1", limit=1)


def _unique(key: str, severity: Severity = ROW) -> Check:
    why = "the row repeats the key of an earlier row"
    return _check(Rule.UNIQUE, key, severity, why)


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
    rows = _check(Rule.ROWS, "", CRITICAL, "the table is empty", limit=1)
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
        Column("customer_id", STRING, "the customer; null for an anonymous order"),
        Column("zone", STRING, "a store, region or price zone"),
        Column("channel", STRING, "web, app, store"),
        Column("list_amount", MONEY, "the cost of the line at list price"),
        Column("coupon_amount", MONEY, "the part of the discount that a coupon gave"),
        Column("week_start", DATE, "the week as the feed counts it; used in checks only"),
    ],
    [
        _before_cutoff("ordered_at"),
        _check(Rule.NOT_EQUAL, "quantity", ROW, "a line without units has no price", limit=0),
        _check(
            Rule.AT_LEAST,
            "quantity",
            ROW,
            "this shop does not allow returns (shop.allow_returns)",
            limit=0,
            unless="allow_returns",
        ),
        _check(
            Rule.WITHIN,
            "quantity",
            ROW,
            "more units, sold or returned, than a line of this shop can plausibly have",
            name="at_most",
            limit_from="max_quantity",
        ),
        _check(
            Rule.AT_LEAST,
            "net_amount",
            ROW,
            "this shop does not allow returns (shop.allow_returns)",
            limit=0,
            unless="allow_returns",
        ),
        _check(
            Rule.NOT_EQUAL,
            "net_amount",
            ROW,
            "a free line has no price (shop.allow_free)",
            limit=0,
            unless="allow_free",
        ),
        _not_negative_in_sales("list_amount"),
        _not_negative_in_sales("coupon_amount"),
        _check(
            Rule.NOT_ABOVE,
            "coupon_amount net_amount",
            WARNING,
            "the coupon is larger than the amount received",
        ),
        _unique("order_id sku"),
        _known("sku", "products.sku"),
        _looked_up(
            "sku",
            "products.category",
            "without a category, the models treat the sku as an average one of the shop",
        ),
        _looked_up(
            "sku",
            "products.pack_size",
            "without a pack size, no price per unit of content can be shown",
        ),
        _check(
            Rule.COVERED,
            "zone",
            WARNING,
            "no promotion is recorded in this zone, so its promotions are unknown",
            references="promotions.zone",
        ),
        _check(
            Rule.WEEK_AGREES,
            "week_start",
            WARNING,
            "the week of the feed is not the local week of the shop",
        ),
        _check(
            Rule.WEEK_IN_UTC,
            "ordered_at",
            WARNING,
            "the line falls in another period in UTC than in local time",
        ),
        _check(
            Rule.WHOLE_PERIODS,
            "ordered_at",
            WARNING,
            "the first or last period has fewer days than the others, so it is not modelled",
        ),
        _check(Rule.FRESH, "ordered_at", WARNING, "the newest order is old", limit=14),
        _check(
            Rule.VOLUME,
            "ordered_at",
            WARNING,
            "the last whole period has far fewer order lines than the periods before",
            limit=0.5,
        ),
        _check(
            Rule.NET_SALES,
            "sku quantity",
            WARNING,
            "more units were returned than sold; the period counts as one without sales",
            name="net_sales",
            only_if="allow_returns",
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
        Column("name", STRING, "the name that people read"),
        Column("product_type", STRING, "the kind of product within the category"),
        Column("category", STRING, "groups a sku with its substitutes"),
        Column("department", STRING, "groups categories"),
        Column("brand", STRING, "the brand"),
        Column("unit_cost", MONEY, "the cost of a unit to the shop"),
        Column("list_price", MONEY, "the published price of a unit"),
        Column("map_price", MONEY, "the minimum advertised price that the maker allows"),
        Column("pack_size", STRING, "the content of a unit, such as 500 g"),
    ],
    [
        _unique("sku"),
        _check(
            Rule.NOT_NULL,
            "category",
            WARNING,
            "without a category, the models treat the sku as an average one of the shop",
        ),
        _not_negative("unit_cost"),
        _positive("list_price"),
        _positive("map_price"),
        _check(
            Rule.NOT_ABOVE,
            "unit_cost list_price",
            WARNING,
            "the list price is below cost",
        ),
    ],
    key="sku",
)

_PROMOTIONS = _table(
    "promotions",
    "a sku on promotion in a zone and period",
    [
        Column("sku", STRING, "the sku", required=True),
        Column("zone", STRING, "the zone; null for all zones"),
        Column("starts_at", TIMESTAMP, "when it starts", required=True),
        Column("ends_at", TIMESTAMP, "when it ends (exclusive)", required=True),
        Column("kind", STRING, "display, mailer, display+mailer, or a word of the shop"),
        Column("depth", FLOAT, "the share taken off the list price"),
    ],
    [
        _before_cutoff("starts_at"),
        _check(Rule.NOT_ABOVE, "starts_at ends_at", ROW, "the promotion ends before it starts"),
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
        Column("attributes", STRING, "other data as JSON; never used as a feature"),
        Column("consent_personalised", BOOLEAN, "whether the customer agreed to personal offers"),
    ],
    [_unique("customer_id")],
    key="customer_id",
)

_PRICES = _table(
    "prices",
    "a published list price",
    [
        Column("sku", STRING, "the sku", required=True),
        Column("zone", STRING, "the zone; null for all zones"),
        Column("price", MONEY, "the price of a unit", required=True),
        Column(
            "effective_from",
            TIMESTAMP,
            "when it takes effect; it is valid until the next price",
            required=True,
        ),
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
        Column("zone", STRING, "the zone; null for all zones"),
        Column("observed_at", TIMESTAMP, "when the stock was counted", required=True),
        Column("on_hand", INTEGER, "units on the shelf", required=True),
        Column("inbound", INTEGER, "units ordered but not yet received"),
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
    "a price observed at a competitor",
    [
        Column("sku", STRING, "the shop's own sku it competes with", required=True),
        Column("zone", STRING, "the zone; null for all zones"),
        Column("competitor", STRING, "the competitor", required=True),
        Column("observed_at", TIMESTAMP, "when the price was observed", required=True),
        Column("price", MONEY, "the price of a unit", required=True),
        Column("source", STRING, "how the price was observed"),
        Column("public", BOOLEAN, "whether any shopper can see the price"),
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
        Column("occurred_at", TIMESTAMP, "when it happened", required=True),
        Column("session_id", STRING, "the visit"),
        Column("customer_id", STRING, "the customer; null if anonymous"),
        Column("sku", STRING, "the sku"),
        Column("kind", STRING, "view, cart or search", required=True),
        Column("shown_price", MONEY, "the price shown to the shopper"),
    ],
    [
        _before_cutoff("occurred_at"),
        _check(
            Rule.ONE_OF,
            "kind",
            ROW,
            "not one of the kinds of event",
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
    """The checks that apply to a table of this shop.

    Checks on absent columns, against absent tables, or turned off by the shop are left out. A
    limit that the shop holds is filled in.

    >>> shop = Shop(name="x", source="files", max_quantity=12)
    >>> [check.limit for check in checks("orders", frozenset({"quantity"}), frozenset(), shop)
    ...  if check.rule is Rule.WITHIN]
    [12]
    """
    applicable = (_for_shop(check, shop) for check in TABLES[table].checks)
    return tuple(
        check
        for check in applicable
        if check is not None
        and columns.issuperset(check.columns)
        and (check.references is None or check.references.partition(".")[0] in tables)
    )


def _for_shop(check: Check, shop: Shop) -> Check | None:
    """The check with the shop's limit in it; None if it is off in this shop."""
    if check.unless and getattr(shop, check.unless):
        return None
    if check.only_if and not getattr(shop, check.only_if):
        return None
    if check.limit_from is None:
        return check
    limit = getattr(shop, check.limit_from)
    return None if limit is None else replace(check, limit=limit)
