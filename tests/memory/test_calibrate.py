"""Calibrations on a real database: the least that finds enough, at the moment of each past case, held to the exact answer."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from precedent.cli.calibrate import app
from precedent.db import migrate
from precedent.db.engine import API, PIPELINE, connect
from precedent.db.reads import Reads
from precedent.ledger.store import chain_id_of
from precedent.memory import calibrate as calibrating
from precedent.memory.calibrate import WANTED_RECALL, calibrate, probe
from precedent.memory.calibrate_store import Scope, index_scope, read_past
from precedent.memory.embed import TYPED_V1, vector_text
from precedent.memory.recall import Asked, Recall
from precedent.memory.recall_store import (
    SEARCH_INDEX,
    Calibration,
    newest_calibration,
    search,
    search_parameters,
)
from tests.bench.precedents import DAWN, plant

LARGE, SMALL, TINY = "finance/large", "finance/small", "finance/tiny"
COUNT = 2000
PREPARED = "select count(*) from pg_prepared_statements where position('hnsw' in statement) > 0 and position('pg_prep' in statement) = 0"
NOW = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def planted(module_database_url: str) -> tuple[str, UUID]:
    """1,600 cases of one action, 200 of another, 20 of a third, and some under another model."""
    return module_database_url, plant(module_database_url, COUNT, {LARGE: 0.8, SMALL: 0.1, TINY: 0.01})


@pytest.fixture(scope="module")
def calibrated(planted: tuple[str, UUID]) -> dict[str, Calibration]:
    return {f"{one.node}/{one.action}": one for one in calibrate(*planted, lambda: NOW)}


def test_an_action_with_many_cases_gets_an_index_and_the_least_that_finds_enough(
    planted: tuple[str, UUID], calibrated: dict[str, Calibration]
) -> None:
    url, chain_id = planted
    large = calibrated[LARGE]
    assert large.rows_count == 0.8 * COUNT
    assert large.ef_search in calibrating.EF_SEARCH
    assert large.recall_at_10 >= WANTED_RECALL
    with connect(url, PIPELINE) as connection:
        assert newest_calibration(connection, chain_id, TYPED_V1, "finance", "large", NOW) == large
        assert newest_calibration(connection, chain_id, TYPED_V1, "finance", "large", NOW - timedelta(seconds=1)) is None
        parameters = search_parameters(chain_id, TYPED_V1, LARGE, [vector_text(past_of(planted)[0].vector)], [2**50], 10, 40)
        plan = " ".join(line for (line,) in connection.execute(b"explain " + SEARCH_INDEX.encode(), parameters))
    assert "case_vectors_384_hnsw_" in plan
    migrate.check(url)


def test_one_with_few_is_searched_exactly(calibrated: dict[str, Calibration]) -> None:
    for scope in (SMALL, TINY):
        assert (calibrated[scope].ef_search, calibrated[scope].recall_at_10) == (None, 1)
    assert set(calibrated) == {LARGE, SMALL, TINY}, "not what another model placed"


def test_nearly_all_past_cases_had_their_nearest_within_the_distance_of_novelty(
    planted: tuple[str, UUID], calibrated: dict[str, Calibration]
) -> None:
    url, chain_id = planted
    with connect(url, PIPELINE) as connection:
        past = read_past(connection, chain_id, Scope(TYPED_V1, SMALL, 200, 200), 200)
        found = search(connection, chain_id, TYPED_V1, SMALL, [(one.vector, one.decided_us) for one in past], 1)
        # Held to the same by hand: those that had qualified when the case was decided, nearest first.
        by_hand = connection.execute(
            """
            select count(*), count(*) filter (where n.far <= %(limit)s) from precedent.decision_embeddings_384 c
            join precedent.decisions d on d.chain_id = c.chain_id and d.id = c.decision_id
            cross join lateral (
                select min(e.context_vec <=> c.context_vec) as far from precedent.decision_embeddings_384 e
                where e.chain_id = c.chain_id and e.model_id = c.model_id and e.scope = c.scope and e.qualified_at <= d.known_at
            ) n where c.model_id = %(model)s and c.scope = %(scope)s and n.far is not null
            """,
            {"limit": float(calibrated[SMALL].novelty_distance or 0) + 5e-7, "model": TYPED_V1, "scope": SMALL},
        ).fetchone()
    assert by_hand is not None
    cases, within = by_hand
    assert len([one for one in found if one.nearest]) == cases < 200, "the first cases had nothing before them"
    assert within == -(-99 * cases // 100)


def test_of_too_few_cases_no_distance_is_told(calibrated: dict[str, Calibration]) -> None:
    assert calibrated[TINY].novelty_distance is None


def test_no_case_is_asked_for_what_was_known_after_it(planted: tuple[str, UUID]) -> None:
    for one in past_of(planted):
        assert datetime.fromtimestamp(one.decided_us / 1e6, UTC) + timedelta(minutes=1) >= DAWN
    url, chain_id = planted
    with connect(url, PIPELINE) as connection:
        found = search(connection, chain_id, TYPED_V1, SMALL, [(one.vector, one.decided_us) for one in past_of(planted, SMALL)])
    assert all(held.distance_ppm > 0 for one in found for held in one.nearest), "else a case found itself"


def test_by_index_too_the_nearest_of_another_verdict_is_found_where_those_are_few_and_where_they_are_many(
    planted: tuple[str, UUID], calibrated: dict[str, Calibration]
) -> None:
    url, chain_id = planted
    asked = [(one.vector, int(NOW.timestamp()) * 1_000_000) for one in past_of(planted)]
    with connect(url, PIPELINE) as connection:
        exact = search(connection, chain_id, TYPED_V1, LARGE, asked)
        by_index = search(connection, chain_id, TYPED_V1, LARGE, asked, ef_search=calibrated[LARGE].ef_search)
    pairs = [(one, other) for one, other in zip(exact, by_index, strict=True) if one.nearest[0] == other.nearest[0]]
    # A fifth of 1,600 is denied: fewer than are compared one by one. The approved are more.
    of_few = [one.other == other.other for one, other in pairs if one.nearest[0].verdict == "approve"]
    of_many = [one.other == other.other for one, other in pairs if one.nearest[0].verdict == "deny"]
    assert len(of_few) > 10
    assert all(of_few)
    assert len(of_many) > 3
    assert sum(of_many) >= 0.9 * len(of_many)


def test_the_index_is_walked_however_often_a_connection_has_searched(planted: tuple[str, UUID], calibrated: dict[str, Calibration]) -> None:
    url, chain_id = planted
    ef_search = calibrated[LARGE].ef_search
    asked = [(one.vector, one.decided_us) for one in past_of(planted)][:3]

    async def by_decisions() -> int:
        reads = Reads(url, 1)
        await reads.open()
        recall = Recall(reads, chain_id)
        for vector, at_us in asked * 5:
            found = await recall._fetch_neighbours([Asked(TYPED_V1, LARGE, ef_search or 0, 10, vector_text(vector), at_us)])
            assert len(found) == 1
        ((held,),) = await reads.fetch(PREPARED)
        await reads.close()
        return int(held)

    with connect(url, PIPELINE, autocommit=True) as connection:
        for _ in range(15):
            search(connection, chain_id, TYPED_V1, LARGE, asked, ef_search=ef_search)
        assert connection.execute(PREPARED.encode()).fetchone() == (0,), "a plan for any action fits none"
    assert asyncio.run(by_decisions()) == 0


def test_an_index_that_finds_too_little_is_told_by_the_probe_and_not_used_by_the_next_calibration(
    planted: tuple[str, UUID], calibrated: dict[str, Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, chain_id = planted
    good = {one.scope: one for one in probe(url, chain_id, NOW)}
    assert all(one.is_enough for one in good.values())
    assert (good[LARGE].ef_search, good[SMALL].ef_search) == (calibrated[LARGE].ef_search, None)
    with connect(url, autocommit=True) as connection:
        # Of the same name, with so few links that whole parts of it can't be reached.
        ((name, definition),) = connection.execute("select indexname, indexdef from pg_indexes where indexname like '%hnsw%'").fetchall()
        connection.execute(f"drop index precedent.{name}".encode())
        connection.execute(re.sub(r" WITH \(.*?\)", " with (m = 2, ef_construction = 4)", definition).encode())
        damaged = {one.scope: one for one in probe(url, chain_id, NOW)}
        farther = {f"{one.node}/{one.action}": one for one in calibrate(url, chain_id, lambda: NOW + timedelta(days=1))}
        monkeypatch.setattr(calibrating, "EF_SEARCH", (calibrated[LARGE].ef_search,))
        exactly = {f"{one.node}/{one.action}": one for one in calibrate(url, chain_id, lambda: NOW + timedelta(days=2))}
        connection.execute(f"drop index precedent.{name}".encode())
        connection.execute(definition.encode())
    assert (damaged[LARGE].is_enough, damaged[SMALL].is_enough) == (False, True)
    assert (farther[LARGE].ef_search or 0) > (calibrated[LARGE].ef_search or 0)
    assert (exactly[LARGE].ef_search, exactly[LARGE].recall_at_10) == (None, 1), "slower, and never wrong"
    assert {one.scope: one for one in probe(url, chain_id, NOW)} == good


def test_what_is_measured_of_an_index_is_never_the_exact_scan_of_a_plan_that_knows_no_scope(planted: tuple[str, UUID]) -> None:
    url, chain_id = planted
    asked = [(one.vector, one.decided_us) for one in past_of(planted)[:50]]
    with connect(url, PIPELINE) as connection:
        for _ in range(12):
            search(connection, chain_id, TYPED_V1, LARGE, asked, ef_search=40)
        prepared = connection.execute(PREPARED.encode()).fetchone()
    assert prepared == (0,)


def test_an_index_is_made_once_and_of_nothing_small(planted: tuple[str, UUID], calibrated: dict[str, Calibration]) -> None:
    url, chain_id = planted
    with connect(url, PIPELINE) as connection:
        assert not index_scope(connection, chain_id, Scope(TYPED_V1, LARGE, 1600, 1600))
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="too few"):
            index_scope(connection, chain_id, Scope(TYPED_V1, SMALL, 10**6, 10**6))
    with connect(url, API) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        index_scope(connection, chain_id, Scope(TYPED_V1, LARGE, 1600, 1600))


def test_an_empty_ledger_has_nothing_to_calibrate(database_url: str) -> None:
    with connect(database_url) as connection:
        chain_id = chain_id_of(connection, "main")
    assert calibrate(database_url, chain_id, lambda: NOW) == []
    assert probe(database_url, chain_id, NOW) == []


def past_of(planted: tuple[str, UUID], scope: str = LARGE) -> list[calibrating.Past]:
    url, chain_id = planted
    with connect(url, PIPELINE) as connection:
        return read_past(connection, chain_id, Scope(TYPED_V1, scope, 0, 0), 50)


def test_the_command_says_how_each_action_is_searched(planted: tuple[str, UUID], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", planted[0])
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    large, small, tiny = CliRunner().invoke(app, [], catch_exceptions=False).output.splitlines()
    assert large.startswith("finance/large: 1600 cases, by index, ef_search ")
    assert small.startswith("finance/small: 200 cases, exactly, recall 1.000, novel beyond 0.")
    assert tiny == "finance/tiny: 20 cases, exactly, recall 1.000, too few cases: every one is novel"
