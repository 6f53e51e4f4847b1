"""`precedent import`: a real log, by a mapping, through the API, with the time at which things happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from precedent.cli.importing.cases import Cases
from precedent.cli.importing.conversions import ValueRefused
from precedent.cli.importing.fields import MappingInvalid
from precedent.cli.importing.mapping import read_mapping, require_columns
from precedent.cli.importing.model import Mapping
from precedent.cli.importing.rows import FileUnreadable, Table, open_table
from precedent.cli.loading.load import Load, Loaded, Target, load_id_of, loads_folder, report, target_of
from precedent.cli.loading.spool import Spool
from precedent.cli.loading.tally import Rejected
from precedent.client import Unreachable
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False)
PROGRESS_ROWS = 500


@app.command()
def supply(
    file: Annotated[Path, typer.Argument(help="CSV, JSONL (each also .gz) or Parquet", exists=True, dir_okay=False)],
    mapping: Annotated[
        Path, typer.Option("--mapping", "-m", help="how a row becomes event, decision and outcome", exists=True, dir_okay=False)
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="only the first rows of the file")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where an interrupted import of this file stopped")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit 1 when rows were rejected")] = False,
    patience: Annotated[float, typer.Option(min=0, help="seconds to wait for an API that is away, before each batch")] = 30,
    url: Annotated[str | None, typer.Option(envvar="PRECEDENT_URL", help="the API; default: what runs from this home")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="PRECEDENT_TOKEN", help="needs the scope import; default: the development token")
    ] = None,
) -> None:
    """Load a log through the API: in the order of business time, without doubles however often it is run.

    Exit 1 for a mapping or a file that can't be used and for what the API refuses as a whole, 2 when the API is out of reach.
    """
    settings = load_settings()
    try:
        source = Source(open_table(file), read_mapping(mapping.read_text(encoding="utf-8"), str(mapping)), str(mapping), limit)
        load = load_of(source, settings, target_of(settings, url, token), mapping, resume, patience)
        loaded = _run(load)
    except MappingInvalid as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except UnicodeDecodeError as error:
        raise FileUnreadable(f"couldn't read {mapping}: it isn't UTF-8") from error
    report(loaded, load.rejected_path(), "row" if source.table.kind == "parquet" else "line")
    raise typer.Exit(1 if strict and loaded.rejected else 0)


def _run(load: Load) -> Loaded:
    try:
        return load.run()
    except Unreachable as error:
        typer.echo(f"{error}\ninterrupted: the same command with --resume goes on from here, without doubles", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("interrupted: the same command with --resume goes on from here, without doubles", err=True)
        raise typer.Exit(130) from error


def load_of(source: Source, settings: Settings, target: Target, mapping: Path, is_resumed: bool, patience_seconds: float) -> Load:
    """The load of one file by one mapping into one API: those three name it. The limit doesn't: a longer run goes on from a shorter."""
    parts = (_digest(source.table.path), _digest(mapping), target.url)
    decision = source.mapping.decision
    node = decision.node if decision else None
    return Load(loads_folder(settings), load_id_of("import", *parts), target, node, source.fill, is_resumed, patience_seconds)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Source:
    """A file, how to read it, and how much of it."""

    table: Table
    mapping: Mapping
    mapping_file: str
    limit: int | None = None

    def fill(self, spool: Spool, on_progress: Callable[[int], None]) -> list[Rejected]:
        """Put the operations of every usable row on the spool; the other rows.

        Raises: MappingInvalid for a column that isn't there; FileUnreadable.
        """
        names = {place.column for place in self.mapping.places}
        if self.table.columns is not None:
            require_columns(self.mapping, self.table.columns, self.mapping_file)
        cases, rejected = Cases(self.mapping), []
        blank = dict.fromkeys(names, "") if self.table.columns is None else {}
        for count, line in enumerate(self.table.lines(), start=1):
            if self.limit is not None and count > self.limit:
                break
            if line.fault is not None:
                rejected.append(Rejected(line.number, "row", "MALFORMED", line.fault))
                continue
            try:
                for one in cases.operations(line.number, {**blank, **line.fields} if blank else line.fields):
                    spool.add(one)
            except ValueRefused as error:
                rejected.append(Rejected(line.number, "row", error.code, str(error)))
            if count % PROGRESS_ROWS == 0:
                on_progress(PROGRESS_ROWS)
        return rejected
