"""How a cell of a shop's file becomes a canonical value, as DuckDB expressions.

A conversion is strict: text that is not what it should be is never guessed at. A blank cell, and
text or floats that spell a missing number (NaN, null), become null; a row check decides their fate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.sources import SQL_TYPES, quoted
from pricebook.contract import Column, Type

# Lists, not IN: DuckDB turns a long IN into a hash join, which does not keep the order of rows.
_MISSING = "['', 'nan', 'nat', 'null', 'none']"
_YES = "['true', 't', 'yes', 'y', '1']"
_NO = "['false', 'f', 'no', 'n', '0']"
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DAY = r"\d{4}-\d{1,2}-\d{1,2}"
_LOCAL_TIME = rf"{_DAY}([ T]\d{{1,2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?)?"
_WITH_OFFSET = rf"{_DAY}[ T]\d{{1,2}}:\d{{2}}:\d{{2}}(\.\d+)? ?([zZ]|UTC|[+-]\d{{2}}(:?\d{{2}})?)"

EXPECTED = {
    Type.STRING: "text",
    Type.INTEGER: "a whole number",
    Type.MONEY: "an amount",
    Type.FLOAT: "a finite number",
    Type.BOOLEAN: "true or false",
    Type.TIMESTAMP: "a date and time",
    Type.DATE: "a date",
}


@dataclass(frozen=True)
class Habits:
    """How a file writes money, numbers and time.

    `money` says whether amounts are whole minor units or major units (12.34 with 2 minor digits is
    1234; a fraction of a minor unit is rounded half away from zero). `timezone` is that of
    timestamps without an offset; `timestamp_format` (strptime) replaces ISO 8601.
    """

    timezone: str
    minor_digits: int
    money: Literal["major", "minor"] = "major"
    decimal: Literal[".", ","] = "."
    timestamp_format: str | None = None


@dataclass(frozen=True)
class Conversion:
    """How a column is made, in two steps of SQL, so that a cell is cleaned only once.

    `cell` is the raw value with everything that spells "missing" as null; `value` is the canonical
    value, an expression over `name`. A cell that is there and has no value is an error.
    """

    name: str
    cell: str
    value: str

    @property
    def fails(self) -> str:
        return f"{self.name} IS NOT NULL AND {self.value} IS NULL"


def convert(to: Column, raw: str, found: str, habits: Habits) -> Conversion:
    """The conversion to a column of `raw`, an SQL expression of the DuckDB type `found`.

    A type with no sound conversion (a bare integer as a date) fails wherever it is not null.
    """
    kind = _kind(found)
    value = _value(to.type, to.name, kind, habits) or "NULL"
    typed = f"CAST({value} AS {SQL_TYPES[to.type]})"
    return Conversion(to.name, _cell(raw, kind, to.type), typed)


def _kind(found: str) -> str:
    """One of text, float, whole, decimal, boolean, date, local, instant, other."""
    name = found.upper()
    starts = {"VARCHAR": "text", "ENUM": "text", "DECIMAL": "decimal", "BOOLEAN": "boolean"}
    for start, kind in starts.items():
        if name.startswith(start):
            return kind
    if name.startswith("TIMESTAMP"):
        return "instant" if "TIME ZONE" in name else "local"
    if name in ("DOUBLE", "FLOAT"):
        return "float"
    if name.endswith("INT") or name in ("INTEGER", "UINTEGER"):
        return "whole"
    return "date" if name == "DATE" else "other"


def _cell(raw: str, kind: str, to: Type) -> str:
    """The raw expression with everything that spells "missing" as null."""
    if kind == "float":
        return f"CASE WHEN isnan({raw}) THEN NULL ELSE {raw} END"
    if kind != "text":
        return raw
    text = f"trim(CAST({raw} AS VARCHAR))"
    if to is Type.STRING:
        return f"nullif({text}, '')"
    return f"CASE WHEN list_contains({_MISSING}, lower({text})) THEN NULL ELSE {text} END"


def _value(to: Type, cell: str, kind: str, habits: Habits) -> str | None:
    if to is Type.STRING:
        return _string(cell, kind)
    if to is Type.BOOLEAN:
        return _boolean(cell, kind)
    if to in (Type.TIMESTAMP, Type.DATE):
        instant = _instant(cell, kind, habits)
        return _day(instant, cell, kind, habits) if to is Type.DATE else instant
    number = _number(cell, kind, habits.decimal)
    return None if number is None else _numeric(to, number, habits)


def _numeric(to: Type, number: str, habits: Habits) -> str:
    if to is Type.FLOAT:
        real = f"TRY_CAST({number} AS DOUBLE)"
        return f"CASE WHEN isfinite({real}) THEN {real} END"
    if to is Type.MONEY and habits.money == "major":
        return f"TRY_CAST(round({number} * {10**habits.minor_digits}) AS BIGINT)"
    return f"CASE WHEN {number} = round({number}) THEN TRY_CAST({number} AS BIGINT) END"


def _string(cell: str, kind: str) -> str | None:
    """Text; a whole float (an id that once met a NaN in a data frame) loses its `.0`."""
    if kind == "other":
        return None
    if kind in ("float", "decimal"):
        whole = f"TRY_CAST({cell} AS BIGINT)"
        text = f"CAST({whole} AS VARCHAR) ELSE CAST({cell} AS VARCHAR)"
        return f"CASE WHEN {cell} = {whole} THEN {text} END"
    return cell


def _boolean(cell: str, kind: str) -> str | None:
    if kind == "boolean":
        return cell
    if kind in ("whole", "float", "decimal"):
        return f"CASE WHEN {cell} = 1 THEN true WHEN {cell} = 0 THEN false END"
    if kind != "text":
        return None
    return (
        f"CASE WHEN list_contains({_YES}, lower({cell})) THEN true"
        f" WHEN list_contains({_NO}, lower({cell})) THEN false END"
    )


def _number(cell: str, kind: str, decimal: str) -> str | None:
    if kind in ("whole", "decimal", "float"):
        return cell
    if kind != "text":
        return None
    text = f"translate({cell}, ',.', '.,')" if decimal == "," else cell
    exact = f"TRY_CAST({text} AS DECIMAL(18, 6))"  # wider ones are forty times slower
    return f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN {exact} END"


def _instant(cell: str, kind: str, habits: Habits) -> str | None:
    zone = quoted(habits.timezone)
    if kind == "instant":
        return cell
    if kind in ("date", "local"):
        return f"timezone('{zone}', CAST({cell} AS TIMESTAMP))"
    if kind != "text":
        return None
    if habits.timestamp_format:
        return _formatted(cell, zone, habits.timestamp_format)
    return (
        f"CASE WHEN regexp_full_match({cell}, '{_WITH_OFFSET}')"
        f" THEN TRY_CAST({cell} AS TIMESTAMP WITH TIME ZONE)"
        f" WHEN regexp_full_match({cell}, '{_LOCAL_TIME}')"
        f" THEN timezone('{zone}', TRY_CAST({cell} AS TIMESTAMP)) END"
    )


def _formatted(cell: str, zone: str, pattern: str) -> str:
    parsed = f"try_strptime({cell}, '{quoted(pattern)}')"
    return parsed if "%z" in pattern.lower() else f"timezone('{zone}', {parsed})"


def _day(instant: str | None, cell: str, kind: str, habits: Habits) -> str | None:
    if kind == "date":
        return cell
    if instant is None:
        return None
    return f"CAST(timezone('{quoted(habits.timezone)}', {instant}) AS DATE)"
