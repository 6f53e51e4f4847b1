"""`precedent embed`: vectors for decisions that have an outcome or a person's answer; under a new model, beside the one that serves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
import yaml

from precedent.adapters.openai import model_server_of
from precedent.db.embedded import database_url
from precedent.db.engine import PIPELINE, connect
from precedent.db.store import read_ledger_size
from precedent.errors import SettingsInvalid
from precedent.ledger.store import chain_id_of
from precedent.memory import embedding
from precedent.memory.embed import TypedEncoder, typed_model_id
from precedent.memory.embedder import Embedder, TypedEmbedder, embedder_of
from precedent.memory.embedding_store import Model, read_models
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False)


@app.command()
def embed(
    last: Annotated[int | None, typer.Option(min=1, help="so many decisions that qualified latest")] = None,
    first_day: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day, in UTC")] = None,
    last_day: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day, included")] = None,
    model: Annotated[str | None, typer.Option(help="one of the registry, or a text model; default: the offline encoder")] = None,
    weights: Annotated[Path | None, typer.Option(help="YAML, name of fact to percent: the offline encoder under weights")] = None,
    ranks_of: Annotated[
        int | None, typer.Option(min=1, help="a new model: numbers by rank among so many decisions that qualified latest")
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="find precedents by this model from now on")] = False,
) -> None:
    """Add the vectors that are missing, a commit every 500; run again after a fault, it goes on where it stood.

    Day by day for --from and --to, so that a long range can be stopped; decisions go on and the serving model serves meanwhile.
    """
    settings = load_settings()
    url = database_url(settings)
    with connect(url, PIPELINE) as connection:
        chain_id, size = chain_id_of(connection, settings.chain), read_ledger_size(connection, settings.chain)
        known = {held.model_id: held for held in read_models(connection, chain_id)}
    if ranks_of:
        embedder: Embedder = embedding.ranked_on_last(url, chain_id, size, ranks_of, _read_weights(weights))
    else:
        embedder = _embedder(settings, url, chain_id, model, weights, known)
    if first_day:
        _embed_days(url, chain_id, embedder, size, first_day, last_day)
    elif last or not serve:
        done = embedding.embed_last(url, chain_id, embedder, size, last or 1000)
        typer.echo(f"{done.model_id}: {done.added_count} added of {done.qualified_count} decisions")
    if serve:
        embedding.serve(url, chain_id, embedder, size)
        served = known.get(embedder.model_id)
        typer.echo(f"{embedder.model_id}: serves{'' if served and served.status == 'serving' else ' from now on'}")


def _embed_days(url: str, chain_id: UUID, embedder: Embedder, size: int, first: datetime, last: datetime | None) -> None:
    day = first.replace(tzinfo=UTC)
    end = last.replace(tzinfo=UTC) if last else datetime.now(UTC)
    while day <= end:
        done = embedding.embed_days(url, chain_id, embedder, size, day, day + timedelta(days=1))
        if done.qualified_count:
            typer.echo(f"{day:%Y-%m-%d} {done.model_id}: {done.added_count} added of {done.qualified_count} decisions")
        day += timedelta(days=1)


def _embedder(
    settings: Settings, url: str, chain_id: UUID, model: str | None, weights: Path | None, known: Mapping[str, Model]
) -> Embedder:
    if model is None:
        held = _read_weights(weights)
        return TypedEmbedder(TypedEncoder(typed_model_id(held), held))
    if model not in known and model.startswith("typed-"):
        return TypedEmbedder(TypedEncoder(model))
    parameters = known[model].parameters if model in known else {"kind": "openai"}
    return embedder_of(model, parameters, model_server_of(settings, url, chain_id))


def _read_weights(path: Path | None) -> dict[str, int]:
    held = yaml.safe_load(path.read_text()) if path else {}
    if not isinstance(held, dict) or not all(isinstance(name, str) and isinstance(value, int) for name, value in held.items()):
        raise SettingsInvalid(f"couldn't read {path}: it is a mapping of names of facts to whole percentages")
    return held
