"""Run `backtest` and `elasticities` on two shops that differ from the default one.

    python -m benchmarks.anyshop [--series 30000]

The first shop has 10 skus in 80 zones over 120 weeks, with competitor prices and promotions. It
comes from the simulated market, so the elasticities are compared with the true ones. The second has
many monthly series; it measures the time and the memory of both commands.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.inputs.simulated import SimulatedShop, simulate_shop
from benchmarks.report import Bar, Plot, print_result, write_result

SKUS, ZONES, WEEKS, SEED = 10, 80, 120, 7
MONTHS, SERIES = 60, 30_000
MINUTES, GIGABYTES = 15.0, 6.0
COMMANDS = ("backtest", "elasticities")


def zoned_shop(folder: Path, truth: SimulatedShop) -> None:
    """Write weekly orders, products, promotions and competitor prices as Parquet files."""
    panel = truth.panel.assign(noon=truth.panel["period"] + pd.Timedelta(hours=12))
    sold = panel[panel["units"] > 0]
    _orders(sold).to_parquet(folder / "orders.parquet")
    labels = ["sku", "department", "category", "product_type", "unit_cost", "list_price"]
    panel[labels].drop_duplicates("sku").to_parquet(folder / "products.parquet")
    _promotions(panel).to_parquet(folder / "promotions.parquet")
    rivals = panel[["sku", "zone", "noon", "competitor_price"]].assign(competitor="cheapest")
    rivals = rivals.rename(columns={"noon": "observed_at", "competitor_price": "price"})
    rivals.assign(price=rivals["price"].astype(np.int64)).to_parquet(
        folder / "competitor_prices.parquet"
    )
    tables = ("orders", "products", "promotions", "competitor_prices")
    shop = {"grain": "week", "by_zone": True, "exclude_departments": []}
    _params(folder, "2025-04-21", shop, tables, {"horizon": 4, "demand": {"max_series": None}})


def _orders(sold: pd.DataFrame) -> pd.DataFrame:
    stamp = sold["noon"].dt.strftime("%Y%m%d")
    return pd.DataFrame(
        {
            "order_id": sold["zone"] + "-" + stamp + "-" + sold["sku"],
            "ordered_at": sold["noon"],
            "sku": sold["sku"],
            "zone": sold["zone"],
            "quantity": sold["units"].astype(np.int64),
            "net_amount": (sold["price"] * sold["units"]).round().astype(np.int64),
            "list_amount": (sold["list_price"] * sold["units"]).astype(np.int64),
        }
    )


def _promotions(panel: pd.DataFrame) -> pd.DataFrame:
    frames = [
        panel.loc[panel[kind] > 0, ["sku", "zone", "period"]].assign(kind=kind)
        for kind in ("display", "mailer")
    ]
    rows = pd.concat(frames).rename(columns={"period": "starts_at"})
    return rows.assign(ends_at=rows["starts_at"] + pd.Timedelta(days=7))


def monthly_shop(folder: Path, series: int) -> None:
    """Write monthly orders of many skus, without products, promotions, costs or customers."""
    random = np.random.default_rng(SEED)
    months = pd.date_range("2020-01-01", periods=MONTHS, freq="MS")
    level = random.lognormal(2.5, 1.0, (series, 1))
    season = 1 + 0.4 * np.sin(
        2 * np.pi * (months.month.to_numpy() / 12 + random.random((series, 1)))
    )
    usual = random.uniform(100, 5000, (series, 1))
    ratio = np.where(random.random((series, MONTHS)) < 0.2, 0.8, 1.0)
    ratio = ratio * random.lognormal(0, 0.03, ratio.shape)
    units = random.poisson(level * season * ratio**-1.8)
    row, month = np.nonzero(units)
    sold = units[row, month]
    sku = np.char.add("M", np.char.zfill((row).astype(str), 6))
    pd.DataFrame(
        {
            "order_id": np.char.add(np.char.add(sku, "-"), month.astype(str)),
            "ordered_at": months[month] + pd.Timedelta(days=14),
            "sku": sku,
            "quantity": sold,
            "net_amount": np.rint(usual[row, 0] * ratio[row, month] * sold).astype(np.int64),
        }
    ).to_parquet(folder / "orders.parquet")
    spec = {"horizon": 3, "demand": {"max_series": None, "context": 24, "epochs": 8}}
    _params(folder, "2025-01-01", {"grain": "month"}, ("orders",), spec, min_periods=24)


def _params(
    folder: Path,
    as_of: str,
    shop: dict[str, Any],
    tables: tuple[str, ...],
    train: dict[str, Any],
    min_periods: int = 40,
) -> None:
    files = {name: {"path": f"{name}.parquet", "money": "minor"} for name in tables}
    params = {
        "as_of": as_of,
        "shop": {"name": folder.name, "source": "files", "files": files, **shop},
        "featurize": {"min_periods": min_periods},
        "train": train,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def run(folder: Path, command: str, *options: str) -> dict[str, Any]:
    """Run a `pricebook` command. Returns its minutes and its peak memory in GB."""
    paths = {"PRICEBOOK_HOME": str(folder), "PRICEBOOK_PARAMS": str(folder / "params.yaml")}
    measured = [sys.executable, "-m", "benchmarks.anyshop", "--measure", command, *options]
    done = subprocess.run(
        measured, env={**os.environ, **paths}, check=True, stdout=subprocess.PIPE, text=True
    )
    return {"command": command, **json.loads(done.stdout.splitlines()[-1])}


def _measure(arguments: list[str]) -> None:
    start = time.perf_counter()
    command = [str(Path(sys.executable).with_name("pricebook")), *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    usage = {"minutes": (time.perf_counter() - start) / 60, "GB": peak}
    sys.stdout.write(json.dumps(usage) + "\n")


def accuracy_bars(folder: Path, truth: SimulatedShop) -> list[Bar]:
    """Compare the written elasticities with the true ones."""
    written = folder / ".pricebook" / "elasticities"
    own = pd.read_parquet(written / "by_sku.parquet").merge(
        truth.by_sku, on="sku", suffixes=("", "_true")
    )
    near = (own["elasticity"] - own["elasticity_true"]).abs() <= 2 * own["stderr"]
    cross = pd.read_parquet(written / "cross.parquet")
    pooled = cross.groupby("kind")["elasticity"].mean()
    mean = {kind: float(pooled.get(kind, np.nan)) for kind in ("category", "competitor")}
    pairs = cross[cross["kind"] == "sku"].merge(
        truth.cross, on=["sku", "rival"], suffixes=("", "_true")
    )
    significant = pairs[pairs["elasticity"].abs() > 2 * pairs["stderr"]]
    signs = float((significant["elasticity"] * significant["elasticity_true"] > 0).mean())
    return [
        Bar("skus within two standard errors of the truth", float(near.mean()), 0.9, False),
        Bar("mean cross elasticity, rest of the category", mean["category"], 0.0, False),
        Bar("mean cross elasticity, competitors", mean["competitor"], 0.0, False),
        Bar(
            f"share of correct signs, {len(significant)} significant pairs of skus",
            signs,
            0.9,
            False,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--series", type=int, default=SERIES, help="how many series the monthly shop has"
    )
    parser.add_argument("--measure", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure)
        return
    with tempfile.TemporaryDirectory() as scratch:
        zoned, monthly = Path(scratch) / "zoned", Path(scratch) / "monthly"
        zoned.mkdir()
        monthly.mkdir()
        truth = simulate_shop(SEED, skus=SKUS, categories=2, weeks=WEEKS, zones=ZONES)
        zoned_shop(zoned, truth)
        monthly_shop(monthly, arguments.series)
        rows = [
            {"shop": shop.name, **run(shop, command)}
            for shop in (zoned, monthly)
            for command in COMMANDS
        ]
        bars = accuracy_bars(zoned, truth)
    large = [row for row in rows if row["shop"] == "monthly"]
    bars += [
        Bar(f"minutes, {arguments.series:,} series", sum(row["minutes"] for row in large), MINUTES),
        Bar(
            f"peak memory in GB, {arguments.series:,} series",
            max(row["GB"] for row in large),
            GIGABYTES,
        ),
    ]
    rows = [{"run": f"{row.pop('shop')}: {row.pop('command')}", **row} for row in rows]
    title = "Any shop: 10 skus in 80 zones, and many monthly series"
    print_result(title, rows, bars)
    if arguments.series == SERIES:
        write_result(
            "anyshop", title, "python -m benchmarks.anyshop", rows, bars, Plot("run", "minutes")
        )


if __name__ == "__main__":
    main()
