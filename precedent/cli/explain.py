"""`precedent explain ID`: why a decision came out as it did, as its page tells it, without anything personal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from precedent.db.embedded import database_url
from precedent.db.engine import API, connect
from precedent.db.reads import Reads
from precedent.explanation import Explainer, Explanation, Told
from precedent.ledger.store import Entries, chain_id_of
from precedent.settings import load_settings

app = typer.Typer(add_completion=False)

COLOURS = {"approve": "green", "deny": "red", "escalate": "yellow"}
SIGNS = {"held": "holds", "not": "does not hold", "error": "could not be evaluated", "not_asked": "not asked"}


@app.command()
def explain(decision_id: UUID, as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False) -> None:
    """Say in words why a decision came out as it did."""
    settings = load_settings()
    url = database_url(settings)
    with connect(url, API) as connection:
        chain_id = chain_id_of(connection, settings.chain)
    told = asyncio.run(_explain(url, chain_id, decision_id))
    if as_json:
        typer.echo(orjson.dumps(asdict(told), option=orjson.OPT_INDENT_2).decode())
    else:
        show(told, settings.chain, Console(highlight=False))


async def _explain(url: str, chain_id: UUID, decision_id: UUID) -> Explanation:
    reads = Reads(url, 1)
    await reads.open()
    try:
        told, _ = await Explainer(reads, Entries(reads, chain_id), chain_id).explain(decision_id)
        return told
    finally:
        await reads.close()


def show(told: Explanation, chain: str, console: Console) -> None:
    """The explanation on a terminal."""
    colour = COLOURS[told.verdict]
    console.print(f"[bold {colour}]{told.headline}[/]  [dim]{told.node}/{told.action}[/]")
    for reason in told.reasons:
        console.print(f"  {escape(reason['text'])}")
    if told.verdict == "approve":
        console.print(f"  [dim]AL{told.autonomy_level}: {told.level_text}[/]")
    if told.counterfactual:
        console.print(f"\n[bold]What would change it[/]\n  {escape(told.counterfactual['text'])}")
    if told.recommendation:
        console.print(f"\n[bold]What the policy would do[/]\n  {told.recommendation['verdict']} at AL{told.recommendation['level']}")
    console.print("\n[bold]Rules[/], in the order in which they were asked")
    for rule in told.rules:
        state = f"[bold {colour}]decided[/]" if rule.decided else f"[dim]{SIGNS[rule.state]}[/]"
        kind = "" if rule.kind == rule.name else f" [dim]{rule.kind}[/]"
        console.print(f"  {rule.name}{kind} {state}")
        if rule.state != "not_asked":
            console.print(f"    {escape(rule.text)}")
    _show_values(console, "Facts", told.facts)
    _show_values(console, "What was known from before", told.memory)
    if told.precedents:
        console.print(f"\n[bold]Similar past cases[/]\n  {escape(told.precedents.text)}")
        for case in told.precedents.cases:
            console.print(f"  {case.id} {escape(case.text)}")
    if told.snapshot:
        console.print(f"\n[bold]Snapshot that was known[/]\n  {told.snapshot['scope']} of {told.snapshot['day']}")
    if told.review:
        _show_review(console, told.review)
    if told.outcome:
        _show_values(console, "What came of it", told.outcome["metrics"])
    console.print(f"\n[dim]{told.policy_version}, decided {told.decided_at}, chain {chain}, entry {told.seq}, leaf {told.hash}[/]")


def _show_review(console: Console, review: Mapping[str, Any]) -> None:
    said = f"{review['status']}, asked: {escape(review['to'] or '–')}"
    if review["closed_at"]:
        by = escape(review["reviewer"] or "its deadline")
        said = f"{review['status']} by {by}, {review['closed_at']}: {escape(review['reason'] or '–')}"
    console.print(f"\n[bold]The person's answer[/]\n  {said}")


def _show_values(console: Console, title: str, values: Sequence[Told]) -> None:
    if not values:
        return
    table = Table(box=None, show_header=False, padding=(0, 2))
    for told in values:
        table.add_row(told.name, escape(told.text))
    console.print(f"\n[bold]{title}[/]", table, sep="\n")
