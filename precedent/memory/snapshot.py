"""Snapshots: what was decided, answered and known of a node on a day, as numbers first and then as words.

Append-only: a day that comes out otherwise, since history was imported or the SQL changed, adds a row that supersedes the one
before, known from when it was made. What a day held when it ended is the same whenever it is asked, so a repeat adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import psycopg

from precedent.db.engine import PIPELINE, connect
from precedent.ledger.canonical import canonical_bytes
from precedent.memory.embed import TypedEncoder
from precedent.memory.embedder import OpenAIEmbedder, text_digest
from precedent.memory.embedding_store import register_model
from precedent.memory.snapshot_store import (
    SOURCES,
    Numbers,
    add_snapshot,
    add_snapshot_vectors,
    read_current,
    read_numbers,
    read_without_vector,
)
from precedent.memory.words import TEMPLATE, words_of

MAX_ACTIONS = 12
MAX_RULES = 5
COUNTS = ("decisions_count", "approved_count", "denied_count", "escalated_count", "effective_count")
ANSWER_COUNTS = (
    "answered_count", "approved_count", "denied_count", "advised_count", "against_advice_count", "reversed_count", "audited_count",
    "audit_confirmed_count", "audit_reversed_count", "overridden_count",
)  # fmt: skip
# With the same weekday before: what changes a day changes the snapshot of this one after it.
COMPARED_DAYS = 7
_NAMESPACE = UUID("0c8d7f52-6a0b-4f6e-9f1c-2f1f6f0c51b7")
_ENCODER = TypedEncoder()

# Words for a structure and who wrote them.
Writer = Callable[[dict[str, Any]], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Distilled:
    """What one run did: nodes and days that had something, rows that were added, and those of them that correct one."""

    day_count: int
    added_count: int
    corrected_count: int


def by_template(facts: dict[str, Any]) -> tuple[str, str]:
    """The deterministic words."""
    return words_of(facts), TEMPLATE


def distill_days(
    url: str, chain_id: UUID, size: int, first: date, after_last: date, now: datetime, write: Writer = by_template
) -> Distilled:
    """Snapshots of every node for the days [first, after_last) that are over, of the ledger's first `size` entries; a commit a day.

    If we crash between two days, those before stand whole and the rest is made by the next run.

    Raises: DatabaseUnavailable.
    """
    after_last = min(after_last, now.astimezone(UTC).date())
    start, end = _dawn(first), _dawn(after_last)
    with connect(url, PIPELINE) as connection:
        numbers = read_numbers(connection, chain_id, size, start, end)
        current = read_current(connection, chain_id, start, end)
        connection.commit()
        keys = {key for name in ("decided", "answered", "matured") for key in numbers[name] if first <= key[1] < after_last}
        added = corrected = 0
        for day in sorted({day for _, day in keys}):
            for node in sorted(node for node, of_day in keys if of_day == day):
                facts = structure_of(numbers, node, day)
                digest = sha256(canonical_bytes(facts)).digest()
                held = current.get((f"{node}-daily", _dawn(day)))
                if held is None or held[1] != digest:
                    _add(connection, chain_id, size, facts, digest, held[0] if held else None, now, write)
                    added, corrected = added + 1, corrected + (held is not None)
            connection.commit()
    return Distilled(len(keys), added, corrected)


def structure_of(numbers: dict[str, Numbers], node: str, day: date) -> dict[str, Any]:
    """The numbers of one node and day, bounded: counts, and shares in basis points."""

    def rows(name: str, of_day: date = day) -> list[dict[str, Any]]:
        return numbers[name].get((node, of_day), [])

    def only(name: str, absent: dict[str, Any]) -> dict[str, Any]:
        return (rows(name) or [absent])[0]

    def named(is_success: bool) -> list[dict[str, Any]]:
        found = [row for row in rows("examples") if row["is_success"] is is_success]
        return [{"decision_id": str(row["id"])} | {key: row[key] for key in ("action", "verdict", "reward_bp")} for row in found]

    decided, week_ago = rows("decided"), day - timedelta(days=COMPARED_DAYS)
    totals, before = _totals(decided), _totals(rows("decided", week_ago))
    return {
        "node": node,
        "day": day.isoformat(),
        "totals": totals,
        "actions": [{"action": row["action"]} | {name: row[name] for name in COUNTS} for row in decided[:MAX_ACTIONS]],
        "rules": [{key: row[key] for key in ("action", "rule", "decisions_count")} for row in rows("rules")[:MAX_RULES]],
        "answered": only("answered", dict.fromkeys(ANSWER_COUNTS, 0)),
        "outcomes": only("matured", {"matured_count": 0, "rewarded_count": 0, "reward_mean_bp": None}),
        "change": {
            "against": week_ago.isoformat(),
            "decisions_count_before": before["decisions_count"],
            "decisions_delta": totals["decisions_count"] - before["decisions_count"],
            "approved_bp": _share_bp(totals),
            "approved_before_bp": _share_bp(before),
        },
        "successes": named(True),
        "failures": named(False),
        "sources": dict(SOURCES),
    }


def embed_snapshots(url: str, chain_id: UUID, embedder: OpenAIEmbedder, first: date, after_last: date) -> int:
    """Place the words of these days' snapshots by a text model, each once; how many were added.

    Raises: EmbeddingRefused, PipelineUnavailable, BudgetSpent, with nothing added; DatabaseUnavailable.
    """
    model_id, dimension = embedder.model_id, embedder.dimension
    with connect(url, PIPELINE) as connection:
        register_model(connection, chain_id, model_id, dimension, embedder.parameters)
        missing = read_without_vector(connection, chain_id, model_id, dimension, _dawn(first), _dawn(after_last))
        connection.commit()
        vectors = embedder.embed_texts([summary for _, summary, _ in missing], [node for _, _, node in missing])
        rows = [(snapshot_id, text_digest(summary), vector) for (snapshot_id, summary, _), vector in zip(missing, vectors, strict=True)]
        add_snapshot_vectors(connection, chain_id, model_id, dimension, rows)
        connection.commit()
    return len(missing)


def _add(
    connection: psycopg.Connection,
    chain_id: UUID,
    size: int,
    facts: dict[str, Any],
    digest: bytes,
    supersedes: UUID | None,
    now: datetime,
    write: Writer,
) -> None:
    summary, written_by = write(facts)
    scope, day = f"{facts['node']}-daily", date.fromisoformat(facts["day"])
    add_snapshot(
        connection,
        {
            "chain": chain_id,
            "id": uuid5(_NAMESPACE, f"{chain_id}/{scope}/{day}/{digest.hex()}/{supersedes}"),
            "scope": scope,
            "node": facts["node"],
            "period_start": _dawn(day),
            "period_end": _dawn(day + timedelta(days=1)),
            "facts": facts,
            "summary": summary,
            "written_by": written_by,
            "cites": sorted({UUID(one["decision_id"]) for one in facts["successes"] + facts["failures"]}),
            "summary_vec": _ENCODER.encode(_point_of(facts)),
            "ledger_size": size,
            "facts_digest": digest,
            # What a day held was known when it ended; that it was otherwise, only now.
            "known_at": now if supersedes else _dawn(day + timedelta(days=1)),
            "supersedes": supersedes,
        },
    )


def _point_of(facts: dict[str, Any]) -> dict[str, int | str]:
    """What tells days apart: sizes and shares, not which day it was.

    A name more would move every point away from those that stand under the same model: overrides are in the structure alone.
    """
    shares = {"approved_bp": facts["change"]["approved_bp"], "reward_mean_bp": facts["outcomes"]["reward_mean_bp"]}
    counts = {"answered_count": facts["answered"]["answered_count"], "matured_count": facts["outcomes"]["matured_count"]}
    known = {name: value for name, value in shares.items() if value is not None}
    return {"node": facts["node"], **facts["totals"], **counts, **known}


def _totals(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in COUNTS}


def _share_bp(totals: dict[str, int]) -> int:
    """Approved of decided, rounded half up; 0 of nothing."""
    count = totals["decisions_count"]
    return (20_000 * totals["approved_count"] + count) // (2 * count) if count else 0


def _dawn(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
