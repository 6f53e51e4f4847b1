"""Vectors on a real database: which decisions have one, that repeats and faults leave no halves, and who sees them go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import sample_entries as sample
from embedding_server import client_of, serve_embeddings
from typer.testing import CliRunner

from precedent.cli.embed import app
from precedent.db.engine import PIPELINE, connect
from precedent.errors import EmbeddingRefused, FieldInvalid, PipelineUnavailable
from precedent.ledger.entry import Draft, Kind, Section, draft_entry
from precedent.ledger.keyring import seal
from precedent.ledger.store import chain_id_of
from precedent.memory import embedding
from precedent.memory.embed import TYPED_V1, TypedEncoder, typed_model_id
from precedent.memory.embedder import Case, OpenAIEmbedder, TypedEmbedder
from precedent.memory.embedding_store import read_models, register_model

WEIGHTS = {"deal_value": 300}
HEAVY = TypedEmbedder(TypedEncoder(typed_model_id(WEIGHTS), WEIGHTS))
ALL = 10**9


@pytest.fixture
def filled(database_url: str) -> tuple[str, UUID]:
    sample.fill(database_url)
    with connect(database_url) as connection:
        return database_url, chain_id_of(connection, "main")


def rows(url: str, dimension: int = 384) -> list[tuple[object, ...]]:
    with connect(url) as connection:
        table = f"precedent.decision_embeddings_{dimension}"
        return connection.execute(f"select * from {table} order by model_id, seq".encode()).fetchall()


def matured(url: str) -> set[UUID]:
    with connect(url) as connection:
        return {row[0] for row in connection.execute("select distinct decision_id from precedent.outcomes")}


def test_a_decision_has_a_vector_once_it_has_an_outcome_and_not_before(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    done = embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    assert {row[2] for row in rows(url)} == matured(url)
    assert (done.added_count, done.qualified_count) == (len(matured(url)),) * 2


def test_a_decision_that_a_person_answered_has_one_under_that_answer(filled: tuple[str, UUID]) -> None:
    """Approved and confirmed count as approvals, denied and reversed as denials; what nobody answered in time was nobody's word."""
    url, chain_id = filled
    asked = [sample.escalation(n) for n in (51, 52, 53)]
    undone, kept = sample.reversible(54), sample.audited(55)
    sample.append_all(url, [*asked, undone, kept])
    for draft, kind, answer in (
        *((asked[0], "escalation", "approve"), (asked[1], "escalation", "deny")),
        *((undone, "reversible", "reverse"), (kept, "audit", "confirm")),
    ):
        sample.append_all(url, [sample.review_step("answer", draft, kind, answer)])
    sample.append_all(url, [sample.review_step("time_out", asked[2], "escalation", "deny", now="2099-01-01T00:00:00.000000Z")])
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    with connect(url) as connection:
        by_person = connection.execute("select decision_id, verdict from precedent.decision_embeddings_384 where by_person").fetchall()
    assert dict(by_person) == {
        asked[0].entry_id: "approve", asked[1].entry_id: "deny", undone.entry_id: "deny", kept.entry_id: "approve",
    }  # fmt: skip


def test_days_that_are_done_one_by_one_backwards_or_twice_give_the_same_rows(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    whole = rows(url)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with connect(url) as connection:
        connection.execute("delete from precedent.decision_embeddings_384")
    for first in (today, datetime(2012, 1, 1, tzinfo=UTC), today - timedelta(days=1), today):
        embedding.embed_days(url, chain_id, TypedEmbedder(), ALL, first, first + timedelta(days=1))
    assert rows(url) == whole


def test_what_lies_beyond_the_cut_is_not_seen(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    with connect(url) as connection:
        row = connection.execute("select min(seq) from precedent.outcomes").fetchone()
    assert row is not None
    assert embedding.embed_last(url, chain_id, TypedEmbedder(), row[0], 100).qualified_count == 0


def test_a_corrected_outcome_leaves_the_row_as_it_was(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    before = rows(url)
    sample.append_all(url, [sample.outcome(before[0][2], 1)])  # type: ignore[arg-type]
    assert embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100).added_count == 0
    assert rows(url) == before


def test_a_new_model_is_filled_while_the_old_one_serves_and_serves_only_when_it_lacks_nothing(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    embedding.embed_last(url, chain_id, HEAVY, ALL, 1)
    assert serving(url, chain_id) == TYPED_V1
    with pytest.raises(FieldInvalid, match="no vector"):
        embedding.serve(url, chain_id, HEAVY, ALL)
    assert serving(url, chain_id) == TYPED_V1
    embedding.embed_last(url, chain_id, HEAVY, ALL, 100)
    embedding.serve(url, chain_id, HEAVY, ALL)
    assert serving(url, chain_id) == HEAVY.model_id
    assert len(rows(url)) == 2 * len(matured(url)), "the old model's rows stay"
    embedding.serve(url, chain_id, TypedEmbedder(), ALL)
    assert serving(url, chain_id) == TYPED_V1, "and it can be taken back"


def serving(url: str, chain_id: UUID) -> str:
    with connect(url) as connection:
        assert [model.status for model in read_models(connection, chain_id)].count("serving") == 1
        return embedding.serving_encoder(connection, chain_id).model_id


class Failing(TypedEmbedder):
    """Fails on its second batch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def embed(self, cases: Sequence[Case]) -> list[list[float]]:
        self.calls += 1
        if self.calls == 2:
            raise PipelineUnavailable("couldn't embed: planted")
        return super().embed(cases)


def test_a_fault_leaves_whole_batches_and_a_retry_the_same_rows(filled: tuple[str, UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    url, chain_id = filled
    monkeypatch.setattr(embedding, "BATCH", 2)
    with pytest.raises(PipelineUnavailable):
        embedding.embed_last(url, chain_id, Failing(), ALL, 100)
    assert len(rows(url)) == 2
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    assert {row[2] for row in rows(url)} == matured(url)


def test_a_server_of_texts_fills_the_other_table_and_is_asked_once(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    with serve_embeddings() as server:
        remote = OpenAIEmbedder(client_of(server, url))
        embedding.embed_last(url, chain_id, remote, ALL, 100)
        first = rows(url, 1536)
        assert len(first) == len(matured(url)) == len(server.texts)
        embedding.embed_last(url, chain_id, remote, ALL, 100)
        assert (rows(url, 1536), len(server.texts)) == (first, len(first))
        with pytest.raises(FieldInvalid, match="no decision waits"):
            embedding.serve(url, chain_id, remote, ALL)


def test_a_model_of_another_dimension_or_other_parameters_is_refused(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    with connect(url, PIPELINE) as connection:
        register_model(connection, chain_id, TYPED_V1, 384, {"kind": "typed", "weights": {}})
        for dimension, parameters in ((1536, {"kind": "typed", "weights": {}}), (384, {"kind": "openai"}), (385, {})):
            with pytest.raises(EmbeddingRefused):
                register_model(connection, chain_id, TYPED_V1, dimension, parameters)


def test_the_database_refuses_a_vector_of_another_dimension(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    with connect(url) as connection, pytest.raises(psycopg.errors.DataException, match="384 dimensions"):
        connection.execute("update precedent.decision_embeddings_384 set context_vec = '[1,2,3]'")


def decided_about(url: str, number: int) -> Draft:
    """A decision about the person of `personal_event(number)`."""
    draft, subject_id = sample.decision(500 + number), sample.subject_of(url, number)
    core = {
        "node": "finance",
        "action": "approve_discount",
        "subject_id": str(subject_id),
        "entities": {"customer": str(subject_id)},
        "result": {
            **{"verdict": "approve", "level": 2, "rule": "band.small", "reasons": [{"code": "WITHIN_BAND", "text": ""}], "effective": True},
            **{"requires_human": False, "review_to": None, "within_seconds": None, "on_timeout": None, "notify": None},
        },
        "derivation": {"policy": sample.POLICY, "policy_digest": "ab" * 32, "variant": "A", "now": "2026-11-22T20:00:00.000000Z"},
        "call": {"correlation_id": "cid", "principal": "test", "event_id": None, "as_of": None, "latency_us": 1},
    }
    facts = {"facts": {"deal_value": 5, "tier": "A"}}
    sealed = seal(bytes(32), draft.entry_id, b"{}", bytes(12))
    return draft_entry(
        sample.CLOCK,
        Kind.DECISION,
        {Section.CORE: core, Section.FACTS: facts, Section.MEMORY: {"features": {}}},
        entry_id=draft.entry_id,
        personal=sealed,
    )


def test_an_erasure_takes_the_subjects_vectors_and_they_do_not_come_back(filled: tuple[str, UUID]) -> None:
    url, chain_id = filled
    draft = decided_about(url, 2)
    sample.append_all(url, [draft])
    sample.append_all(url, [sample.outcome(draft.entry_id, 1)])
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    others = [row for row in rows(url) if row[2] != draft.entry_id]
    assert len(others) == len(rows(url)) - 1
    sample.erase_person(url, 2)
    assert rows(url) == others
    embedding.embed_last(url, chain_id, TypedEmbedder(), ALL, 100)
    assert rows(url) == others


def test_the_command_adds_the_last_ones_and_changes_the_model_that_serves(
    filled: tuple[str, UUID], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, chain_id = filled
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    count = len(matured(url))

    def run(*arguments: str) -> str:
        return CliRunner().invoke(app, arguments, catch_exceptions=False).output

    assert run("--last", "2") == f"{TYPED_V1}: 2 added of 2 decisions\n"
    assert run("--last", "100") == f"{TYPED_V1}: {count - 2} added of {count} decisions\n"
    Path("weights.yaml").write_text("deal_value: 300\n")
    said = run("--weights", "weights.yaml", "--from", "2011-12-31", "--to", "2012-01-02")
    assert said == f"2012-01-01 {HEAVY.model_id}: 1 added of 1 decisions\n"
    said = run("--weights", "weights.yaml", "--last", "100", "--serve")
    assert said == f"{HEAVY.model_id}: {count - 1} added of {count} decisions\n{HEAVY.model_id}: serves from now on\n"
    assert serving(url, chain_id) == HEAVY.model_id
