"""`precedent policy …`: which published version decides, and who agreed to that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table

from precedent.cli.advice import not_enabled
from precedent.cli.blast_radius import show_blast_radius
from precedent.db.embedded import database_url
from precedent.db.engine import API, connect
from precedent.errors import PolicyVersionExists, ProposalNotFound
from precedent.guard.access import Principal, principal_of
from precedent.learning.blast import DEFAULT_LAST
from precedent.ledger.store import chain_id_of
from precedent.policy import change, registry
from precedent.policy.change import Proposal, find_proposal
from precedent.policy.recording import Recorded
from precedent.policy.store import CHANGE_CONTROL, LIST, PROPOSALS
from precedent.settings import Settings, load_settings

app = typer.Typer(help="Policies: activate, roll back, deactivate, withdraw; propose and approve; list, check.")

PRINCIPAL = "command line"
SCOPE = "policies:activate"
SHOWN = 100

Reference = Annotated[str, typer.Argument(help="name@version")]
Reason = Annotated[str | None, typer.Option(help="why; it is recorded")]
ProposalId = Annotated[UUID, typer.Argument(help="as `precedent policy proposals` lists it")]
Blast = Annotated[int, typer.Option("--last", min=0, help="measure the blast radius on so many recorded decisions; 0: don't")]
Sure = Annotated[bool, typer.Option("--yes", help="don't ask whether to go on")]
Token = Annotated[str, typer.Option(envvar="PRECEDENT_TOKEN", prompt=True, hide_input=True, help="of whoever answers")]


@app.command()
def activate(ref: Reference, reason: Reason = None, last: Blast = DEFAULT_LAST, is_sure: Sure = False) -> None:
    """Say who would flip, then make a published version the one that its name means, at once for every process; a proposal where
    its node asks for two."""
    settings = load_settings()
    url = database_url(settings)
    show_blast_radius(url, settings, ref, last, is_sure)
    tell_activated(url, settings, change.activate(url, settings, ref, PRINCIPAL, reason=reason), ref)


@app.command()
def rollback(name: Annotated[str, typer.Argument(help="name of the policy")], reason: Reason = None) -> None:
    """Activate the version that was active before, at once for every process; a proposal where its node asks for two."""
    settings = load_settings()
    url = database_url(settings)
    tell(url, settings, change.roll_back(url, settings, name, PRINCIPAL, reason=reason), f"{name} is rolled back")


@app.command()
def deactivate(ref: Reference, reason: Reason = None) -> None:
    """The policy decides nothing until a version of it is activated again."""
    settings = load_settings()
    change.deactivate(database_url(settings), settings, ref, PRINCIPAL, reason=reason)
    typer.echo(f"{ref} is deactivated")


@app.command()
def withdraw(ref: Reference, reason: Reason = None) -> None:
    """Take a version out of use for good."""
    settings = load_settings()
    change.withdraw(database_url(settings), settings, ref, PRINCIPAL, reason=reason)
    typer.echo(f"{ref} is withdrawn")


@app.command()
def approve(proposal: ProposalId, token: Token, last: Blast = DEFAULT_LAST, is_sure: Sure = False) -> None:
    """Say who would flip, then do what somebody else proposed; the token says who approves."""
    settings = load_settings()
    url = database_url(settings)
    principal, held = _authorise(url, settings, proposal, token)
    if held.ref is not None:
        show_blast_radius(url, settings, held.ref, last, is_sure)
    change.approve(url, settings, proposal, principal.name)
    typer.echo(f"approved by {principal.name}")


@app.command()
def reject(proposal: ProposalId, token: Token, reason: Annotated[str, typer.Option(prompt=True, help="why; it is recorded")]) -> None:
    """Close a proposal without doing it; who made it may take it back so."""
    settings = load_settings()
    url = database_url(settings)
    principal, _ = _authorise(url, settings, proposal, token)
    change.reject(url, settings, proposal, reason, principal.name)
    typer.echo(f"rejected by {principal.name}")


@app.command()
def proposals(is_all: Annotated[bool, typer.Option("--all", help="also those that were answered or have lapsed")] = False) -> None:
    """What waits for a second person."""
    settings = load_settings()
    with connect(database_url(settings), API) as connection:
        given = {"chain": chain_id_of(connection, settings.chain), "nodes": None, "after": None, "limit": SHOWN}
        rows = connection.execute(PROPOSALS, given | {"status": None if is_all else "open"}).fetchall()
    table = Table(Column("proposal", no_wrap=True), "node", "what", "instead of", "by", "when", "why", "status")
    for one in (Proposal(*row) for row in rows):
        said = (str(one.id), one.node, what_of(one), one.replaces or "", one.proposed_by, f"{one.proposed_at:%Y-%m-%d %H:%M}")
        table.add_row(*said, one.reason or "", one.status)
    Console().print(table)


@app.command("second-person")
def second_person(
    node: str,
    is_needed: Annotated[bool, typer.Option("--on/--off", help="whether activations of the node's policies need one")],
    reason: Annotated[str, typer.Option(help="why; it is recorded")],
) -> None:
    """Ask for maker and checker on a node, at once; asking for one person alone again is a proposal."""
    settings = load_settings()
    url = database_url(settings)
    recorded = change.set_second_person(url, settings, node, is_needed, reason, PRINCIPAL)
    tell(url, settings, recorded, f"{node} needs {'a second person' if is_needed else 'one person alone'}")


@app.command("list")
def list_versions() -> None:
    """Every published version, newest first by name, and the nodes that ask for a second person."""
    settings = load_settings()
    with connect(database_url(settings), API) as connection:
        chain_id = chain_id_of(connection, settings.chain)
        rows = connection.execute(LIST, (chain_id,)).fetchall()
        guarded = [node for node, is_needed, *_ in connection.execute(CHANGE_CONTROL, (chain_id,)) if is_needed]
    table = Table(Column("policy", no_wrap=True), "node", "status", "published", "by", "digest")
    for name, version, node, digest, status, created_at, created_by, _ in rows:
        table.add_row(f"{name}@{version}", node, status, f"{created_at:%Y-%m-%d %H:%M}", created_by, digest[:12])
    Console().print(table)
    if guarded:
        typer.echo(f"a second person is needed for: {', '.join(guarded)}")


@app.command()
def check(folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="folder of nodes, as policies/")]) -> None:
    """Compare files with what is published; exit 1 where a version says something else than its file."""
    settings = load_settings()
    compared = registry.check_folder(database_url(settings), settings, folder)
    for one in compared:
        if one.is_mismatch:
            said = f"MISMATCH: published {str(one.published_digest)[:12]}, the file says {one.digest[:12]}"
        else:
            said = "not published" if one.status is None else f"as published, {one.status}"
        typer.echo(f"{one.file}: {one.ref}: {said}")
    if any(one.is_mismatch for one in compared):
        raise PolicyVersionExists("a published version never changes: give the changed file a new version, or restore it")


def what_of(proposal: Proposal) -> str:
    """What would be done, in words."""
    return f"activate {proposal.ref}" if proposal.op == "activate" else "ask for one person alone"


def tell_activated(url: str, settings: Settings, recorded: Recorded, ref: str) -> None:
    """Say that a version is active and what it still lacks to decide, or that it waits for somebody else."""
    if tell(url, settings, recorded, f"{ref} is active"):
        for line in not_enabled(url, settings, ref):
            typer.echo(line)


def tell(url: str, settings: Settings, recorded: Recorded, done: str) -> bool:
    """Say that it is done, or that it waits for somebody else; whether it is done."""
    if recorded is not None:
        with connect(url, API) as connection:
            held = find_proposal(connection, chain_id_of(connection, settings.chain), recorded.entry_id)
        if held is not None:
            typer.echo(f"proposed: {what_of(held)}; {held.node} needs a second person: precedent policy approve {held.id}")
            return False
    typer.echo(done)
    return True


def _authorise(url: str, settings: Settings, proposal_id: UUID, token: str) -> tuple[Principal, Proposal]:
    """Who answers, and what.

    Raises: TokenUnknown, ScopeMissing, ProposalNotFound."""
    principal = principal_of(url, token)
    with connect(url, API) as connection:
        held = find_proposal(connection, chain_id_of(connection, settings.chain), proposal_id)
    if held is None:
        raise ProposalNotFound(f"no proposal has the id {proposal_id}")
    principal.require(SCOPE, held.node)
    return principal, held
