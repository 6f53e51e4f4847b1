"""Embedders: what turns a decision or the words of a snapshot into a point, each under one model id and dimension.

Invariant: a vector that leaves here has its model's dimension, is finite, and has length 1; text that leaves the process for a
server was redacted. Models that need a server are for the pipeline alone: no decision waits for one.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from precedent.adapters.contract import AdapterRefused, AdapterUnavailable
from precedent.adapters.costs import Purpose, Usage
from precedent.adapters.meter import Call
from precedent.adapters.openai import ModelServer, most_tokens
from precedent.errors import EmbeddingRefused, PipelineUnavailable, SettingsInvalid
from precedent.guard.redact import FAILED, redact_fields, redact_text
from precedent.memory.embed import TypedEncoder, encodable, encoder_of

DIMENSION_OF = {"text-embedding-3-small": 1536}
BATCH_TEXTS = 256


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
        """One vector a case. Raises: EmbeddingRefused, PipelineUnavailable, BudgetSpent."""


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

    def __init__(self, server: ModelServer, model_id: str = "text-embedding-3-small") -> None:
        """Raises: SettingsInvalid for a model of unknown dimension."""
        if model_id not in DIMENSION_OF:
            raise SettingsInvalid(f"no text model is named '{model_id}'; there is {', '.join(DIMENSION_OF)}")
        self.model_id = model_id
        self.dimension = DIMENSION_OF[model_id]
        self._server = server

    @property
    def parameters(self) -> dict[str, Any]:
        return {"kind": "openai"}

    def digest(self, case: Case) -> bytes:
        return sha256(case_text(case).encode()).digest()

    def embed(self, cases: Sequence[Case]) -> list[list[float]]:
        """Raises: EmbeddingRefused, PipelineUnavailable, BudgetSpent."""
        return self.embed_texts([case_text(case) for case in cases], [case.scope.partition("/")[0] for case in cases])

    def embed_texts(self, texts: Sequence[str], nodes: Sequence[str]) -> list[list[float]]:
        """One vector a text, each redacted first; those of one node are sent together, so that its budget knows of them.

        Raises: EmbeddingRefused, also where the redactor failed; PipelineUnavailable where the server does not answer or refuses;
        BudgetSpent.
        """
        safe = [redact_text(text) for text in texts]
        if FAILED in safe:
            raise EmbeddingRefused("couldn't embed: a text could not be redacted")
        places_of: dict[str, list[int]] = defaultdict(list)
        for place, node in enumerate(nodes):
            places_of[node].append(place)
        vectors: dict[int, list[float]] = {}
        for node, places in places_of.items():
            for start in range(0, len(places), BATCH_TEXTS):
                batch = places[start : start + BATCH_TEXTS]
                vectors |= zip(batch, self._vectors_of([safe[place] for place in batch], node), strict=True)
        return [vectors[place] for place in range(len(safe))]

    def _vectors_of(self, texts: list[str], node: str) -> list[list[float]]:
        """Of one request."""
        call = Call(self.model_id, Purpose.EMBEDDING, node, Usage(most_tokens(*texts)))
        try:
            # Floats in words: in base64 the client would hand on bytes that nobody has looked at.
            answer = self._server.ask(
                call, lambda client: client.embeddings.create(model=self.model_id, input=texts, encoding_format="float")
            )
            by_index = sorted(answer.data, key=lambda one: one.index)
            found, places = [one.embedding for one in by_index], [one.index for one in by_index]
        except (AdapterUnavailable, AdapterRefused) as error:
            raise PipelineUnavailable(f"couldn't embed: {self.model_id} gave no answer: {error}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise PipelineUnavailable(f"couldn't embed: {self.model_id} gave no answer: {type(error).__name__}") from error
        if places != list(range(len(texts))):
            raise EmbeddingRefused(f"couldn't embed: {len(texts)} texts were sent, vectors {places[:5]}… came back")
        return check_vectors(found, len(texts), self.dimension)


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


def embedder_of(model_id: str, parameters: Mapping[str, Any], server: ModelServer | None = None) -> Embedder:
    """The model that the registry names.

    Raises: SettingsInvalid for one that can't be made here.
    """
    if parameters.get("kind") == "typed":
        return TypedEmbedder(encoder_of(model_id, parameters))
    if server is None:
        raise SettingsInvalid(f"'{model_id}' needs OPENAI_API_KEY")
    return OpenAIEmbedder(server, model_id)
