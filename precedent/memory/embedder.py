"""Embedders: what turns a decision or the words of a snapshot into a point, each under one model id and dimension.

Invariant: a vector that leaves here has its model's dimension, is finite, and has length 1; text that leaves the process for a
server was redacted. Models that need a server are for the pipeline alone: no decision waits for one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from precedent.errors import EmbeddingRefused, PipelineUnavailable, SettingsInvalid
from precedent.guard.redact import FAILED, redact_fields, redact_text
from precedent.memory.embed import TypedEncoder, encodable, encoder_of

DIMENSION_OF = {"text-embedding-3-small": 1536}
BATCH_TEXTS = 256
TIMEOUT_SECONDS = 30.0
RETRIES = 2


@dataclass(frozen=True, slots=True)
class Case:
    """What of a decision is encoded: facts without anything personal."""

    scope: str
    inputs: Mapping[str, Any]


class Embedder(Protocol):
    """One model. `parameters` is what `embedder_of` makes it again from."""

    model_id: str
    dimension: int
    is_local: bool

    @property
    def parameters(self) -> dict[str, Any]: ...

    def digest(self, case: Case) -> bytes:
        """SHA256 of exactly what is encoded."""

    def embed(self, cases: Sequence[Case]) -> list[list[float]]:
        """One vector a case. Raises: EmbeddingRefused, PipelineUnavailable."""


class TypedEmbedder:
    """The offline default: facts by type, in process, the same vector for ever."""

    is_local = True

    def __init__(self, encoder: TypedEncoder | None = None) -> None:
        self._encoder = encoder or TypedEncoder()
        self.model_id = self._encoder.model_id
        self.dimension = self._encoder.dimension

    @property
    def parameters(self) -> dict[str, Any]:
        ranks = {name: list(table) for name, table in self._encoder.ranks.items()}
        return {"kind": "typed", "weights": self._encoder.weights} | ({"ranks": ranks} if ranks else {})

    def digest(self, case: Case) -> bytes:
        return sha256(json.dumps(encodable(case.inputs), sort_keys=True, ensure_ascii=False).encode()).digest()

    def embed(self, cases: Sequence[Case]) -> list[list[float]]:
        """A case without facts can't be placed. Raises: EmbeddingRefused."""
        return check_vectors([self._encoder.encode(encodable(case.inputs)) for case in cases], len(cases), self.dimension)


class OpenAIEmbedder:
    """A text model behind any server of OpenAI's protocol. Its vectors are not deterministic: each is fetched and stored once."""

    is_local = False

    def __init__(self, api_key: str, base_url: str | None, model_id: str = "text-embedding-3-small", **options: Any) -> None:
        """`options` go to the client: timeout, max_retries, http_client. Raises: SettingsInvalid for a model of unknown dimension."""
        from openai import OpenAI  # a second of imports, which only the pipeline pays

        if model_id not in DIMENSION_OF:
            raise SettingsInvalid(f"no text model is named '{model_id}'; there is {', '.join(DIMENSION_OF)}")
        self.model_id = model_id
        self.dimension = DIMENSION_OF[model_id]
        self._client = OpenAI(api_key=api_key, base_url=base_url, **{"timeout": TIMEOUT_SECONDS, "max_retries": RETRIES} | options)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"kind": "openai"}

    def digest(self, case: Case) -> bytes:
        return sha256(case_text(case).encode()).digest()

    def embed(self, cases: Sequence[Case]) -> list[list[float]]:
        """Raises: EmbeddingRefused, PipelineUnavailable."""
        return self.embed_texts([case_text(case) for case in cases])

    def embed_texts(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector a text, each redacted first.

        Raises: EmbeddingRefused, also where the redactor failed; PipelineUnavailable where the server does not answer or refuses.
        """
        from openai import OpenAIError

        safe = [redact_text(text) for text in texts]
        if FAILED in safe:
            raise EmbeddingRefused("couldn't embed: a text could not be redacted")
        vectors: list[list[float]] = []
        for start in range(0, len(safe), BATCH_TEXTS):
            batch = safe[start : start + BATCH_TEXTS]
            try:
                # Floats in words: in base64 the client would hand on bytes that nobody has looked at.
                answer = self._client.embeddings.create(model=self.model_id, input=batch, encoding_format="float")
                found = [one.embedding for one in sorted(answer.data, key=lambda one: one.index)]
                places = [one.index for one in sorted(answer.data, key=lambda one: one.index)]
            except (OpenAIError, ValueError, TypeError, AttributeError) as error:
                raise PipelineUnavailable(
                    f"couldn't embed: the server of {self.model_id} gave no answer: {type(error).__name__}"
                ) from error
            if places != list(range(len(batch))):
                raise EmbeddingRefused(f"couldn't embed: {len(batch)} texts were sent, vectors {places[:5]}… came back")
            vectors += check_vectors(found, len(batch), self.dimension)
        return vectors


def check_vectors(vectors: Sequence[Sequence[float]], count: int, dimension: int) -> list[list[float]]:
    """The vectors at length 1.

    Raises: EmbeddingRefused for another count or dimension, for what is not a finite number, and for a vector of no length.
    """
    if len(vectors) != count:
        raise EmbeddingRefused(f"couldn't embed: {count} vectors were asked for, {len(vectors)} came")
    checked = []
    for vector in vectors:
        if len(vector) != dimension:
            raise EmbeddingRefused(f"couldn't embed: a vector has {len(vector)} numbers, the model {dimension}")
        # Whatever a server sent: JSON's null, true and words are no numbers, nor are NaN and infinity. By C loops: 15 µs instead of 250.
        if not set(map(type, vector)) <= {int, float} or not all(map(math.isfinite, vector)):
            raise EmbeddingRefused("couldn't embed: a vector holds what is not a finite number")
        length = math.sqrt(math.fsum(part * part for part in vector))
        if not (0 < length < math.inf):
            raise EmbeddingRefused("couldn't embed: a vector has no length")
        checked.append([part / length for part in vector])
    return checked


def text_digest(text: str) -> bytes:
    """SHA256 of what would leave for it."""
    return sha256(redact_text(text).encode()).digest()


def case_text(case: Case) -> str:
    """A decision in words, redacted, facts by name; the same text for the same facts."""
    facts = redact_fields(case.inputs, ())
    return "; ".join([case.scope, *(f"{name} = {facts[name]}" for name in sorted(facts))])


def embedder_of(model_id: str, parameters: Mapping[str, Any], api_key: str | None = None, base_url: str | None = None) -> Embedder:
    """The model that the registry names.

    Raises: SettingsInvalid for one that can't be made here.
    """
    if parameters.get("kind") == "typed":
        return TypedEmbedder(encoder_of(model_id, parameters))
    if api_key is None:
        raise SettingsInvalid(f"'{model_id}' needs OPENAI_API_KEY")
    return OpenAIEmbedder(api_key, base_url, model_id)
