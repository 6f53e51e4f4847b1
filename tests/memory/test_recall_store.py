"""The search of precedents on a real database: one order whichever way, nothing of later, and settings that end with the statement."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest
from pgvector import Vector
from pgvector.psycopg import register_vector

from precedent.db.engine import API, PIPELINE, connect
from precedent.ledger.store import chain_id_of
from precedent.memory.embed import TYPED_V1, TypedEncoder, vector_text
from precedent.memory.recall_store import (
    SEARCH_INDEX,
    Calibration,
    Found,
    Neighbours,
    add_calibration,
    newest_calibration,
    search,
    search_parameters,
)

SCOPE = "finance/approve_discount"
DAWN = datetime(2026, 3, 1, tzinfo=UTC)
DAWN_US = int(DAWN.timestamp()) * 1_000_000
HOUR_US = 3_600_000_000
ENCODER = TypedEncoder()


def case(number: int) -> list[float]:
    draw = random.Random(number)
    facts = {"deal_value": draw.randint(100, 10**7), "requested_discount_pct": draw.randint(0, 3000), "tier": draw.choice("ABC")}
    return ENCODER.encode(facts)


@pytest.fixture(scope="module")
def filled_url(module_database_url: str) -> str:
    """300 vectors of one scope, one qualified each hour, and as many of another scope; a fifth was denied."""
    with connect(module_database_url, PIPELINE) as connection:
        register_vector(connection)
        chain_id = chain_id_of(connection, "main")
        rows = [
            (
                *(chain_id, TYPED_V1, UUID(int=1 + number + 1000 * place), scope, number, "deny" if number % 5 == 0 else "approve", False),
                *(DAWN + timedelta(hours=number), b"", Vector(case(number))),
            )
            for place, scope in enumerate((SCOPE, "finance/other"))
            for number in range(300)
        ]
        connection.cursor().executemany(
            """insert into precedent.decision_embeddings_384 (chain_id, model_id, decision_id, scope, seq, verdict, by_person, qualified_at,
               input_digest, context_vec) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            rows,
        )
        connection.commit()
    # As `precedent.index_scope` makes one, which asks for more rows.
    with connect(module_database_url) as connection:
        connection.execute(
            "create index case_vectors_384_hnsw_planted on precedent.case_vectors_384"
            f" using hnsw (context_vec vector_cosine_ops) where chain_id = '{chain_id}' and model_id = '{TYPED_V1}' and scope = '{SCOPE}'"
        )
    return module_database_url


@pytest.fixture
def connection(filled_url: str) -> Iterator[psycopg.Connection]:
    with connect(filled_url, PIPELINE) as connection:
        yield connection


def chain_of(connection: psycopg.Connection) -> UUID:
    return chain_id_of(connection, "main")


def test_the_exact_search_gives_the_nearest_in_order_and_the_nearest_with_another_verdict(connection: psycopg.Connection) -> None:
    asked = case(7_000)
    (found,) = search(connection, chain_of(connection), TYPED_V1, SCOPE, [(asked, DAWN_US + 1000 * HOUR_US)])
    by_hand = sorted((round(1e6 * (1 - sum(a * b for a, b in zip(asked, case(number), strict=True)))), -number) for number in range(300))
    assert [one.decision_id.int - 1 for one in found.nearest] == [-number for _, number in by_hand[:10]]
    assert all(abs(one.distance_ppm - far) <= 1 for one, (far, _) in zip(found.nearest, by_hand, strict=False))
    first = found.nearest[0].verdict
    others = [-number for _, number in by_hand if ("deny" if -number % 5 == 0 else "approve") != first]
    assert found.other is not None
    assert found.other.decision_id.int - 1 == others[0]


def test_nothing_that_qualified_after_the_moment_is_found(connection: psycopg.Connection) -> None:
    asked = [(case(number), DAWN_US + number * HOUR_US) for number in (0, 3, 150)]
    for ef_search in (None, 400):
        found = search(connection, chain_of(connection), TYPED_V1, SCOPE, asked, ef_search=ef_search)
        assert [len(one.nearest) for one in found] == [1, 4, 10]
        for (_, at_us), one in zip(asked, found, strict=True):
            held = (*one.nearest, one.other) if one.other else one.nearest
            assert all(held_one.decision_id.int - 1 <= (at_us - DAWN_US) // HOUR_US for held_one in held)


def test_the_index_finds_the_same_where_it_looks_far_enough_and_leaves_its_settings_behind(connection: psycopg.Connection) -> None:
    asked = [(case(9_000 + number), DAWN_US + 1000 * HOUR_US) for number in range(20)]
    exact = search(connection, chain_of(connection), TYPED_V1, SCOPE, asked)
    connection.commit()
    connection.autocommit = True
    connection.execute("set enable_seqscan = off")
    connection.execute("set enable_bitmapscan = off")
    connection.execute("set enable_sort = off")
    before = connection.execute("select current_setting('hnsw.ef_search')").fetchone()
    assert search(connection, chain_of(connection), TYPED_V1, SCOPE, asked, ef_search=600) == exact
    parameters = search_parameters(chain_of(connection), TYPED_V1, SCOPE, [vector_text(case(1))], [DAWN_US], 10, 40)
    plan = connection.execute(b"explain " + SEARCH_INDEX.encode(), parameters).fetchall()
    assert any("case_vectors_384_hnsw_planted" in line for (line,) in plan)
    with pytest.raises(psycopg.errors.InvalidParameterValue):  # what says how far to look is obeyed
        search(connection, chain_of(connection), TYPED_V1, SCOPE, asked, ef_search=0)
    assert connection.execute("select current_setting('hnsw.ef_search')").fetchone() == before


def test_a_scope_of_which_nothing_is_known_has_no_neighbours(connection: psycopg.Connection) -> None:
    asked = [(case(1), DAWN_US + 1000 * HOUR_US)]
    assert search(connection, chain_of(connection), TYPED_V1, "finance/unheard_of", asked) == [Neighbours()]
    assert search(connection, chain_of(connection), "another-model", SCOPE, asked) == [Neighbours()]
    assert search(connection, uuid4(), TYPED_V1, SCOPE, asked) == [Neighbours()]


def test_the_newest_calibration_before_the_moment_counts_and_none_is_changed(connection: psycopg.Connection, filled_url: str) -> None:
    chain_id = chain_of(connection)
    rows = [
        Calibration(
            TYPED_V1, "finance", "approve_discount", DAWN + timedelta(days=day), 100 * day, ef, Decimal("0.9900"), Decimal("0.412345")
        )
        for day, ef in ((1, None), (2, 120))
    ]
    for row in rows:
        add_calibration(connection, chain_id, row)
    connection.commit()

    def at(moment: datetime) -> Calibration | None:
        return newest_calibration(connection, chain_id, TYPED_V1, "finance", "approve_discount", moment)

    assert [at(DAWN), at(rows[0].measured_at), at(rows[1].measured_at), at(DAWN + timedelta(days=99))] == [None, *rows, rows[1]]
    for role, statement in (
        (PIPELINE, "update precedent.recall_calibrations set ef_search = 1"),
        (API, "delete from precedent.recall_calibrations"),
    ):
        with connect(filled_url, role) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(statement.encode())
    with connect(filled_url, API) as reader:
        assert newest_calibration(reader, chain_id, TYPED_V1, "finance", "approve_discount", DAWN + timedelta(days=1)) == rows[0]


def test_found_rows_are_values(connection: psycopg.Connection) -> None:
    (found,) = search(connection, chain_of(connection), TYPED_V1, SCOPE, [(case(5), DAWN_US + 1000 * HOUR_US)], k=1)
    assert found.nearest == (Found(UUID(int=6), "deny", False, 0, None),)
