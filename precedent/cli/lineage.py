"""`precedent lineage ASSET PARTITION`: from derived rows back to the entries of the ledger that they were made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from precedent.db.embedded import database_url
from precedent.errors import FieldInvalid
from precedent.lineage.source_store import Source
from precedent.lineage.trace import Lineage, trace
from precedent.settings import load_settings

app = typer.Typer(add_completion=False)

SHOWN = 5


@app.command()
def lineage(
    asset: Annotated[
        str, typer.Argument(help="e.g. entity_features, decision_daily, knowledge_snapshots, decision_embeddings, variant_scorecards")
    ],
    partition: Annotated[str, typer.Argument(help="the day, UTC: 2012-03-01")],
    row: Annotated[
        str | None, typer.Option(help="one row by its key: customer/acme, finance-daily, a decision's id, finance/approve_discount")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, with every seq, decision and proof")] = False,
) -> None:
    """Print the way back from a day's rows, and make everything on it again. Exit 1 where something is not as it was stated."""
    try:
        day = date.fromisoformat(partition)
    except ValueError as error:
        raise FieldInvalid(f"couldn't read '{partition}': a partition is a day, such as 2012-03-01") from error
    settings = load_settings()
    found = trace(database_url(settings), settings.chain, asset, day, row)
    if as_json:
        typer.echo(orjson.dumps(as_object(found), option=orjson.OPT_INDENT_2).decode())
    else:
        show(found, Console(highlight=False, soft_wrap=True))
    raise typer.Exit(1 if found.findings else 0)


def as_object(found: Lineage) -> dict[str, Any]:
    """The lineage as JSON: entries as ranges of seqs by kind, and the decisions by id."""
    told = asdict(found)
    del told["sources"]
    told["intact"] = not found.findings
    told["entries"] = {kind: ranges_of(found.sources, kind) for kind in sorted({one.kind for one in found.sources})}
    told["decision_ids"] = list(dict.fromkeys(str(one.decision_id) for one in found.sources))
    return told


def ranges_of(sources: Iterable[Source], kind: str) -> list[tuple[int, int]]:
    """The seqs of a kind as [first, last] of each run without a gap."""
    ranges: list[tuple[int, int]] = []
    for seq in sorted({one.seq for one in sources if one.kind == kind}):
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges


def show(found: Lineage, console: Console) -> None:
    """On a terminal: one step a paragraph, from the rows to the ledger."""
    stated = found.statement
    console.print(f"[bold]{stated.asset}[/] of {stated.partition}: {stated.rows} rows, {stated.digest}")
    console.print(f"  stated by entry {stated.seq} at {stated.recorded_at:%Y-%m-%d %H:%M:%S} UTC, {_versions(found)}")
    console.print(f"  its rows now: {found.rows.count}, {'the same digest' if found.rows.digest == stated.digest else found.rows.digest}")
    if found.due_since:
        console.print(f"  [yellow]due since {found.due_since:%Y-%m-%d %H:%M:%S} UTC: a run writes it, or ended early[/]")
    _show_row(found, console)
    console.print("\n[bold]Made from[/]")
    for one in found.inputs:
        state = "as stated" if one.digest == one.stated.digest and not one.changed else "not as stated"
        console.print(f"  {one.stated.asset} {one.stated.first} to {one.stated.last}: {one.stated.count} partitions, {state}")
        console.print(f"    {one.stated.digest}")
    console.print(f"  the ledger's first {stated.ledger_size} entries, root {stated.ledger_root}")
    for kind in sorted({one.kind for one in found.sources}):
        _show_entries(found, kind, console)
    console.print("\n[bold]Proof[/]")
    covered = f"the checkpoint of {found.ledger.checkpoint_size} entries covers it" if found.ledger.proof else "no checkpoint covers it yet"
    console.print(f"  entry {stated.seq}, leaf {found.ledger.leaf}: {covered}")
    console.print("  of a decision: GET /decisions/{id}/proof")
    for finding in found.findings:
        console.print(f"\n[bold red]NOT AS STATED[/] {escape(finding)}")
    if not found.findings:
        console.print("\n[green]Everything is as it was stated.[/]")


def _versions(found: Lineage) -> str:
    return "the first" if found.statement_count == 1 else f"superseding {found.statement.supersedes}, of {found.statement_count}"


def _show_row(found: Lineage, console: Console) -> None:
    if found.row is None:
        return
    place = "not among the rows that were stated" if found.row.place is None else f"row {found.row.place} of those stated"
    console.print(f"\n[bold]{escape(found.row.name)}[/]: {place}, leaf {found.row.leaf}")
    for one in found.features:
        mark = "" if one.value == one.counted else f" [bold red]but counted again: {one.counted}[/]"
        console.print(f"  {one.name} = {one.value}{mark} [dim]{escape(one.description)}[/]")
        console.print(f"    {_some([str(id) for id in one.decision_ids])}")


def _show_entries(found: Lineage, kind: str, console: Console) -> None:
    chosen = [one for one in found.sources if one.kind == kind]
    ranges = [str(first) if first == last else f"{first}–{last}" for first, last in ranges_of(chosen, kind)]
    console.print(f"  {len(chosen)} {kind} entries: seq {_some(ranges)}")
    console.print(f"    [dim]decisions {_some(list(dict.fromkeys(str(one.decision_id) for one in chosen)))}[/]")


def _some(words: list[str]) -> str:
    more = f" and {len(words) - SHOWN} more (--json has all)" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more if words else "none"
