"""The encoder that decisions find precedents by, read from the registry as they read it."""

from __future__ import annotations

from uuid import UUID

import psycopg

from precedent.memory.embed import TypedEncoder, encoder_of
from precedent.memory.embedding_store import read_serving


def serving_encoder(connection: psycopg.Connection, chain_id: UUID) -> TypedEncoder:
    model = read_serving(connection, chain_id)
    assert model is not None
    return encoder_of(model.model_id, model.parameters)
