"""`precedent ledger`: verify the record, export it, make its projections anew; erase persons from it, and keep the keys that sign it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from precedent.cli import erasure, signer_keys
from precedent.db.embedded import database_url
from precedent.errors import SettingsInvalid
from precedent.settings import Settings, load_settings

if TYPE_CHECKING:
    from precedent.ledger.note import Checkpoint
    from precedent.ledger.tree_check import Witnesses

app = typer.Typer(add_completion=False, no_args_is_help=True)
erasure.add_to(app)
signer_keys.add_to(app)


@app.callback()
def ledger() -> None:
    """Verify the record, export it, make its projections anew, erase persons from it, keep the keys that sign it."""


@app.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    processes: Annotated[int | None, typer.Option(min=1, help="how many work side by side; by default one a core")] = None,
    export: Annotated[Path | None, typer.Option(help="an export folder, instead of the database")] = None,
    key: Annotated[str | None, typer.Option(help="with --export: the verifier key that you were told by other means")] = None,
    since: Annotated[Path | None, typer.Option(help="a checkpoint you trust; only what came after it is read")] = None,
    keep: Annotated[Path | None, typer.Option(help="where to write the checkpoint for the next --since, if all is intact")] = None,
) -> None:
    """Check every entry by its bytes, every projection by its entry, and all of it by what was signed; exit 1 when anything is wrong."""
    if export is not None:
        is_intact, checkpoint = _verify_export(export, key, since, processes, as_json)
    elif key is not None:
        raise typer.BadParameter("--key is for --export")
    else:
        is_intact, checkpoint = _verify_database(since, processes, as_json)
    # Only after the whole scan: what was not read to its end is not trusted the next time.
    if keep is not None and is_intact and checkpoint:
        keep.write_text(checkpoint, encoding="utf-8")
    raise typer.Exit(0 if is_intact else 1)


def _verify_database(since: Path | None, processes: int | None, as_json: bool) -> tuple[bool, str]:
    """Whether all is intact, and the newest checkpoint."""
    from precedent.ledger.verify import verify_database

    settings = load_settings()
    url = database_url(settings)
    witnesses = _witnesses(url, settings)
    with _progress() as progress:
        task = progress.add_task("entries", total=None)
        report = verify_database(
            url,
            chain=settings.chain,
            processes=processes,
            witnesses=witnesses,
            since=_trusted(since, witnesses) if since is not None else None,
            on_progress=lambda done, size: progress.update(task, completed=done, total=size),
        )
    typer.echo(json.dumps(report.as_dict(), indent=2) if as_json else str(report))
    return report.is_intact, report.checkpoint


def _trusted(path: Path, witnesses: Witnesses) -> Checkpoint:
    """The checkpoint in a file, signed by the key of this ledger for its size where that is at hand."""
    from precedent.ledger.note import Checkpoint, Note

    try:
        note = Note.parse(path.read_text(encoding="utf-8"))
        checkpoint = Checkpoint.parse(note.text)
        witnesses.require_signed(note, checkpoint.size)
        return checkpoint
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"couldn't begin at {path}: {error}") from error


def _witnesses(url: str, settings: Settings) -> Witnesses:
    """Where the signer's key is not at hand, it is said that nobody outside the database was heard."""
    from precedent.ledger.tree_check import NO_WITNESSES
    from precedent.ledger.witnesses import read_witnesses

    try:
        return read_witnesses(url, settings)
    except SettingsInvalid as error:
        typer.echo(f"not compared with the signer's memory and the anchor: {error}", err=True)
        return NO_WITNESSES


def _verify_export(folder: Path, key: str | None, since: Path | None, processes: int | None, as_json: bool) -> tuple[bool, str]:
    from precedent.ledger.export_verify import verify_export
    from precedent.ledger.note import VerifierKey
    from precedent.ledger.standalone.verify import text_of

    try:
        trusted = VerifierKey.parse(key) if key is not None else None
        note = since.read_text(encoding="utf-8") if since is not None else None
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    with _progress() as progress:
        task = progress.add_task("entries", total=None)
        report = verify_export(
            folder,
            key=trusted,
            since=note,
            processes=processes,
            on_progress=lambda done, size: progress.update(task, completed=done, total=size),
        )
    typer.echo(json.dumps(report, indent=2) if as_json else text_of(report))
    return report["is_intact"], (folder / "checkpoint").read_text(encoding="utf-8")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="an empty or new folder")],
    first: Annotated[int, typer.Option("--from", min=0, help="the first entry whose sections are wanted")] = 0,
    last: Annotated[int | None, typer.Option("--to", help="the last one; by default the last that a checkpoint covers")] = None,
    without_personal: Annotated[bool, typer.Option(help="leave encrypted personal sections out")] = False,
) -> None:
    """Write what an auditor needs to verify the ledger without us, verifier included."""
    from precedent.clock import SystemClock, to_instant
    from precedent.ledger.export import export_ledger, verifier_key

    settings = load_settings()
    url = database_url(settings)
    with _progress() as progress:
        task = progress.add_task("entries", total=None)
        done = export_ledger(
            url,
            folder,
            verifier_key(url, settings),
            exported_at=to_instant(SystemClock().now_us()),
            chain=settings.chain,
            first=first,
            last=None if last is None else last + 1,
            with_personal=not without_personal,
            on_progress=lambda done, size: progress.update(task, completed=done, total=size),
        )
    typer.echo(f"entries {done.first} to {done.last - 1} of {done.size} exported to {folder}; verify them: python {folder / 'verify.py'}")
    if done.uncovered:
        typer.echo(f"{done.uncovered} newer entries were not covered by a checkpoint yet, and are not in it")


@app.command()
def rebuild() -> None:
    """Make the projections anew from the entries, in one transaction; nothing is sent again."""
    from precedent.ledger.rebuild import rebuild_projections

    settings = load_settings()
    with _progress() as progress:
        task = progress.add_task("entries", total=None)
        size = rebuild_projections(
            database_url(settings), settings.chain, on_progress=lambda done, size: progress.update(task, completed=done, total=size)
        )
    typer.echo(f"projections of chain {settings.chain} rebuilt from {size} entries")


def _progress() -> Progress:
    """On stderr, so that stdout is the answer alone; silent where nobody watches."""
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)
