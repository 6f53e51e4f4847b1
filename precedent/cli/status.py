"""`precedent status`: the addresses, and the state of each process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import typer

from precedent.cli import records
from precedent.db.embedded import database_url
from precedent.errors import DatabaseUnavailable
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False) -> None:
    """Show the addresses and the state of each process; exit 0 when all are ready, 1 otherwise."""
    report = describe(load_settings())
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        _show(report)
    states = {process["state"] for process in report["processes"].values()}
    raise typer.Exit(0 if states == {"ready"} else 1)


def describe(settings: Settings) -> dict[str, Any]:
    """The report: addresses as the running supervisor has them, else as the settings say; a dead process is `stopped`."""
    home = settings.home_dir
    supervisor = records.supervisor_of(home)
    addresses = supervisor.addresses if supervisor else addresses_of(settings)
    return {
        "home": str(home),
        "running": supervisor is not None,
        **addresses,
        "database_url": _database(settings),
        "processes": {record.name: _process(record) for record in records.read_all(home) if record.name != records.SUPERVISOR},
    }


def addresses_of(settings: Settings) -> dict[str, str]:
    """Where each page is under these settings."""
    return {"api_url": settings.api_url, "dagster_url": f"http://127.0.0.1:{settings.dagster_port}", "docs_url": settings.docs_url}


def without_password(url: str) -> str:
    """The URL fit to be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@", 1)))


def _database(settings: Settings) -> str | None:
    try:
        return without_password(database_url(settings))
    except DatabaseUnavailable:
        return None


def _process(record: records.Record) -> dict[str, object]:
    is_alive = record.identity.is_alive()
    state = record.state if is_alive or record.state == "waiting" else "stopped"
    return {"state": state, "pid": record.pid if is_alive else None, "since": record.since, "restarts": record.restarts}


def _show(report: dict[str, Any]) -> None:
    width = max(len("database"), *(len(name) for name in report["processes"]), 0)
    typer.echo(f"{'home':<{width}}  {Path(report['home'])}")
    for name in ("api", "dagster", "docs", "database"):
        typer.echo(f"{name:<{width}}  {report[f'{name}_url'] or '-'}")
    if not report["running"]:
        typer.echo("not running: `precedent up` starts it")
    for name, process in report["processes"].items():
        pid = f"pid {process['pid']}" if process["pid"] else "no process"
        typer.echo(f"{name:<{width}}  {process['state']:<8}  {pid:<11}  since {process['since']}  restarts {process['restarts']}")
