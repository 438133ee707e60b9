"""`pricebook quotes`: list the quotes in the log, and check that a price can be computed again."""

from __future__ import annotations

from heapq import nlargest
from operator import itemgetter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from pipelines.reports.replay import LoggedQuote, decide_again, find_quote, log_entries
from pricebook.config import Settings

app = typer.Typer(help="List past quotes and compute them again.", no_args_is_help=True)


@app.command("list")
def list_(
    last: Annotated[int, typer.Option(min=1, help="Number of quotes to list.")] = 20,
) -> None:
    """List the latest quotes in the log."""
    quote_id = Column("quote", min_width=32)  # never shortened, because `show` needs it in full
    others = ("issued", "sku", "zone", "list", "price", "arm", "last rule")
    table = Table(quote_id, *(Column(name, overflow="fold") for name in others))
    quotes = (entry["quote"] for entry in log_entries(Settings().quote_log) if "quote" in entry)
    latest = nlargest(last, quotes, key=itemgetter("issued_at", "quote_id"))
    for quote in reversed(latest):  # the latest is at the bottom, above the prompt
        rule = quote["reasons"][-1]["rule"] if quote["reasons"] else ""
        texts = (quote[name] for name in ("quote_id", "issued_at", "sku", "zone"))
        prices = (str(quote[name]) for name in ("list_price", "price"))
        table.add_row(*texts, *prices, quote["arm"], rule)
    Console().print(table, crop=False)


@app.command()
def show(
    quote_id: Annotated[str, typer.Argument(help="The quote_id of the quote.")],
) -> None:
    """Show a past quote and compute its price again.

    Uses the recorded model. Exit code 1 if the price is different.
    """
    settings, console = Settings(), Console()
    logged = find_quote(quote_id, settings)
    console.print(_table(logged))
    offer, price = decide_again(logged.entry, settings), logged.entry["quote"]["price"]
    if offer is None:
        console.print("No model decided this price; it is the list price.")
        return
    result = f"Decided again by {logged.entry['verdict']}: {offer.price}"
    if offer.price != price:
        console.print(f"{result}, not {price}.", soft_wrap=True)
        raise typer.Exit(1)
    console.print(f"{result}, the same.", soft_wrap=True)


@app.command()
def rebuild() -> None:
    """Rebuild the public prices from the quote log.

    Prior prices of discounts come from it. Restart the service afterwards.
    """
    from pipelines.reports.public_prices import rebuild

    prices = rebuild(Settings())
    Console().print(f"{len(prices)} skus have public prices.")


def _table(logged: LoggedQuote) -> Table:
    quote, table = logged.entry["quote"], Table("name", "value", show_header=False)
    names = ("quote_id", "sku", "zone", "issued_at", "expires_at")
    rows: dict[str, Any] = {name: quote[name] for name in names}
    rows |= {name: quote[name] for name in ("list_price", "lowest_30d", "floor", "price")}
    rows |= {"arm": f"{quote['arm']}, propensity {quote['propensity']:.3g}"}
    rows |= {
        reason["text"]: f"{reason['before']} to {reason['after']}" for reason in quote["reasons"]
    }
    rows |= {"segment": logged.entry["shopper"]["segment"], **logged.entry["features"]}
    rows |= {f"order {order['event_id']}": f"{order['quantity']} units" for order in logged.orders}
    for name, value in rows.items():
        table.add_row(escape(name), escape("" if value is None else str(value)))
    return table
