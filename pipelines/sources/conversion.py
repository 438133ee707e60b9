"""Converts a cell of a shop's file to a canonical value, with DuckDB expressions.

A conversion is strict: text in an unexpected format is an error, never a guess. A blank cell, and
text or floats that mean a missing number (NaN, null), become null; a row check handles them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.sources.sql_text import SQL_TYPES, quoted
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
class FileFormat:
    """How a file writes money, numbers and time.

    Attributes:
        timezone: of timestamps without an offset.
        minor_digits: decimal digits of an amount in major units.
        money: whether amounts are minor units or major units. 12.34 in major units with 2 digits is
            1234; a fraction of a minor unit is rounded half away from zero.
        decimal: the decimal mark of numbers in text.
        timestamp_format: strptime format of dates and times in text; ISO 8601 if None.
    """

    timezone: str
    minor_digits: int
    money: Literal["major", "minor"] = "major"
    decimal: Literal[".", ","] = "."
    timestamp_format: str | None = None


@dataclass(frozen=True)
class Conversion:
    """The SQL that makes a canonical column. Two steps, so that a cell is cleaned only once.

    Attributes:
        name: the canonical column.
        cell: the raw value, with null for every spelling of "missing".
        value: the canonical value, an expression over `name`, which holds the cell.
    """

    name: str
    cell: str
    value: str

    @property
    def fails(self) -> str:
        """SQL that is true for a cell that is present but cannot be converted."""
        return f"{self.name} IS NOT NULL AND {self.value} IS NULL"


def convert(to: Column, raw: str, duckdb_type: str, file_format: FileFormat) -> Conversion:
    """The conversion of `raw`, an SQL expression of a DuckDB type, to a canonical column.

    Some types cannot be converted, such as an integer to a date. Their conversion fails for every
    cell that is not null.
    """
    kind = _kind(duckdb_type)
    value = _value(to.type, to.name, kind, file_format) or "NULL"
    typed = f"CAST({value} AS {SQL_TYPES[to.type]})"
    return Conversion(to.name, _cell(raw, kind, to.type), typed)


def _kind(duckdb_type: str) -> str:
    """One of text, float, whole, decimal, boolean, date, local, instant, other."""
    name = duckdb_type.upper()
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
    """The raw expression with null for every spelling of "missing"."""
    if kind == "float":
        return f"CASE WHEN isnan({raw}) THEN NULL ELSE {raw} END"
    if kind != "text":
        return raw
    text = f"trim(CAST({raw} AS VARCHAR))"
    if to is Type.STRING:
        return f"nullif({text}, '')"
    return f"CASE WHEN list_contains({_MISSING}, lower({text})) THEN NULL ELSE {text} END"


def _value(to: Type, cell: str, kind: str, file_format: FileFormat) -> str | None:
    if to is Type.STRING:
        return _string(cell, kind)
    if to is Type.BOOLEAN:
        return _boolean(cell, kind)
    if to in (Type.TIMESTAMP, Type.DATE):
        instant = _instant(cell, kind, file_format)
        return _day(instant, cell, kind, file_format) if to is Type.DATE else instant
    number = _number(cell, kind, file_format.decimal)
    return None if number is None else _numeric(to, number, file_format)


def _numeric(to: Type, number: str, file_format: FileFormat) -> str:
    if to is Type.FLOAT:
        real = f"TRY_CAST({number} AS DOUBLE)"
        return f"CASE WHEN isfinite({real}) THEN {real} END"
    if to is Type.MONEY and file_format.money == "major":
        return f"TRY_CAST(round({number} * {10**file_format.minor_digits}) AS BIGINT)"
    return f"CASE WHEN {number} = round({number}) THEN TRY_CAST({number} AS BIGINT) END"


def _string(cell: str, kind: str) -> str | None:
    """Text. A whole float loses its `.0`: pandas turns integer ids with gaps into floats."""
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
    exact = f"TRY_CAST({text} AS DECIMAL(18, 6))"  # a wider decimal is forty times slower
    return f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN {exact} END"


def _instant(cell: str, kind: str, file_format: FileFormat) -> str | None:
    zone = quoted(file_format.timezone)
    if kind == "instant":
        return cell
    if kind in ("date", "local"):
        return f"timezone('{zone}', CAST({cell} AS TIMESTAMP))"
    if kind != "text":
        return None
    if file_format.timestamp_format:
        return _formatted(cell, zone, file_format.timestamp_format)
    return (
        f"CASE WHEN regexp_full_match({cell}, '{_WITH_OFFSET}')"
        f" THEN TRY_CAST({cell} AS TIMESTAMP WITH TIME ZONE)"
        f" WHEN regexp_full_match({cell}, '{_LOCAL_TIME}')"
        f" THEN timezone('{zone}', TRY_CAST({cell} AS TIMESTAMP)) END"
    )


def _formatted(cell: str, zone: str, pattern: str) -> str:
    parsed = f"try_strptime({cell}, '{quoted(pattern)}')"
    return parsed if "%z" in pattern.lower() else f"timezone('{zone}', {parsed})"


def _day(instant: str | None, cell: str, kind: str, file_format: FileFormat) -> str | None:
    if kind == "date":
        return cell
    if instant is None:
        return None
    return f"CAST(timezone('{quoted(file_format.timezone)}', {instant}) AS DATE)"
