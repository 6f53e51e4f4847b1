"""`precedent signer`: signs checkpoints for the API's processes, so that none of them has to reach the key."""

from __future__ import annotations

import signal

import typer

from precedent.ledger.signer_socket import SignerServer
from precedent.ledger.signing import seeds_of
from precedent.production import require_production_files
from precedent.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def serve() -> None:
    """Sign what continues the record, until SIGTERM; `PRECEDENT_SIGNER=process` has the API ask here."""
    settings = load_settings()
    require_production_files(settings)
    server = SignerServer(settings.signer_socket_path, seeds_of(settings, create=True), settings.signer_path)
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: server.stop())
    typer.echo(f"signing at {settings.signer_socket_path}")
    server.serve()
