"""Embedders: what they refuse, what leaves the process, and that a server of the public protocol is all that a text model needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
from embedding_server import DIMENSION, EmbeddingServer, client_of, serve_embeddings, vector_of

from precedent.errors import EmbeddingRefused, PipelineUnavailable, SettingsInvalid
from precedent.memory.embed import TYPED_V1, TypedEncoder, typed_model_id
from precedent.memory.embedder import Case, OpenAIEmbedder, TypedEmbedder, check_vectors, embedder_of

CASE = Case("finance/approve_discount", {"deal_value": 1_200_000, "tier": "A", "note": "call anna@example.com or +49 30 1234567"})


@pytest.fixture
def models() -> Iterator[EmbeddingServer]:
    with serve_embeddings() as running:
        yield running


Remote = Callable[..., OpenAIEmbedder]


@pytest.fixture
def remote(module_database_url: str) -> Remote:
    """A text model behind a server."""
    return lambda server, **options: OpenAIEmbedder(client_of(server, module_database_url, **options))


def test_a_compatible_server_gives_vectors_of_length_one_in_the_order_that_was_asked(models: EmbeddingServer, remote: Remote) -> None:
    vectors = remote(models).embed_texts(["one", "two"], ["finance", "finance"])
    assert models.texts == ["one", "two"]
    for text, vector in zip(["one", "two"], vectors, strict=True):
        length = math.sqrt(sum(part * part for part in vector_of(text)))
        assert vector == pytest.approx([part / length for part in vector_of(text)])


def test_text_is_redacted_before_it_leaves(models: EmbeddingServer, remote: Remote) -> None:
    remote(models).embed([CASE])
    assert models.texts == ["finance/approve_discount; deal_value = 1200000; note = call [e-mail] or [phone]; tier = A"]
    remote(models).embed_texts(["to anna@example.com"], ["finance"])
    assert models.texts[-1] == "to [e-mail]"


def test_nothing_leaves_when_the_redactor_fails(models: EmbeddingServer, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("precedent.guard.recognise.find_personal", None)
    with pytest.raises(EmbeddingRefused, match="redacted"):
        remote(models).embed_texts(["to anna@example.com"], ["finance"])
    assert models.texts == []


@pytest.mark.parametrize(
    "vector",
    [[1.0] * 384, [1.0] * (DIMENSION + 1), [], [math.nan] * DIMENSION, [math.inf, *[0.0] * (DIMENSION - 1)], [0.0] * DIMENSION],
    ids=["short", "long", "empty", "nan", "infinite", "nowhere"],
)
def test_a_server_that_sends_what_is_no_point_of_the_model_is_refused(models: EmbeddingServer, remote: Remote, vector: list[float]) -> None:
    models.answer = lambda texts: {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": vector}]}
    with pytest.raises(EmbeddingRefused):
        remote(models).embed_texts(["one"], ["finance"])


def test_a_server_that_sends_fewer_vectors_than_texts_is_refused(models: EmbeddingServer, remote: Remote) -> None:
    models.answer = lambda texts: {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": vector_of("one")}],
    }
    with pytest.raises(EmbeddingRefused):
        remote(models).embed_texts(["one", "two"], ["finance", "finance"])


def test_a_server_that_is_down_slow_or_failing_is_unavailable(models: EmbeddingServer, remote: Remote) -> None:
    models.status = 500
    with pytest.raises(PipelineUnavailable):
        remote(models).embed_texts(["one"], ["finance"])
    models.status = 200
    models.is_silent.set()
    with pytest.raises(PipelineUnavailable):
        remote(models, timeout_seconds=0.2).embed_texts(["one"], ["finance"])
    with pytest.raises(PipelineUnavailable):
        remote(EmbeddingServer("http://127.0.0.1:1/v1")).embed_texts(["one"], ["finance"])


def test_a_typed_vector_is_a_point_of_its_model_and_a_case_without_facts_has_none() -> None:
    [vector] = TypedEmbedder().embed([CASE])
    assert len(vector) == 384
    assert math.fsum(part * part for part in vector) == pytest.approx(1)
    with pytest.raises(EmbeddingRefused):
        TypedEmbedder().embed([Case("finance/x", {})])


def test_vectors_of_another_count_are_refused() -> None:
    with pytest.raises(EmbeddingRefused):
        check_vectors([[1.0]], 2, 1)


def test_weights_are_a_model_of_their_own_that_moves_what_they_name() -> None:
    weights = {"deal_value": 400}
    heavy, plain = TypedEncoder(typed_model_id(weights), weights), TypedEncoder()
    assert heavy.model_id.startswith(f"{TYPED_V1}+")
    small, large = {"deal_value": 1, "tier": "A"}, {"deal_value": 1_000_000, "tier": "A"}

    def apart(encoder: TypedEncoder) -> float:
        return 1 - sum(a * b for a, b in zip(encoder.encode(small), encoder.encode(large), strict=True))

    assert apart(heavy) > apart(plain)
    for model_id, held in ((TYPED_V1, weights), (heavy.model_id, {}), (heavy.model_id, {"deal_value": 401})):
        with pytest.raises(SettingsInvalid):
            TypedEncoder(model_id, held)
    with pytest.raises(SettingsInvalid):
        TypedEncoder(typed_model_id({"x": -1}), {"x": -1})


def test_the_registry_makes_the_same_embedder_again(models: EmbeddingServer, module_database_url: str) -> None:
    weights = {"deal_value": 400}
    first = TypedEmbedder(TypedEncoder(typed_model_id(weights), weights))
    second = embedder_of(first.model_id, first.parameters)
    assert second.embed([CASE]) == first.embed([CASE])
    assert second.digest(CASE) == first.digest(CASE)
    with pytest.raises(SettingsInvalid, match="OPENAI_API_KEY"):
        embedder_of("text-embedding-3-small", {"kind": "openai"})
    with pytest.raises(SettingsInvalid):
        OpenAIEmbedder(client_of(models, module_database_url), "text-embedding-unheard-of")
