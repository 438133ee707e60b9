"""`pricebook quotes`: what the quote log holds, and whether a past quote comes out the same."""

from __future__ import annotations

from heapq import nlargest
from operator import itemgetter
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pipelines.reports.replay import Past, decided_anew, log_entries, past
from pricebook.config import Settings

app = typer.Typer(help="List past quotes and compute them again.", no_args_is_help=True)


@app.command("list")
def list_(
    last: Annotated[int, typer.Option(min=1, help="How many, the latest ones.")] = 20,
) -> None:
    """List the latest quotes in the log."""
    quote_id = Column("quote", min_width=32)  # whole, to be handed to `show`
    rest = ("issued", "sku", "zone", "list", "price", "arm", "last rule")
    table = Table(quote_id, *(Column(name, overflow="fold") for name in rest))
    quotes = (entry["quote"] for entry in log_entries(Settings().quote_log) if "quote" in entry)
    for quote in reversed(nlargest(last, quotes, key=itemgetter("issued_at", "quote_id"))):
        rule = quote["reasons"][-1]["rule"] if quote["reasons"] else ""
        about = (quote[name] for name in ("quote_id", "issued_at", "sku", "zone"))
        prices = (str(quote[name]) for name in ("list_price", "price"))
        table.add_row(*about, *prices, quote["arm"], rule)
    Console().print(table, crop=False)


@app.command()
def show(quote_id: Annotated[str, typer.Argument(help="As the quote has it.")]) -> None:
    """Show a past quote and compute its price again.

    Uses the recorded model. Exit code 1 if another price results.
    """
    settings, console = Settings(), Console()
    found = past(quote_id, settings)
    console.print(_shown(found))
    anew = decided_anew(found.entry, settings)
    price = found.entry["quote"]["price"]
    if anew is None:
        console.print("Nothing was decided: the list price stood.")
    elif anew.price == price:
        console.print(f"Decided anew by {found.entry['verdict']}: {price}, the same.")
    else:
        console.print(f"Decided anew by {found.entry['verdict']}: {anew.price}, not {price}.")
        raise typer.Exit(1)


def _shown(found: Past) -> Table:
    quote, table = found.entry["quote"], Table("what", "value", show_header=False)
    rows = {name: quote[name] for name in ("quote_id", "sku", "zone", "issued_at", "expires_at")}
    rows |= {name: quote[name] for name in ("list_price", "lowest_30d", "floor", "price")}
    rows |= {"arm": f"{quote['arm']}, propensity {quote['propensity']:.3g}"}
    for reason in quote["reasons"]:
        rows[reason["text"]] = f"{reason['before']} to {reason['after']}"
    rows |= {"segment": found.entry["shopper"]["segment"], **found.entry["features"]}
    rows |= {f"order {order['event_id']}": f"{order['quantity']} units" for order in found.orders}
    for name, value in rows.items():
        table.add_row(escape(name), escape("" if value is None else str(value)))
    return table
