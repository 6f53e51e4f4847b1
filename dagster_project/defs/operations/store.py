"""SQL of the shell: which days that are over came to know something since a prefix."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import psycopg

# By seq, which both tables have an index of: the cost is that of what is new.
LATE_DAYS = """
select min(day), max(day)
from (
    select (known_at at time zone 'UTC')::date as day from precedent.outcomes
    where chain_id = %(chain)s and seq >= %(from)s and seq < %(below)s
    union all
    select (known_at at time zone 'UTC')::date from precedent.decisions
    where chain_id = %(chain)s and seq >= %(from)s and seq < %(below)s
) known
where day < %(today)s
"""


def read_late_days(connection: psycopg.Connection, chain_id: UUID, from_size: int, below: int, today: date) -> tuple[date, date] | None:
    """First and last of the days before `today` on which a decision or outcome among these entries was known; None without any."""
    parameters = {"chain": chain_id, "from": from_size, "below": below, "today": today}
    row = connection.execute(LATE_DAYS, parameters).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])
