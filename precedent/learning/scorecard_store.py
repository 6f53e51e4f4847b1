"""SQL of scorecards: what the panel of variants comes to by version, and the rows of a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from uuid import UUID

import psycopg

from precedent.learning.scorecard import Card, Tally

# What the panel holds follows from the entries up to the highest that went into it: later ones opened cases and closed none.
TALLIES = """
select node, action, policy_version, count(*), count(reward) filter (where counted), coalesce(sum(reward) filter (where counted), 0),
       max(max(changed_seq)) over () + 1
from analytics.variant_panel where chain_id = %s
group by node, action, policy_version order by node, action, policy_version
"""
SOURCE = sha256(TALLIES.encode()).hexdigest()[:16]
# A version never leaves the panel, so what is written over is all that the day had.
WRITE = """
insert into precedent.variant_scorecards as s (
    chain_id, computed_on, node, action, policy_version, matured_count, rewarded_count, reward_sum, reward_mean, low, high, is_best,
    ledger_size
) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (chain_id, computed_on, node, action, policy_version) do update
set matured_count = excluded.matured_count, rewarded_count = excluded.rewarded_count, reward_sum = excluded.reward_sum,
    reward_mean = excluded.reward_mean, low = excluded.low, high = excluded.high, is_best = excluded.is_best,
    ledger_size = excluded.ledger_size
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """The panel by version, in order; `size` entries of the ledger went into it."""

    tallies: tuple[Tally, ...]
    size: int


def read_panel(connection: psycopg.Connection, chain_id: UUID) -> Panel | None:
    """None before dbt has built the panel. One pass over every decision with an outcome."""
    try:
        rows = connection.execute(TALLIES, (chain_id,)).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        connection.rollback()
        return None
    return Panel(tuple(Tally(*row[:-1]) for row in rows), rows[0][-1] if rows else 0)


def write_cards(connection: psycopg.Connection, chain_id: UUID, computed_on: date, cards: Sequence[Card], size: int) -> None:
    """The day's rows; the caller commits."""
    with connection.cursor() as cursor:
        cursor.executemany(WRITE, [(chain_id, computed_on, *_values(card), size) for card in cards])


def _values(card: Card) -> tuple[object, ...]:
    one = card.tally
    counts = (one.node, one.action, one.policy_version, one.matured_count, one.rewarded_count, one.reward_sum)
    return (*counts, card.reward_mean, card.low, card.high, card.is_best_probability)
