"""`precedent append`: events of a file or a pipe, one JSON object a line, through the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, BinaryIO

import orjson
import typer

from precedent.cli.loading.load import target_of
from precedent.client import Client, Unreachable
from precedent.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def append(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="plain events or CloudEvents, one a line; - is the standard input")],
    key: Annotated[str | None, typer.Option(help="the same key again appends what is missing, and nothing twice")] = None,
    patience: Annotated[float, typer.Option(min=0, help="seconds to wait for an API that is away, before each part")] = 30,
    url: Annotated[str | None, typer.Option(envvar="PRECEDENT_URL", help="the API; default: what runs from this home")] = None,
    token: Annotated[str | None, typer.Option(envvar="PRECEDENT_TOKEN", help="default: the development token")] = None,
) -> None:
    """Record events in their order; what is wrong with a line is told, and the others are recorded.

    Exit 1 when lines were refused, 2 when the API is out of reach.
    """
    target = target_of(load_settings(), url, token)
    try:
        with Client(target.url, target.token, patience_seconds=patience) as client:
            result = client.append_stream(_lines_of(file), key)
    except Unreachable as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    for one in result.rejected:
        typer.echo(f"line {one['line']}: {one['detail']} ({one['code']})", err=True)
    typer.echo(orjson.dumps({"accepted": result.accepted, "refused": result.refused}))
    raise typer.Exit(1 if result.refused else 0)


def _lines_of(file: BinaryIO) -> Iterator[bytes]:
    return (line.removesuffix(b"\n") for line in file)
