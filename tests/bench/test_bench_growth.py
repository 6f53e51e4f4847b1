"""The chain is filled to the sizes that are named, and each of them has its figure."""

from __future__ import annotations

from pathlib import Path

import psutil
import psycopg

from precedent.db.embedded import EmbeddedPostgres
from tests.bench.growth import Sizes, measure_growth
from tests.bench.stack import running_api


def test_memory_and_cost_are_read_at_the_sizes_that_are_named(server: EmbeddedPostgres, database_url: str, tmp_path: Path) -> None:
    told: list[str] = []
    with running_api(tmp_path, database_url) as api:
        part = measure_growth(api, psutil.Process(server.identity.pid), Sizes(1000, 2000, 3000, 4000), 1, told.append)
    assert [goal.wanted for goal in part.goals] == [5, 1.2]
    assert part.goals[1].found > 0
    assert len(list(part.rows)) == 3
    assert [words.split()[1] for words in told] == ["1,000", "2,000", "3,000", "4,000"]
    with psycopg.connect(database_url) as connection:
        (decided,) = connection.execute("select count(*) from precedent.decisions").fetchone() or (0,)
    assert decided >= 4000
