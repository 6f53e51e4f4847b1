"""Vectors for decisions that may be precedents: by day or the last so many, in batches that each stand whole or not at all.

Crash-safe by repetition: a batch commits by itself, what is there is not encoded again, and rows never change. A new model is
filled beside the one that serves, which goes on serving until `serve` is asked for and the new one lacks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from precedent.db.engine import PIPELINE, connect
from precedent.errors import FieldInvalid
from precedent.memory.embed import TypedEncoder, encodable, encoder_of, typed_model_id
from precedent.memory.embedder import Case, Embedder, TypedEmbedder
from precedent.memory.embedding_store import (
    Model,
    Qualified,
    add_vectors,
    read_last_qualified,
    read_models,
    read_present,
    read_qualified,
    read_serving,
    register_model,
    serve_model,
)
from precedent.memory.ranks import MIN_NUMBERS, freeze_ranks

BATCH = 500
# The index of vectors costs PostgreSQL a millisecond a row, on one core a session.
WRITERS = 2
DAWN = datetime(1, 1, 2, tzinfo=UTC)
DUSK = datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Embedded:
    """What one run did: decisions that qualified, and rows that were new. One without any fact has no place and no row."""

    model_id: str
    qualified_count: int
    added_count: int


def embed_days(url: str, chain_id: UUID, embedder: Embedder, size: int, first: datetime, after_last: datetime) -> Embedded:
    """Vectors of all decisions that qualified in [first, after_last), from the ledger's first `size` entries.

    Raises: EmbeddingRefused, PipelineUnavailable, BudgetSpent: batches before the fault stand; DatabaseUnavailable.
    """
    return _embed(url, chain_id, embedder, lambda connection: read_qualified(connection, chain_id, size, first, after_last))


def embed_last(url: str, chain_id: UUID, embedder: Embedder, size: int, last: int) -> Embedded:
    """The same for the `last` decisions that qualified latest."""
    return _embed(url, chain_id, embedder, lambda connection: read_last_qualified(connection, chain_id, size, last))


def ranked_on_last(url: str, chain_id: UUID, size: int, last: int, weights: Mapping[str, int]) -> TypedEmbedder:
    """A model whose numbers lie by their ranks among the `last` decisions that qualified latest, in the registry from now on.

    What comes later changes no table: trained again it is another model, with another id.

    Raises: FieldInvalid where no fact of theirs was seen often enough; DatabaseUnavailable.
    """
    with connect(url, PIPELINE) as connection:
        ranks = freeze_ranks(encodable(one.inputs) for one in read_last_qualified(connection, chain_id, size, last))
        if not ranks:
            raise FieldInvalid(f"couldn't rank: no number stands in {MIN_NUMBERS} of the last {last} decisions that qualified")
        embedder = TypedEmbedder(TypedEncoder(typed_model_id(weights, ranks), weights, ranks))
        _registered(connection, chain_id, embedder)
        connection.commit()
    return embedder


def serve(url: str, chain_id: UUID, embedder: Embedder, size: int) -> None:
    """Let precedents be found by this model from now on.

    Raises: FieldInvalid where it needs a server, since no decision waits for one, or lacks a decision that qualified.
    """
    if not embedder.is_local:
        raise FieldInvalid(f"couldn't serve '{embedder.model_id}': it needs a server, and no decision waits for one")
    with connect(url, PIPELINE) as connection:
        model = _registered(connection, chain_id, embedder)
        qualified = [one.decision_id for one in read_qualified(connection, chain_id, size, DAWN, DUSK) if encodable(one.inputs)]
        missing = len(qualified) - len(read_present(connection, chain_id, model, qualified))
        if missing:
            raise FieldInvalid(f"couldn't serve '{model.model_id}': {missing} of {len(qualified)} decisions have no vector of it yet")
        serve_model(connection, chain_id, model.model_id)
        connection.commit()


def serving_encoder(connection: psycopg.Connection, chain_id: UUID) -> TypedEncoder:
    """The encoder of the model that serves, as an analyst's notebook reads it; the default before any was chosen.

    Decisions read it by `recall.Recall`, which goes without one where none can be made.

    Raises: SettingsInvalid for one that this release can't reproduce.
    """
    model = read_serving(connection, chain_id)
    return encoder_of(model.model_id, model.parameters) if model else TypedEncoder()


def _embed(url: str, chain_id: UUID, embedder: Embedder, read: Callable[[psycopg.Connection], list[Qualified]]) -> Embedded:
    with connect(url, PIPELINE) as connection:
        model = _registered(connection, chain_id, embedder)
        connection.commit()
        qualified = read(connection)
        present = read_present(connection, chain_id, model, [one.decision_id for one in qualified])
        connection.commit()  # no snapshot stays open while a server is asked
        missing = [one for one in qualified if one.decision_id not in present and encodable(one.inputs)]
    batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    # A server that is asked for vectors is asked by one at a time.
    writers = min(WRITERS, len(batches)) if embedder.is_local else 1
    with ThreadPoolExecutor(max(1, writers)) as pool:
        for done in [pool.submit(_add, url, chain_id, model, embedder, batches[first::writers]) for first in range(writers)]:
            done.result()
    return Embedded(model.model_id, len(qualified), len(missing))


def _add(url: str, chain_id: UUID, model: Model, embedder: Embedder, batches: Sequence[list[Qualified]]) -> None:
    with connect(url, PIPELINE) as connection:
        for batch in batches:
            cases = [Case(one.scope, one.inputs) for one in batch]
            vectors = embedder.embed(cases)
            digests = [embedder.digest(case) for case in cases]
            add_vectors(connection, chain_id, model, list(zip(batch, digests, vectors, strict=True)))
            connection.commit()


def _registered(connection: psycopg.Connection, chain_id: UUID, embedder: Embedder) -> Model:
    """The model's row; the offline default serves from the first, where none does."""
    register_model(connection, chain_id, embedder.model_id, embedder.dimension, embedder.parameters)
    if read_serving(connection, chain_id) is None and embedder.model_id == TypedEmbedder().model_id:
        serve_model(connection, chain_id, embedder.model_id)
    return next(model for model in read_models(connection, chain_id) if model.model_id == embedder.model_id)
