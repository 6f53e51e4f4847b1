"""`precedent psql`: PostgreSQL's own shell on our database, under a role that can't change the record, unless asked otherwise."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated

import typer

from precedent.db.cluster import programs_dir
from precedent.db.embedded import database_url
from precedent.db.engine import ANALYST, plain_url, with_role
from precedent.errors import DatabaseUnavailable
from precedent.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command(context_settings={"ignore_unknown_options": True})
def psql(
    arguments: Annotated[list[str] | None, typer.Argument(help="passed on to psql: -c 'select 1', -f file.sql")] = None,
    as_owner: Annotated[bool, typer.Option("--owner", help="as the database's administrator, who can break things")] = False,
) -> None:
    """Open psql on the database as an analyst: it reads projections and entries, not personal sections, tokens or keys."""
    url = database_url(load_settings())
    program = _find_program()
    sys.stdout.flush()
    os.execv(program, [program, plain_url(url) if as_owner else with_role(url, ANALYST), *(arguments or [])])  # noqa: S606


def _find_program() -> str:
    found = shutil.which("psql")
    if found is not None:
        return found
    try:
        return str(programs_dir() / "psql")
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable("couldn't find psql: install PostgreSQL's client") from error
