import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from precedent.clock import to_instant
from precedent.db.reads import Reads
from precedent.memory.features import FeatureReader

CHAIN = uuid4()
DAY_US = 86_400_000_000
NOW_US = 20_000 * DAY_US
DECLARED = {"customer.discounts_30d": 0, "customer.win_rate_90d": 5000}


class Counted(Reads):
    """Counts what it is asked."""

    asked = 0

    async def fetch(self, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        self.asked += 1
        return await super().fetch(statement, parameters)


def with_reader(url: str, use: Callable[[FeatureReader, Counted], Awaitable[Any]], chain_id: UUID = CHAIN) -> Any:
    async def run() -> Any:
        reads = Counted(url, 2)
        await reads.open()
        try:
            return await use(FeatureReader(reads, chain_id), reads)
        finally:
            await reads.close()

    return asyncio.run(run())


@pytest.fixture
def features_url(database_url: str) -> str:
    """A database in which the pipeline has run: one row about C-1 each day for three days, and one about another entity."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "create table analytics.entity_features (chain_id uuid, entity_type text, entity_id text, known_at timestamptz, features jsonb)"
        )
        connection.execute("grant select on analytics.entity_features to precedent_api")
        rows = [
            (CHAIN, "customer", "C-1", to_instant(NOW_US - 2 * DAY_US), {"discounts_30d": 1, "win_rate_90d": 1000}),
            (CHAIN, "customer", "C-1", to_instant(NOW_US - DAY_US), {"discounts_30d": 2, "win_rate_90d": None, "other": 7}),
            (CHAIN, "customer", "C-1", to_instant(NOW_US + 1), {"discounts_30d": 3, "win_rate_90d": 3000}),
            (CHAIN, "deal", "C-1", to_instant(NOW_US - DAY_US), {"discounts_30d": 9}),
            (uuid4(), "customer", "C-1", to_instant(NOW_US), {"discounts_30d": 8}),
        ]
        connection.cursor().executemany(
            "insert into analytics.entity_features values (%s, %s, %s, %s, %s)", [(*row[:4], Jsonb(row[4])) for row in rows]
        )
    return database_url


@pytest.mark.parametrize(
    ("at_us", "expected"),
    [
        (NOW_US - 2 * DAY_US - 1, {}),
        (NOW_US - 2 * DAY_US, {"customer.discounts_30d": 1, "customer.win_rate_90d": 1000}),
        (NOW_US - DAY_US - 1, {"customer.discounts_30d": 1, "customer.win_rate_90d": 1000}),
        (NOW_US, {"customer.discounts_30d": 2}),
        (NOW_US + 1, {"customer.discounts_30d": 3, "customer.win_rate_90d": 3000}),
    ],
)
def test_the_newest_row_that_was_known_is_read(features_url: str, at_us: int, expected: dict[str, int]) -> None:
    assert with_reader(features_url, lambda reader, _: reader.read({"customer": "C-1"}, DECLARED, at_us)) == expected


def test_an_unknown_entity_has_no_features(features_url: str) -> None:
    assert with_reader(features_url, lambda reader, _: reader.read({"customer": "C-2"}, DECLARED, NOW_US)) == {}


def test_what_no_policy_declared_is_not_looked_up(features_url: str) -> None:
    async def use(reader: FeatureReader, reads: Counted) -> None:
        assert await reader.read({"deal": "C-1"}, DECLARED, NOW_US) == {}
        assert await reader.read({"customer": "C-1"}, {}, NOW_US) == {}
        assert reads.asked == 0

    with_reader(features_url, use)


def test_another_chains_features_are_not_seen(features_url: str) -> None:
    assert with_reader(features_url, lambda reader, _: reader.read({"customer": "C-1"}, DECLARED, NOW_US), uuid4()) == {}


def test_before_the_pipeline_has_run_nothing_is_known(database_url: str) -> None:
    assert with_reader(database_url, lambda reader, _: reader.read({"customer": "C-1"}, DECLARED, NOW_US)) == {}


def test_requests_in_flight_share_a_query_and_each_gets_its_own(features_url: str) -> None:
    async def use(reader: FeatureReader, reads: Counted) -> None:
        await reader.read({"customer": "C-1"}, DECLARED, NOW_US)
        reads.asked = 0
        asked = [reader.read({"customer": f"C-{n % 2 + 1}"}, DECLARED, NOW_US + n % 3 - 1) for n in range(60)]
        found = await asyncio.gather(*asked)
        assert reads.asked <= 2
        assert [len(one) for one in found] == [0 if n % 2 else (2 if n % 3 == 2 else 1) for n in range(60)]

    with_reader(features_url, use)
