"""A yen shop and a Kuwaiti dinar shop get right amounts without any setting but the currency."""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cli.demo.summary import Money
from pipelines.bundle import _write_description
from pipelines.featurize import featurize
from pipelines.ingest import ingest
from pricebook import money
from pricebook.config import Params, Settings, Shop, load_params
from pricebook.errors import ConfigError, SourceError
from pricebook.files import read_json
from pricebook.pricing.decision import Listings
from pricebook.pricing.quote import DEFAULT_ARM, Terms, offers

AS_OF = date(2025, 4, 7)
WEEKS = 13
PARAMS = """
shop:
  name: shop
  source: files
  currency: {currency}
  files:
    orders: {{path: orders.csv}}
    products: {{path: products.csv}}
featurize: {{min_periods: 8}}
"""


@dataclass(frozen=True)
class Case:
    """A currency, amounts as the shop's files write them, and as people read them."""

    currency: str
    digits: int
    list_price: str
    unit_cost: str
    paid: str  # for the two units of an order line


YEN = Case("JPY", 0, "1980", "1100", "3960")
DINAR = Case("KWD", 3, "1.250", "0.700", "2.500")
cases = pytest.mark.parametrize("case", [YEN, DINAR], ids=lambda case: case.currency)


def write_shop(folder: Path, case: Case) -> tuple[Params, Settings]:
    (folder / "params.yaml").write_text(PARAMS.format(currency=case.currency))
    days = pd.date_range("2025-01-06 12:00", periods=WEEKS, freq="7D")
    lines = [f"{week},{day},tea,2,{case.paid}" for week, day in enumerate(days)]
    rows = ["order_id,ordered_at,sku,quantity,net_amount", *lines]
    (folder / "orders.csv").write_text("\n".join(rows))
    product = f"sku,unit_cost,list_price\ntea,{case.unit_cost},{case.list_price}\n"
    (folder / "products.csv").write_text(product)
    settings = Settings(home=folder, params=folder / "params.yaml")
    return load_params(settings.params), settings


def minor(case: Case, amount: str) -> int:
    return round(float(amount) * 10**case.digits)


def featurized(folder: Path, case: Case) -> tuple[Params, Settings]:
    params, settings = write_shop(folder, case)
    ingest(AS_OF, params, settings)
    shutil.copytree(settings.raw, settings.validated)
    featurize(AS_OF, params, settings)
    return params, settings


def listings(book: pd.DataFrame) -> Listings:
    columns = ("sku", "zone", "list_price", "reference_price", "unit_cost", "cost_assumed")
    columns += ("map_price", "competitor_price")
    return Listings(
        **{name: book[name].to_numpy() for name in columns}, modelled=np.ones(len(book), np.bool_)
    )


@cases
def test_amounts_are_right_from_the_files_to_the_quote(tmp_path, case):
    params, settings = featurized(tmp_path, case)
    orders = pd.read_parquet(settings.raw / "orders.parquet")
    assert set(orders["net_amount"]) == {minor(case, case.paid)}
    book = pd.read_parquet(settings.features / "price_book.parquet")
    (row,) = book.to_dict("records")
    list_price, unit_cost = minor(case, case.list_price), minor(case, case.unit_cost)
    assert (row["list_price"], row["unit_cost"]) == (list_price, unit_cost)
    assert row["reference_price"] == list_price
    elastic = [Terms(arm=DEFAULT_ARM)]
    (offer,) = offers(
        elastic, listings(book), params.quote, lambda _, __, ratios: ratios ** np.float64(-3.0)
    )
    assert unit_cost < offer.price < list_price
    assert offer.price in money.rungs(list_price, params.quote.endings)
    assert offer.price % 10 == 9


@cases
def test_a_bundle_holds_the_digits_and_the_demo_shows_major_units(tmp_path, case):
    params, _ = write_shop(tmp_path, case)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    _write_description(bundle, "v", {"as_of": "2025-04-07", "models": {}}, params)
    description = read_json(bundle / "bundle.json")
    assert (description["currency"], description["minor_digits"]) == (case.currency, case.digits)
    shown = Money(description["currency"], description["minor_digits"])
    assert shown(minor(case, case.list_price)) == case.list_price


@pytest.mark.parametrize(
    ("currency", "digits"),
    [
        ("USD", 2),
        ("JPY", 0),
        ("KWD", 3),
        ("CLF", 4),
        ("ISK", 0),
        ("HUF", 2),
        ("IQD", 3),
        ("RSD", 2),
    ],
)
def test_the_digits_of_a_currency_are_those_of_iso_4217(currency, digits):
    assert Shop(name="shop", source="files", currency=currency).minor_digits == digits


@pytest.mark.parametrize("code", ["XYZ", "XAU"])
def test_a_code_without_minor_units_needs_the_digits(tmp_path, code):
    params = tmp_path / "params.yaml"
    params.write_text(PARAMS.format(currency=code))
    with pytest.raises(ConfigError, match=rf"shop\.currency.* Received: '{code}'"):
        load_params(params)
    assert Shop(name="shop", source="files", currency=code, minor_digits=3).minor_digits == 3


def test_the_setting_wins_over_the_currency():
    assert Shop(name="shop", source="files", currency="JPY", minor_digits=2).minor_digits == 2


@cases
def test_a_thousands_separator_is_refused_and_never_read_as_a_decimal_mark(tmp_path, case):
    params, settings = write_shop(tmp_path, case)
    (tmp_path / "products.csv").write_text('sku,list_price\ntea,"1,234"\n')
    with pytest.raises(SourceError, match=r"products\.list_price.* Received: '1,234'"):
        ingest(AS_OF, params, settings)
