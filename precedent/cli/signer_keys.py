"""`precedent ledger rotate-signer|recover|keys`: the keys that sign checkpoints, and going on where nothing continues them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from precedent.db.embedded import database_url
from precedent.settings import load_settings

PRINCIPAL = "command line"
Reason = Annotated[str, typer.Option(help="why; it is recorded")]


def rotate_signer(reason: Reason) -> None:
    """Have a new key sign checkpoints, vouched for by the old one; the API goes on meanwhile. Run again, it ends what was interrupted."""
    from precedent.ledger.rotate_signer import rotate_signer as rotate

    settings = load_settings()
    done = rotate(database_url(settings), settings, PRINCIPAL, reason)
    typer.echo(f"entry {done.handover.seq} records that {done.handover.verifier} follows {done.handover.previous}")
    typer.echo(
        "it signs alone from now on: back it up, apart from the database"
        if done.is_promoted
        else "both sign until PRECEDENT_SIGNER_KEY is set to the new key alone, for every process"
    )


def recover(
    reason: Reason,
    new_key: Annotated[bool, typer.Option("--new-key", help="the signing key is lost: go on with another, which none vouches for")] = False,
) -> None:
    """Go on from an older database, or without a lost key: the record says what is lost, signer and anchors keep it as evidence."""
    from precedent.ledger.recover import recover as go_on

    settings = load_settings()
    done = go_on(database_url(settings), settings, PRINCIPAL, reason, has_new_key=new_key)
    for one in done.lost:
        typer.echo(f"lost: the checkpoint of {one.checkpoint.size} entries in {one.where}, kept there as {one.label}")
    typer.echo(f"entry {done.seq} records it; checkpoints are signed by {done.verifier}")


def keys(as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False) -> None:
    """The verifier keys of this ledger, the oldest first, and what was recovered from."""
    from precedent.ledger.key_history import read_key_history

    settings = load_settings()
    history = read_key_history(database_url(settings), settings)
    typer.echo(json.dumps(history, indent=2) if as_json else _told(history))


def add_to(app: typer.Typer) -> None:
    """Make these commands of `precedent ledger`."""
    for command in (rotate_signer, recover, keys):
        app.command(command.__name__.replace("_", "-"))(command)


def _told(history: dict[str, Any]) -> str:
    lines = [
        f"{key['verifier_key']}  for checkpoints of {key['first_size']} to {key['last_size'] or 'now'} entries" for key in history["keys"]
    ]
    lines += [
        f"entry {one['seq']}: {one['op']}, {len(one['lost'])} signed checkpoints lost: {one['reason']}" for one in history["recoveries"]
    ]
    return "\n".join(lines)
