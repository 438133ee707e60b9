"""The sections of params.yaml that describe the shop: `shop` and `costs`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from pricebook.config.section import Section, Share
from pricebook.errors import ConfigError


def _check_timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"not an IANA time zone, received: {name!r}")
    return name


Timezone = Annotated[str, AfterValidator(_check_timezone)]


def _currency_digits(shop: dict[str, Any]) -> int:
    """The minor digits of the shop's currency: 2 for USD, 0 for JPY, 3 for KWD.

    The iso4217 package carries the table of ISO 4217 itself. Babel would be wrong here: its data
    (CLDR) says how many digits people write, which is 0 for IQD and RSD where ISO has 3 and 2.

    Raises:
        ConfigError: ISO 4217 has no such currency, or gives it no minor unit (gold, for example).
    """
    from iso4217 import Currency  # parses its table when it is imported

    code = shop["currency"]
    digits: int | None = None
    with suppress(ValueError):
        digits = Currency(code).exponent  # None for gold and other codes without a minor unit
    if digits is None:
        raise ConfigError(
            "shop.currency: not a currency with a minor unit in ISO 4217. Correct the code, or set "
            f"shop.minor_digits. Received: {code!r}"
        )
    return digits


class TableFile(Section):
    """How a file of the shop becomes a canonical table (`source: files`)."""

    path: str
    columns: dict[str, str] = Field(
        default_factory=dict, description="canonical column: column of the file"
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict, description="canonical column: constant value"
    )
    money: Literal["major", "minor"] = Field("major", description="12.34 dollars or 1234 cents")
    timezone: Timezone | None = Field(
        None, description="of timestamps without an offset; default: the shop's time zone"
    )
    decimal: Literal[".", ","] = Field(".", description="the decimal mark of numbers in text")
    timestamp_format: str | None = Field(
        None, description="strptime format of dates and times in text; default: ISO 8601"
    )


class Shop(Section):
    """The shop, and the limits that only the shop can know."""

    name: str
    source: Literal["complete_journey", "files"]
    timezone: Timezone = "UTC"
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    minor_digits: Annotated[int, Field(ge=0, le=4)] = Field(
        default_factory=_currency_digits,
        description="decimal digits of an amount in major units; default: those of the currency",
    )
    grain: Literal["day", "week", "month"] = "week"
    by_zone: bool = Field(False, description="whether a series is a sku in a zone, not a sku")
    max_quantity: int | None = Field(None, description="the largest plausible quantity of a line")
    allow_returns: bool = False
    allow_free: bool = False
    exclude_departments: tuple[str, ...] = ()
    files: dict[str, TableFile] = Field(
        default_factory=dict, description="table: its file (source: files)"
    )


class Costs(Section):
    """Margins to assume where the shop gives no unit cost. Without either, a sku has no floor."""

    assumed_margin: Share | None = None
    assumed_margin_by_department: dict[str, Share] = Field(default_factory=dict)
