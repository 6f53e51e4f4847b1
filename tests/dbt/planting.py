"""Plants rows of the projections as the append function would leave them, without the ledger behind them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid5

import psycopg
from psycopg.types.json import Jsonb

NAMESPACE = UUID("7ac8f8a0-8d1e-4f36-9d3e-9a1c5a2b6c10")

DECISION = """
insert into precedent.decisions (
    chain_id, id, seq, node, action, policy_version, policy_digest, variant, inputs, output, verdict, autonomy_level, rule, reason,
    effective, requires_human, latency_ms, ts, known_at, recorded_at, correlation_id, entities, principal, imported, prev_hash, hash,
    probabilities
) values (
    %(chain)s, %(id)s, %(seq)s, %(node)s, %(action)s, %(policy)s, '00', 'A', '{}', '{}', %(verdict)s, %(level)s, 'rule', 'REASON',
    %(effective)s, %(human)s, %(latency_ms)s, %(ts)s, %(at)s, %(at)s, 'planted', %(entities)s, 'test', true, '', '',
    %(probabilities)s
)
"""
OUTCOME = """
insert into precedent.outcomes (
    chain_id, decision_id, revision, id, seq, recorded_at, known_at, observed_at, metrics, reward, counted, principal, imported,
    correlation_id
) values (
    %(chain)s, %(decision)s, %(revision)s, %(id)s, %(seq)s, %(at)s, %(at)s, %(at)s, %(metrics)s, %(reward)s, true, 'test', true, 'planted'
)
"""


def instant(text: str) -> datetime:
    """`2026-03-01` or `2026-03-01T12:00`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Planter:
    """Adds rows in seq order to the chain `main`; `seq` is the size that the ledger would have."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        row = connection.execute("select id from ledger.chain where name = 'main'").fetchone()
        assert row is not None
        self.chain_id: UUID = row[0]
        self.seq = 0
        self.revisions: dict[UUID, int] = {}

    @property
    def prefix(self) -> dict[str, int]:
        """The cut that holds everything planted so far."""
        return {str(self.chain_id): self.seq}

    def decision(
        self,
        at: str,
        *,
        customer: str | None = None,
        node: str = "finance",
        action: str = "approve_discount",
        verdict: str = "approve",
        level: int = 2,
        policy: str = "finance-constitution@1.0.0",
        latency_ms: float = 1.0,
        happened: str | None = None,
        probabilities: dict[str, int] | None = None,
    ) -> UUID:
        """A decision known at `at`; `happened` where its own time is another; `probabilities` in ppm by variant where it was drawn."""
        decision_id = self._next_id()
        self.connection.execute(
            DECISION,
            {
                "chain": self.chain_id,
                "id": decision_id,
                "seq": self.seq - 1,
                "node": node,
                "action": action,
                "policy": policy,
                "verdict": verdict,
                "level": level,
                "effective": verdict == "approve",
                "human": verdict == "escalate",
                "latency_ms": latency_ms,
                "at": instant(at),
                "ts": instant(happened or at),
                "entities": Jsonb({"customer": customer} if customer else {}),
                "probabilities": probabilities and Jsonb(probabilities),
            },
        )
        return decision_id

    def outcome(self, decision_id: UUID, at: str, *, won: bool, reward: float | None = None) -> None:
        """The decision's outcome; a second call corrects the first."""
        outcome_id = self._next_id()
        self.revisions[decision_id] = self.revisions.get(decision_id, 0) + 1
        self.connection.execute(
            OUTCOME,
            {
                "chain": self.chain_id,
                "decision": decision_id,
                "revision": self.revisions[decision_id],
                "id": outcome_id,
                "seq": self.seq - 1,
                "at": instant(at),
                "metrics": Jsonb({"won": won}),
                "reward": float(won) if reward is None else reward,
            },
        )

    def _next_id(self) -> UUID:
        self.seq += 1
        return uuid5(NAMESPACE, f"{self.chain_id}/{self.seq}")
