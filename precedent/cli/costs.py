"""`precedent costs`: what models used and cost, and where each budget of today stands."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from precedent.adapters.costs import MICROS, TOKENS, read_book
from precedent.adapters.spend import Standing, standings, totals_by
from precedent.adapters.spend_store import read_spent
from precedent.db.embedded import database_url
from precedent.db.engine import ANALYST, connect
from precedent.ledger.store import chain_id_of
from precedent.settings import load_settings

app = typer.Typer(add_completion=False)


class By(StrEnum):
    """What rows are told apart by."""

    DAY = "day"
    MODEL = "model"
    PURPOSE = "purpose"
    NODE = "node"


@app.command()
def costs(
    days: Annotated[int, typer.Option(min=1, max=3660, help="UTC days, today among them")] = 7,
    by: Annotated[list[By] | None, typer.Option(help="day, model, purpose, node; again for more; default: the first three")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object; cost_micros are millionths of the currency")] = False,
) -> None:
    """Show calls, tokens and cost of models, by your prices; and budgets of today, of PRECEDENT_MODEL_COSTS_FILE."""
    settings = load_settings()
    book = read_book(settings.model_costs_file)
    with connect(database_url(settings), ANALYST) as connection:
        spent = read_spent(connection, chain_id_of(connection, settings.chain), days - 1)
    names = list(dict.fromkeys(by or (By.DAY, By.MODEL, By.PURPOSE)))
    rows, budgets = totals_by(spent, *names), standings(book, spent)
    if as_json:
        told = {"calls": rows, "budgets": [asdict(one) for one in budgets]}
        typer.echo(json.dumps(told, indent=2, default=str))
        return
    for line in [_line(row, names) for row in rows] or ["no model was called"]:
        typer.echo(line)
    for one in budgets:
        typer.echo(_budget_line(one))


def _line(row: dict[str, Any], names: list[By]) -> str:
    of = "  ".join("-" if row[name] is None else str(row[name]) for name in names)
    ends = ", ".join(f"{row[name]} {name}" for name in ("failed", "refused", "open", "retries") if row[name])
    calls = row["done"] + row["failed"] + row["open"]
    tokens = f"in {row['tokens_in']:,} (cached {row['tokens_cached']:,})  out {row['tokens_out']:,}"
    untold = f"  untold {row['tokens_untold']:,}" if row["tokens_untold"] else ""
    cost = "no price" if row["cost_micros"] is None else f"{row['cost_micros'] / MICROS:.6f} {row['currency']}"
    return f"{of}  calls {calls}{f' ({ends})' if ends else ''}  {tokens}{untold}  {cost}"


def _budget_line(one: Standing) -> str:
    used, limit = (f"{value:,.0f}" if one.unit == TOKENS else f"{value:.6f}" for value in (one.used, one.limit))
    refused = f", refused {one.refused}" if one.refused else ""
    return f"budget '{one.budget}' today: {used} of {limit} {one.unit}, {one.share:.0%}{refused}"
