"""Snapshots on a real database: numbers by brute force, days that stay as they were, and what an erasure takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sample_entries as sample
from embedding_server import client_of, serve_embeddings
from planting import Planter
from test_embedding import decided_about

from precedent.db.engine import PIPELINE, connect
from precedent.errors import EmbeddingRefused
from precedent.ledger.store import chain_id_of
from precedent.memory.embedder import OpenAIEmbedder
from precedent.memory.snapshot import ANSWER_COUNTS, Distilled, distill_days, embed_snapshots
from precedent.memory.snapshot_store import read_known
from precedent.memory.wording import model_writer
from precedent.memory.words import MAX_CHARACTERS, TEMPLATE, foreign_numbers

NOW = datetime(2026, 4, 1, 6, 10, tzinfo=UTC)
FIRST, AFTER_LAST = date(2026, 3, 1), date(2026, 3, 31)


@dataclass(frozen=True, slots=True)
class Ground:
    url: str
    chain_id: UUID
    planter: Planter

    def distill(self, now: datetime = NOW, first: date = FIRST, after_last: date = AFTER_LAST, **options: Any) -> Distilled:
        self.planter.connection.commit()
        return distill_days(self.url, self.chain_id, self.planter.seq, first, after_last, now, **options)

    def rows(self) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute("select * from precedent.knowledge_snapshots order by period_start, known_at, id").fetchall()

    def known(self, at: datetime) -> dict[str, Any] | None:
        with connect(self.url, PIPELINE) as connection:
            found = read_known(connection, self.chain_id, "finance-daily", at)
        return found[0].facts if found else None


@pytest.fixture
def ground(database_url: str) -> Iterator[Ground]:
    with psycopg.connect(database_url) as connection:
        planter = Planter(connection)
        yield Ground(database_url, planter.chain_id, planter)


def test_a_days_numbers_are_those_of_what_was_known_when_it_ended(ground: Ground) -> None:
    plant = ground.planter
    best = plant.decision("2026-03-02T10:00")
    worst = plant.decision("2026-03-02T23:59:59.999999", verdict="escalate")
    plant.decision("2026-03-03T00:00", verdict="deny")
    plant.decision("2026-03-02T10:00", node="hr")
    plant.outcome(best, "2026-03-09T08:00", won=True, reward=0.75)
    plant.outcome(worst, "2026-03-09T09:00", won=False, reward=0.25)
    plant.outcome(best, "2026-03-10T08:00", won=False, reward=0.0)
    plant.decision("2026-03-09T12:00")
    assert ground.distill() == Distilled(4, 4, 0)
    facts = {(row["node"], row["facts"]["day"]): row["facts"] for row in ground.rows()}
    assert set(facts) == {("finance", "2026-03-02"), ("hr", "2026-03-02"), ("finance", "2026-03-03"), ("finance", "2026-03-09")}
    second, ninth = facts["finance", "2026-03-02"], facts["finance", "2026-03-09"]
    assert second["totals"] == {
        **{"decisions_count": 2, "approved_count": 1, "denied_count": 0, "escalated_count": 1, "effective_count": 1}
    }
    assert ninth["outcomes"] == {"matured_count": 2, "rewarded_count": 2, "reward_mean_bp": 5000}, "the correction came a day later"
    assert [one["decision_id"] for one in ninth["successes"]] == [str(best)]
    assert [one["decision_id"] for one in ninth["failures"]] == [str(worst)]
    assert ninth["change"] == {
        **{"against": "2026-03-02", "decisions_count_before": 2, "decisions_delta": -1, "approved_bp": 10000, "approved_before_bp": 5000}
    }


def test_words_hold_no_foreign_number_are_bounded_and_a_point_stands_beside_them(ground: Ground) -> None:
    for day in range(1, 29):
        for number in range(day % 5 + 1):
            made = ground.planter.decision(f"2026-03-{day:02}T10:00", action=f"action_{number}", verdict=["approve", "deny"][number % 2])
            ground.planter.outcome(made, f"2026-03-{min(day + 2, 28):02}T11:00", won=True, reward=number / 7)
    ground.distill()
    for row in ground.rows():
        assert foreign_numbers(row["summary"], row["facts"]) == []
        assert len(row["summary"]) <= MAX_CHARACTERS
        assert row["written_by"] == TEMPLATE
        assert row["summary_vec"]


def test_a_repeat_adds_nothing_and_days_one_by_one_give_the_same_rows(ground: Ground) -> None:
    for day in (2, 3, 9, 10):
        ground.planter.outcome(ground.planter.decision(f"2026-03-{day:02}T10:00"), f"2026-03-{day + 1:02}T10:00", won=True)
    ground.distill()
    whole = ground.rows()
    assert ground.distill(NOW + timedelta(days=1)) == Distilled(6, 0, 0)
    assert ground.rows() == whole
    with psycopg.connect(ground.url) as connection:
        connection.execute("delete from precedent.knowledge_snapshots")
    for day in reversed(range(1, 31)):
        ground.distill(NOW, date(2026, 3, day), date(2026, 3, day) + timedelta(days=1))
    assert ground.rows() == whole


def test_history_that_is_imported_later_supersedes_a_day_and_changes_no_row(ground: Ground) -> None:
    ground.planter.decision("2026-03-02T10:00")
    ground.distill()
    [before] = ground.rows()
    ground.planter.decision("2026-03-02T11:00")
    later = NOW + timedelta(days=2)
    assert ground.distill(later) == Distilled(1, 1, 1)
    first, second = ground.rows()
    assert first == before
    assert (second["supersedes"], second["known_at"]) == (before["id"], later)
    assert first["known_at"] == datetime(2026, 3, 3, tzinfo=UTC)
    at_dawn = ground.known(datetime(2026, 3, 3, tzinfo=UTC))
    assert at_dawn is not None
    assert at_dawn["totals"]["decisions_count"] == 1
    assert ground.known(datetime(2026, 3, 2, 23, 59, tzinfo=UTC)) is None, "a day is not known before it is over"
    assert (ground.known(later - timedelta(seconds=1)) or {})["totals"]["decisions_count"] == 1
    assert (ground.known(later) or {})["totals"]["decisions_count"] == 2


def test_a_day_that_is_not_over_has_no_snapshot(ground: Ground) -> None:
    ground.planter.decision("2026-03-02T10:00")
    assert ground.distill(datetime(2026, 3, 2, 23, 59, tzinfo=UTC)) == Distilled(0, 0, 0)


def test_what_lies_beyond_the_cut_is_not_seen(ground: Ground) -> None:
    ground.planter.decision("2026-03-02T10:00")
    cut = ground.planter.seq
    ground.planter.decision("2026-03-02T10:00")
    ground.planter.connection.commit()
    distill_days(ground.url, ground.chain_id, cut, FIRST, AFTER_LAST, NOW)
    [row] = ground.rows()
    assert (row["facts"]["totals"]["decisions_count"], row["ledger_size"]) == (1, cut)


def test_overrides_reversals_and_audits_are_told_and_a_deadline_is_nobodys_answer(database_url: str) -> None:
    """Of three recommendations two go against; one without any is denied; one of two windows is used; one audit of three is reversed."""
    advised = [sample.escalation(n, recommendation={"verdict": "approve", "level": 2, "rule": "broad"}) for n in range(3)]
    against = sample.escalation(3, recommendation={"verdict": "deny"})
    unadvised, late = sample.escalation(4), sample.escalation(5, within_seconds=0)
    undone, unused = sample.reversible(6), sample.reversible(7)
    audits = [sample.audited(n) for n in (8, 9, 10, 11)]
    sample.append_all(database_url, [*advised, against, unadvised, late, undone, unused, *audits])
    said = [(one, "escalation", answer) for one, answer in zip(advised, ("approve", "approve", "deny"), strict=True)]
    said += [(against, "escalation", "approve"), (unadvised, "escalation", "deny"), (undone, "reversible", "reverse")]
    said += [(one, "audit", answer) for one, answer in zip(audits[:3], ("confirm", "confirm", "reverse"), strict=True)]
    sample.append_all(database_url, [sample.review_step("answer", *one) for one in said])
    sample.append_all(database_url, [sample.review_step("time_out", late, "escalation", "deny")])
    now = datetime.now(UTC) + timedelta(days=1)
    with psycopg.connect(database_url) as connection:
        ground = Ground(database_url, chain_id_of(connection, "main"), Planter(connection))
        distill_days(database_url, ground.chain_id, 10**9, now.date() - timedelta(days=2), now.date(), now)
        answers = [row["facts"]["answered"] for row in ground.rows()]
        words = " ".join(row["summary"] for row in ground.rows())
    whole = {name: sum(answer[name] for answer in answers) for name in ANSWER_COUNTS}
    assert whole == {
        **{"answered_count": 5, "approved_count": 3, "denied_count": 2, "advised_count": 4, "against_advice_count": 2},
        **{"reversed_count": 1, "audited_count": 3, "audit_confirmed_count": 2, "audit_reversed_count": 1, "overridden_count": 4},
    }
    assert "Overridden in all: " in words


def test_a_snapshot_of_an_older_structure_stays_and_the_new_one_stands_beside_it(ground: Ground) -> None:
    """As one that was written before overrides were counted: its digest is another, so the day gets one that supersedes it."""
    ground.planter.decision("2026-03-02T10:00")
    ground.distill()
    with psycopg.connect(ground.url) as connection:
        connection.execute(
            "update precedent.knowledge_snapshots set facts_digest = '\\x01', written_by = 'template@1',"
            ' facts = jsonb_set(facts, \'{answered}\', \'{"answered_count": 0, "approved_count": 0, "denied_count": 0}\')'
        )
    [older] = ground.rows()
    later = NOW + timedelta(days=2)
    assert ground.distill(later) == Distilled(1, 1, 1)
    kept, newer = ground.rows()
    assert kept == older
    assert (newer["supersedes"], newer["known_at"], newer["written_by"]) == (older["id"], later, TEMPLATE)
    assert (ground.known(later - timedelta(seconds=1)) or {})["answered"] == older["facts"]["answered"]
    assert (ground.known(later) or {})["answered"] == dict.fromkeys(ANSWER_COUNTS, 0)
    assert foreign_numbers(older["summary"], older["facts"]) == []
    assert ground.distill(later + timedelta(days=1)) == Distilled(1, 0, 0)


def test_no_role_changes_a_snapshot(ground: Ground) -> None:
    with connect(ground.url, PIPELINE) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("update precedent.knowledge_snapshots set summary = ''")


def test_a_fault_between_two_days_leaves_whole_days_and_a_retry_the_rest(ground: Ground) -> None:
    for day in (2, 3):
        for node in ("finance", "hr"):
            ground.planter.decision(f"2026-03-{day:02}T10:00", node=node)
    calls = 0

    def write(facts: dict[str, Any]) -> tuple[str, str]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("planted")
        return "words", "test"

    with pytest.raises(RuntimeError):
        ground.distill(write=write)
    assert [row["facts"]["day"] for row in ground.rows()] == ["2026-03-02"] * 2
    assert ground.distill().added_count == 2
    assert len(ground.rows()) == 4


def test_a_models_words_are_kept_when_they_hold_no_foreign_number_and_else_the_templates(ground: Ground) -> None:
    ground.planter.decision("2026-03-02T10:00")
    ground.planter.decision("2026-03-03T10:00", action="mail anna@example.com")
    with serve_embeddings() as server:
        server.say = lambda prompt: (
            "On 2026-03-02 there was 1 decision." if "2026-03-02T" not in prompt and '"day":"2026-03-02"' in prompt else "17 of them."
        )
        ground.distill(write=model_writer(client_of(server, ground.url), "wordy"))
        kept, refused = ground.rows()
        assert (kept["summary"], kept["written_by"]) == ("On 2026-03-02 there was 1 decision.", "wordy")
        assert refused["written_by"] == TEMPLATE
        assert "anna@example.com" not in "".join(server.prompts)
        assert "[e-mail]" in server.prompts[1]


def test_a_server_that_does_not_answer_costs_the_wording_and_nothing_else(ground: Ground) -> None:
    ground.planter.decision("2026-03-02T10:00")
    with serve_embeddings() as server:
        server.is_silent.set()
        ground.distill(write=model_writer(client_of(server, ground.url, timeout_seconds=0.2), "wordy"))
    assert [row["written_by"] for row in ground.rows()] == [TEMPLATE]


def test_words_are_placed_once_by_a_text_model_and_none_where_its_server_fails(ground: Ground) -> None:
    ground.planter.decision("2026-03-02T10:00")
    ground.planter.decision("2026-03-03T10:00")
    ground.distill()
    with serve_embeddings() as server:
        remote = OpenAIEmbedder(client_of(server, ground.url))
        answer = server.answer
        for vector in ([1.0] * 384, [math.nan] * 1536):
            # The last of an answer is the first text's.
            server.answer = lambda texts, sent=vector: {**answer(texts), "data": [*answer(texts)["data"][:-1], point(0, sent)]}  # type: ignore[misc]
            with pytest.raises(EmbeddingRefused):
                embed_snapshots(ground.url, ground.chain_id, remote, FIRST, AFTER_LAST)
        server.answer, server.texts = answer, []
        assert embed_snapshots(ground.url, ground.chain_id, remote, FIRST, AFTER_LAST) == 2
        assert embed_snapshots(ground.url, ground.chain_id, remote, FIRST, AFTER_LAST) == 0
        assert server.texts == [row["summary"] for row in ground.rows()]


def point(index: int, vector: list[float]) -> dict[str, object]:
    return {"object": "embedding", "index": index, "embedding": vector}


def test_an_erasure_takes_the_snapshots_that_name_the_person_and_the_next_ones_name_others(database_url: str) -> None:
    sample.fill(database_url)
    draft = decided_about(database_url, 2)
    sample.append_all(database_url, [draft])
    sample.append_all(database_url, [sample.outcome(draft.entry_id, 1_000_000)])
    with connect(database_url) as connection:
        chain_id = chain_id_of(connection, "main")
    now = datetime.now(UTC) + timedelta(days=1)
    ground = Ground(database_url, chain_id, Planter(psycopg.connect(database_url)))

    def distill() -> None:
        distill_days(database_url, chain_id, 10**9, now.date() - timedelta(days=2), now.date(), now)

    distill()
    assert draft.entry_id in {cited for row in ground.rows() for cited in row["cites"]}
    with serve_embeddings() as server:
        embed_snapshots(database_url, chain_id, OpenAIEmbedder(client_of(server, database_url)), date(2012, 1, 1), now.date())
    sample.erase_person(database_url, 2)
    assert ground.rows() == []
    with connect(database_url) as connection:
        assert connection.execute("select count(*) from precedent.snapshot_embeddings_1536").fetchone() == (0,)
    distill()
    assert ground.rows()
    assert not [row for row in ground.rows() if draft.entry_id in row["cites"] or str(draft.entry_id) in row["summary"]]
    ground.planter.connection.close()
