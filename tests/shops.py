"""Made-up shops: order lines with a known price response, written as a shop would export them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

CATEGORIES = 4
ELASTICITY = -2.0
PROMOTION_LIFT = 1.5
DISCOUNT = 0.8
FIRST_DAY = pd.Timestamp("2024-01-01")  # a Monday


@dataclass(frozen=True)
class MadeUpShop:
    """What a shop's data has.

    Attributes:
        days: the length of a period, 1 or 7.
        costs: whether the products have a unit cost.
    """

    skus: int = 24
    periods: int = 70
    days: int = 7
    costs: bool = True
    zones: tuple[str, ...] = ("all",)
    columns: tuple[str, ...] = ("customer_id",)
    tables: tuple[str, ...] = ("products", "promotions")
    mass_returns: bool = False
    params: tuple[tuple[str, Any], ...] = ()

    def write(self, home: Path) -> Path:
        """Write the tables and params.yaml into `home`; return the path of params.yaml."""
        demand = self._demand(np.random.default_rng(5))
        tables = {"orders": self._orders(demand), "products": self._products()}
        tables["promotions"] = self._promotions(demand)
        names = ["orders", *self.tables]
        for name in names:
            tables[name].to_parquet(home / f"{name}.parquet")
        path = home / "params.yaml"
        path.write_text(yaml.safe_dump(self._params(names)))
        return path

    def _demand(self, random: np.random.Generator) -> pd.DataFrame:
        """A row for each sku, zone and period: price, whether on promotion, units sold."""
        keys = pd.MultiIndex.from_product(
            [range(self.skus), self.zones, range(self.periods)], names=["sku", "zone", "period"]
        )
        rows = keys.to_frame(index=False)
        promoted = random.random(len(rows)) < 0.2
        ratio = np.where(promoted, DISCOUNT, 1.0) * random.lognormal(0, 0.06, len(rows))
        season = 1 + 0.05 * np.sin(2 * np.pi * rows["period"] * self.days / 91)
        lift = np.where(promoted, PROMOTION_LIFT, 1.0)
        mean = (6 + rows["sku"]) * season * lift * ratio**ELASTICITY
        price = np.rint((300 + 40 * rows["sku"]) * ratio).astype(int)
        return rows.assign(price=price, promoted=promoted, units=random.poisson(mean))

    def _orders(self, demand: pd.DataFrame) -> pd.DataFrame:
        """Each period's units as one to three lines; with `mass_returns`, some weeks come back."""
        lines = demand.loc[demand.index.repeat(3)].reset_index(drop=True)
        part = np.tile([0, 1, 2], len(demand))
        lines["quantity"] = (lines["units"] + 2 - part) // 3
        if self.mass_returns:
            returned = demand[demand["period"] % 20 == 13].assign(part=3)
            returned["quantity"] = -2 * returned["units"] - 5
            lines = pd.concat([lines.assign(part=part), returned], ignore_index=True)
            part = lines["part"].to_numpy()
        start = FIRST_DAY + pd.to_timedelta(lines["period"] * self.days, "D")
        orders = pd.DataFrame(
            {
                "order_id": [f"{row.Index}" for row in lines.itertuples()],
                "ordered_at": (start + pd.Timedelta(hours=12)).dt.tz_localize("UTC"),
                "sku": [f"sku{number}" for number in lines["sku"]],
                "quantity": lines["quantity"],
                "net_amount": lines["quantity"] * lines["price"],
                "zone": lines["zone"],
                "customer_id": [f"c{(7 * n + 3 * k) % 400}" for n, k in enumerate(part)],
            }
        )
        orders = orders[orders["quantity"] != 0]
        optional = {"zone": len(self.zones) > 1, "customer_id": "customer_id" in self.columns}
        return orders.drop(columns=[name for name, has in optional.items() if not has])

    def _promotions(self, demand: pd.DataFrame) -> pd.DataFrame:
        rows = demand[demand["promoted"]]
        start = FIRST_DAY + pd.to_timedelta(rows["period"] * self.days, "D")
        promotions = pd.DataFrame(
            {
                "sku": [f"sku{number}" for number in rows["sku"]],
                "zone": rows["zone"],
                "starts_at": start.dt.tz_localize("UTC"),
                "ends_at": (start + pd.Timedelta(days=self.days)).dt.tz_localize("UTC"),
                "kind": "display",
            }
        )
        return promotions if len(self.zones) > 1 else promotions.drop(columns="zone")

    def _params(self, names: list[str]) -> dict[str, Any]:
        files = {name: {"path": f"{name}.parquet", "money": "minor"} for name in names}
        last = FIRST_DAY + pd.Timedelta(days=self.periods * self.days)
        params: dict[str, Any] = {
            "as_of": str(last.date()),
            "shop": {
                "name": "made up",
                "source": "files",
                "grain": "day" if self.days == 1 else "week",
                "by_zone": len(self.zones) > 1,
                "allow_returns": self.mass_returns,
                "files": files,
            },
            "train": {
                "demand": {"context": 16, "units": 16, "epochs": 12, "learning_rate": 0.01},
                "response": {"epochs": 60},
            },
            "promote": {"build_bento": False},
        }
        for path, value in self.params:
            *sections, key = path.split(".")
            section = params
            for name in sections:
                section = section.setdefault(name, {})
            section[key] = value
        return params

    def _products(self) -> pd.DataFrame:
        number = np.arange(self.skus)
        products = pd.DataFrame(
            {
                "sku": [f"sku{n}" for n in number],
                "category": [f"category{n % CATEGORIES}" for n in number],
                "unit_cost": np.rint((300 + 40 * number) * 0.6).astype(int),
                "list_price": 300 + 40 * number,
            }
        )
        return products if self.costs else products.drop(columns="unit_cost")
