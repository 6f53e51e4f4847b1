"""`precedent review …`: what waits for a person, and their answers, through the API."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from precedent.cli.loading.load import target_of
from precedent.client import Client
from precedent.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What waits for a person, and their answers.")

Url = Annotated[str | None, typer.Option(envvar="PRECEDENT_URL", help="the API; default: what runs from this home")]
Token = Annotated[
    str | None,
    typer.Option(envvar="PRECEDENT_TOKEN", help="needs the scope reviews:write, to answer also read; default: the development token"),
]
Reason = Annotated[str, typer.Option(help="why; it stands in the ledger for good: nothing personal")]
Digest = Annotated[
    str | None, typer.Option(help="hash of the decision that was looked at; without it the decision is shown, and you are asked")
]


@app.command("list")
def list_command(
    status: Annotated[str, typer.Option(help="open, overdue, approved, denied, reversed or confirmed")] = "open",
    kind: Annotated[str | None, typer.Option(help="escalation, reversible or audit; default: all")] = None,
    node: Annotated[str | None, typer.Option(help="one node; default: all that the token is for")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="rows at most")] = 50,
    after: Annotated[str | None, typer.Option(help="where the page before ended")] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show the queue, those that are due first at its head."""
    with _client(url, token) as client:
        page = client.list_reviews(status=status, kind=kind, node=node, limit=limit, after=after)
    table = Table(Column("decision", no_wrap=True), "kind", "what", "waits for", "until", "status", Column("digest", no_wrap=True))
    for one in page["items"]:
        until = f"{(one['due_at'] or '–')[:16].replace('T', ' ')}{' overdue' if one['is_overdue'] else ''}"
        waits = escape(one["assigned_to"] or "–")
        table.add_row(one["decision_id"], one["kind"], f"{one['node']}/{one['action']}", waits, until, one["status"], one["digest"][:16])
    Console(width=200).print(table)
    if page["next"]:
        typer.echo(f"more: --after {page['next']}")


@app.command()
def approve(decision_id: str, reason: Reason, digest: Digest = None, url: Url = None, token: Token = None) -> None:
    """Approve an escalated decision."""
    _answer(decision_id, "approve", reason, digest, url, token)


@app.command()
def deny(decision_id: str, reason: Reason, digest: Digest = None, url: Url = None, token: Token = None) -> None:
    """Deny an escalated decision."""
    _answer(decision_id, "deny", reason, digest, url, token)


@app.command()
def reverse(decision_id: str, reason: Reason, digest: Digest = None, url: Url = None, token: Token = None) -> None:
    """Reverse a decision that took effect: within its window, or where it was drawn for an audit."""
    _answer(decision_id, "reverse", reason, digest, url, token)


@app.command()
def confirm(decision_id: str, reason: Reason, digest: Digest = None, url: Url = None, token: Token = None) -> None:
    """Confirm a decision that was drawn for an audit."""
    _answer(decision_id, "confirm", reason, digest, url, token)


def _answer(decision_id: str, answer: str, reason: str, digest: str | None, url: str | None, token: str | None) -> None:
    with _client(url, token) as client:
        if digest is None:
            decision = client.get_decision(decision_id)
            digest = str(decision["hash"])
            typer.echo(
                f"{decision['node']}/{decision['action']}, {decision['verdict']}: {decision['reason']}\nasked by {decision['principal']}"
            )
            typer.confirm(f"{answer} decision {digest[:16]}…?", abort=True)
        done = client.review(decision_id, answer, reason, digest)
    typer.echo(f"{done['status']} by {done['reviewer']}, entry {done['id']}")


def _client(url: str | None, token: str | None) -> Client:
    target = target_of(load_settings(), url, token, "reviews:write")
    return Client(target.url, target.token)
