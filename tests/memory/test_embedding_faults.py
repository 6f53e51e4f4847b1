"""A server of vectors that fails in the middle: whole batches stand, a retry makes the same rows, and nobody waits meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sample_entries as sample
from embedding_server import DIMENSION, EmbeddingServer, client_of, serve_embeddings, vector_of

from precedent.db.engine import connect
from precedent.errors import EmbeddingRefused, PipelineUnavailable
from precedent.ledger.store import chain_id_of
from precedent.memory import embedding
from precedent.memory.embed import TYPED_V1
from precedent.memory.embedder import OpenAIEmbedder, TypedEmbedder

ALL = 10**9
OPEN = "select count(*) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'"
Rows = list[tuple[Any, ...]]


def answer_with(vectors: list[list[float]]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def down(server: EmbeddingServer) -> None:
    def answer(texts: list[str]) -> dict[str, Any]:
        server.status = 503
        return {}

    server.answer = answer


def slow(server: EmbeddingServer) -> None:
    server.is_silent.set()


def sending(of: Callable[[list[float]], list[float]], count: int | None = None) -> Callable[[EmbeddingServer], None]:
    """The last vector of each answer is another, or there are only so many."""

    def plant(server: EmbeddingServer) -> None:
        def answer(texts: list[str]) -> dict[str, Any]:
            vectors = [vector_of(text) for text in texts]
            return answer_with([*vectors[:-1], of(vectors[-1])][:count])

        server.answer = answer

    return plant


FAULTS: dict[str, tuple[Callable[[EmbeddingServer], None], type[Exception]]] = {
    "down": (down, PipelineUnavailable),
    "slow": (slow, PipelineUnavailable),
    "short": (sending(lambda vector: vector[:384]), EmbeddingRefused),
    "long": (sending(lambda vector: [*vector, 1.0]), EmbeddingRefused),
    "nan": (sending(lambda vector: [math.nan, *vector[1:]]), EmbeddingRefused),
    "infinite": (sending(lambda vector: [math.inf, *vector[1:]]), EmbeddingRefused),
    "nowhere": (sending(lambda vector: [0.0] * DIMENSION), EmbeddingRefused),
    "fewer": (sending(lambda vector: vector, count=1), EmbeddingRefused),
}


@pytest.fixture(scope="module")
def filled(module_database_url: str) -> tuple[str, UUID]:
    sample.fill(module_database_url)
    with connect(module_database_url) as connection:
        return module_database_url, chain_id_of(connection, "main")


@pytest.fixture
def remote_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    monkeypatch.setattr(embedding, "BATCH", 2)
    with serve_embeddings() as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(filled: tuple[str, UUID]) -> Rows:
    """The rows of a run without a fault."""
    url, chain_id = filled
    with serve_embeddings() as running:
        embedding.embed_last(url, chain_id, remote(running, url), ALL, 100)
    return rows(url)


def remote(server: EmbeddingServer, url: str) -> OpenAIEmbedder:
    return OpenAIEmbedder(client_of(server, url))


def rows(url: str) -> Rows:
    with connect(url) as connection:
        return connection.execute("select * from precedent.decision_embeddings_1536 order by model_id, seq").fetchall()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_after_the_first_batch_leaves_that_batch_and_a_retry_makes_the_rest_of_the_same_rows(
    fault: str, filled: tuple[str, UUID], undisturbed: Rows, remote_server: EmbeddingServer
) -> None:
    url, chain_id = filled
    with connect(url) as connection:
        connection.execute("delete from precedent.decision_embeddings_1536")
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    plant, error = FAULTS[fault]
    answer = remote_server.answer

    def answer_once(texts: list[str]) -> Any:
        plant(remote_server)  # from the second request on
        return answer(texts)

    remote_server.answer = answer_once
    failing = OpenAIEmbedder(client_of(remote_server, url, timeout_seconds=0.3 if fault == "slow" else 5))
    with pytest.raises(error):
        embedding.embed_last(url, chain_id, failing, ALL, 100)
    left = rows(url)
    assert len(left) == 2
    assert all(row in undisturbed for row in left)
    with connect(url) as connection:
        assert embedding.serving_encoder(connection, chain_id).model_id == TYPED_V1, "decisions find their precedents as before"

    remote_server.answer, remote_server.status = answer, 200
    remote_server.is_silent.clear()
    embedding.embed_last(url, chain_id, remote(remote_server, url), ALL, 100)
    assert rows(url) == undisturbed


def test_while_a_server_is_asked_decisions_are_recorded_and_no_transaction_is_open(
    filled: tuple[str, UUID], undisturbed: Rows, remote_server: EmbeddingServer
) -> None:
    url, chain_id = filled
    with connect(url) as connection:
        connection.execute("delete from precedent.decision_embeddings_1536")
    answer, asleep = remote_server.answer, []

    def answer_late(texts: list[str]) -> Any:
        sample.append_all(url, [sample.decision(900 + len(asleep))])
        with psycopg.connect(url) as other:
            asleep.append(other.execute(OPEN).fetchone())
        return answer(texts)

    remote_server.answer = answer_late
    embedding.embed_last(url, chain_id, remote(remote_server, url), ALL, 100)
    assert rows(url) == undisturbed
    assert len(asleep) > 1
    assert set(asleep) == {(0,)}
