"""SQL types of the contract, and text for SQL statements."""

from __future__ import annotations

from pricebook.contract import Type

SQL_TYPES = {
    Type.STRING: "VARCHAR",
    Type.INTEGER: "BIGINT",
    Type.MONEY: "BIGINT",
    Type.FLOAT: "DOUBLE",
    Type.BOOLEAN: "BOOLEAN",
    Type.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
    Type.DATE: "DATE",
}


def quoted(text: str) -> str:
    """Escape text that goes between SQL single quotes."""
    return text.replace("'", "''")


def identifier(name: str) -> str:
    """Quote a column name for SQL.

    >>> print(identifier('the "net" price'))
    "the ""net"" price"
    """
    return '"' + name.replace('"', '""') + '"'
