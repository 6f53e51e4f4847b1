"""`precedent calibrate`: measure how precedents of each action are to be searched, as the pipeline does after it has placed cases."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from precedent.db.embedded import database_url
from precedent.db.engine import PIPELINE, connect
from precedent.ledger.store import chain_id_of
from precedent.memory import calibrate as calibrating
from precedent.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def calibrate() -> None:
    """Search by the index of each action with the least effort that finds 98 % of the exact ten; exactly where there are few cases.

    An action that has outgrown the exact search gets its index first: some seconds per 10,000 cases, while decisions go on.
    """
    settings = load_settings()
    url = database_url(settings)
    with connect(url, PIPELINE) as connection:
        chain_id = chain_id_of(connection, settings.chain)
    made = calibrating.calibrate(url, chain_id, lambda: datetime.now(UTC))
    if not made:
        typer.echo("no case is placed yet: precedent embed --last 1000")
    for one in made:
        how = f"by index, ef_search {one.ef_search}" if one.ef_search else "exactly"
        novel = f"novel beyond {one.novelty_distance:.4f}" if one.novelty_distance is not None else "too few cases: every one is novel"
        typer.echo(f"{one.node}/{one.action}: {one.rows_count} cases, {how}, recall {one.recall_at_10:.3f}, {novel}")
