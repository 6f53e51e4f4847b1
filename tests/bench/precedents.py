"""How well and how fast precedents are found among many vectors, by actions that have very different shares of them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter
from uuid import UUID

import psycopg
from pgvector import Vector
from pgvector.psycopg import register_vector

from precedent.db.engine import PIPELINE, connect
from precedent.ledger.store import chain_id_of
from precedent.memory.calibrate import WANTED_RECALL, calibrate
from precedent.memory.embed import TYPED_V1, Fact, TypedEncoder, typed_model_id
from precedent.memory.embedder import TypedEmbedder
from precedent.memory.embedding_store import register_model, serve_model
from precedent.memory.ranks import freeze_ranks
from precedent.memory.recall_store import Calibration, Neighbours, search
from tests.bench.policies import best
from tests.bench.report import Goal, Part

# Of all vectors; the rest are of another model, which is being filled.
SHARES = {"finance/half": 0.5, "finance/tenth": 0.1, "finance/rare": 0.03, "finance/rarest": 0.005}
ASKED = 100
DAWN = datetime(2026, 1, 1, tzinfo=UTC)
NOTE = (
    "*Precedents*: vectors of seven facts, planted past the ledger, one qualified each second; every action calibrated as `recall_probe` "
    f"does it, then {ASKED} new cases asked one after the other, of which the first few find nothing in the cache, and held to the exact "
    "answer. Early means that they were asked when a tenth of the vectors was known."
)

COLUMNS = "chain_id, model_id, decision_id, scope, seq, verdict, by_person, qualified_at, input_digest, context_vec"
TYPES = ("uuid", "text", "uuid", "text", "int8", "text", "bool", "timestamptz", "bytea", "vector")
# Each was decided a minute before it qualified.
DECISIONS = """
insert into precedent.decisions (
    chain_id, id, seq, node, action, policy_version, policy_digest, variant, inputs, output, verdict, autonomy_level, rule, reason,
    effective, requires_human, latency_ms, ts, known_at, recorded_at, correlation_id, entities, principal, imported, prev_hash, hash
)
select e.chain_id, e.decision_id, e.seq, split_part(e.scope, '/', 1), split_part(e.scope, '/', 2), 'planted@1.0.0', '', 'A', '{}', '{}',
       e.verdict, 2, 'r', '', true, false, 1, d.at, d.at, e.qualified_at, '', '{}', 'bench', false, '', ''
from precedent.decision_embeddings_384 e cross join lateral (select e.qualified_at - interval '1 minute' as at) d
where e.model_id = %s
"""


def facts_of(draw: random.Random) -> dict[str, Fact]:
    return {
        "deal_value": int(2 ** draw.gauss(20, 2.5)),
        "base_margin_pct": draw.randint(500, 6000),
        "requested_discount_pct": int(draw.expovariate(1 / 800)),
        "quantity": 1 + int(draw.expovariate(1 / 40)),
        "customer_tier": draw.choice("AABBBC"),
        "region": draw.choice(["north", "south", "east", "west"]),
        "is_renewal": draw.random() < 0.4,
    }


def plant(url: str, count: int, shares: Mapping[str, float], seed: int = 1) -> UUID:
    """`count` vectors, by action as `shares` say; the decisions of those that are searched. The chain's id."""
    draw, encoder = random.Random(seed), TypedEncoder()
    scopes = [scope for scope, share in shares.items() for _ in range(round(share * count))]
    scopes += [""] * (count - len(scopes))
    draw.shuffle(scopes)
    with connect(url) as connection:
        chain_id = chain_id_of(connection, "main")
        register_vector(connection)
        for model_id in (TYPED_V1, "another"):
            register_model(connection, chain_id, model_id, encoder.dimension, TypedEmbedder().parameters)
        serve_model(connection, chain_id, TYPED_V1)
        statement = f"copy precedent.decision_embeddings_384 ({COLUMNS}) from stdin with (format binary)"
        with connection.cursor().copy(statement.encode()) as copy:
            copy.set_types(TYPES)
            for number, scope in enumerate(scopes):
                model_id, named = (TYPED_V1, scope) if scope else ("another", "finance/half")
                verdict = "deny" if draw.random() < 0.2 else "approve"
                at = DAWN + timedelta(seconds=number)
                vector = Vector(encoder.encode(facts_of(draw)))
                copy.write_row((chain_id, model_id, UUID(int=1 + number), named, number, verdict, False, at, b"", vector))
        connection.execute(DECISIONS.encode(), (TYPED_V1,))
        connection.commit()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze precedent.decision_embeddings_384, precedent.decisions")
    return chain_id


def measure_precedents(url: str, count: int) -> Part:
    """On a fresh database."""
    chain_id = plant(url, count, SHARES)
    began = perf_counter()
    calibrations = calibrate(url, chain_id, lambda: DAWN)
    seconds = perf_counter() - began
    goals, rows = [], [["calibration of these actions, their indexes made first", f"{seconds:.0f} s"]]
    with connect(url, PIPELINE, autocommit=True) as connection:
        register_vector(connection)
        for one in sorted(calibrations, key=lambda one: -one.rows_count):
            name = f"{one.rows_count / count:.1%} of {count:,} vectors"
            recall, p50_ms, _ = _asked(connection, chain_id, one, count)
            early_recall, early_ms, exact_ms = _asked(connection, chain_id, one, count // 10)
            goals.append(Goal(f"precedents' recall@10 among {name}", recall, float(WANTED_RECALL)))
            goals.append(Goal(f"precedents among {name}, p50", p50_ms, 5, " ms", at_least=False))
            how = f"ef_search {one.ef_search}" if one.ef_search else "exactly"
            rows.append(
                [f"precedents among {name}, {how}", f"early: recall {early_recall:.3f}, {early_ms:.2f} ms, exactly {exact_ms:.2f} ms"]
            )
    plain, ranked = encoder_us()
    goals.append(Goal("a case to its vector", plain, 200, " µs", at_least=False))
    goals.append(Goal("a case to its vector, numbers by rank", ranked, 200, " µs", at_least=False))
    return Part(goals, rows, NOTE)


def encoder_us(rounds: int = 9, loops: int = 500) -> tuple[float, float]:
    """Microseconds for seven facts, by the default and by a model with tables of ranks; the best round."""
    draw = random.Random(5)
    ranks = freeze_ranks([facts_of(draw) for _ in range(1000)])
    facts = facts_of(draw)
    encoders = TypedEncoder(), TypedEncoder(typed_model_id({}, ranks), None, ranks)
    plain, ranked = (best(lambda encoder=encoder: encoder.encode(facts), rounds, loops) * 1e6 for encoder in encoders)  # type: ignore[misc]
    return plain, ranked


def _asked(connection: psycopg.Connection, chain_id: UUID, one: Calibration, known: int) -> tuple[float, float, float]:
    """Recall, and p50 in ms of this search and of the exact one, for new cases that are asked when so many were known."""
    draw, encoder = random.Random(7), TypedEncoder()
    at_us = int((DAWN + timedelta(seconds=known)).timestamp()) * 1_000_000
    cases = [(encoder.encode(facts_of(draw)), at_us) for _ in range(ASKED)]
    scope = f"{one.node}/{one.action}"

    def ask(ef_search: int | None) -> tuple[list[Neighbours], float]:
        found, seconds = [], []
        for case in cases:
            began = perf_counter()
            found += search(connection, chain_id, one.model_id, scope, [case], ef_search=ef_search)
            seconds.append(perf_counter() - began)
        return found, 1000 * median(seconds)

    found, p50_ms = ask(one.ef_search)
    exact, exact_ms = ask(None)
    wanted = sum(len(held.nearest) for held in exact)
    hits = sum(
        near.distance_ppm <= held.nearest[-1].distance_ppm
        for held, got in zip(exact, found, strict=True)
        if held.nearest
        for near in got.nearest
    )
    return (hits / wanted if wanted else math.nan), p50_ms, exact_ms
