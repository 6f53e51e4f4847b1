"""SQL of the counters by variant. The append writes them with each outcome; here they are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

VARIANTS = """
select experiment, variant, alpha, beta, updated_at
from precedent.policy_variants_stats
where chain_id = %(chain_id)s and (%(experiment)s::text is null or experiment = %(experiment)s)
order by experiment, variant
"""


@dataclass(frozen=True, slots=True)
class VariantStats:
    """`experiment` is node/action, `variant` a full policy reference; alpha and beta are 1 plus the rewards won and lost."""

    experiment: str
    variant: str
    alpha: Decimal
    beta: Decimal
    updated_at: datetime

    @property
    def rewarded_count(self) -> Decimal:
        """Outcomes that count."""
        return self.alpha + self.beta - 2

    @property
    def reward_sum(self) -> Decimal:
        return self.alpha - 1


def read_variants(connection: psycopg.Connection[Any], chain_id: UUID, experiment: str | None = None) -> list[VariantStats]:
    """The counters of one experiment, or of all."""
    with connection.cursor(row_factory=class_row(VariantStats)) as cursor:
        return cursor.execute(VARIANTS, {"chain_id": chain_id, "experiment": experiment}).fetchall()
