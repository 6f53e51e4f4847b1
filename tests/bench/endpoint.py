"""The decision endpoint beside the no-op: rounds A B C A B C …, so that a noisy neighbour hits all alike, and medians of them."""

from __future__ import annotations

import json
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import psutil

from precedent.db.engine import API, connect
from tests.bench.clients import Figures, Target, run_load
from tests.bench.cpu import cpu_seconds
from tests.bench.stack import Api, Served

CONNECTIONS = (1, 16, 64)
CUSTOMERS = 50
FACTS = {"deal_value": 12000, "base_margin_pct": 0.31, "requested_discount_pct": 0.08, "customer_tier": "A"}
PATH = "/decisions/finance"
NOOP, PLAIN, WITH_CUSTOMER, WITH_KEY = "no-op", "decision", "decision with a customer", "decision with a customer and a key"

# What dbt would have made of a month, in its columns and with its index; a real run sees a day only after that day.
_FEATURES = """
create table analytics.entity_features (
    chain_id uuid, entity_type text, entity_id text, as_of_date date, known_at timestamptz, features jsonb);
create unique index on analytics.entity_features (chain_id, entity_type, entity_id, known_at);
insert into analytics.entity_features
select s.chain_id, 'customer', s.subject_id::text, d::date, d, '{"discounts_30d": 3, "win_rate_90d": 5200}'
from precedent.subjects s, generate_series(now() - interval '30 days', now(), interval '1 day') d;
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run, and the processor time of its server and of PostgreSQL, in microseconds a request."""

    figures: Figures
    api_cpu_us: float
    postgres_cpu_us: float


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """Medians over the rounds; `of_noop` is the median of each round's own ratio."""

    endpoint: str
    connections: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    of_noop: float
    api_cpu_us: float
    postgres_cpu_us: float


def measure_endpoints(
    api: Api, noop: Served, postgres: psutil.Process, rounds: int, seconds: int, tell: Callable[[str], None]
) -> list[EndpointRow]:
    """One row an endpoint and number of connections.

    Raises: LoadFailed; AssertionError where an endpoint doesn't answer what is measured.
    """
    targets = _targets(api, noop)
    _require_right_answers(targets)
    for target, _ in targets.values():
        run_load(target, 16, 1)
    _plant_features(api)
    run_load(targets[WITH_CUSTOMER][0], 16, 1)
    samples: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for turn in range(rounds):
        tell(f"endpoints: round {turn + 1} of {rounds}")
        for connections in CONNECTIONS:
            for name, (target, server) in targets.items():
                samples[name, connections].append(_measure(target, server, postgres, connections, seconds))
    return [_summarise(name, connections, samples) for name in targets for connections in CONNECTIONS]


def _targets(api: Api, noop: Served) -> dict[str, tuple[Target, psutil.Process]]:
    with_key = named_target(api)
    plain = replace(with_key, bodies=[_body()], has_keys=False)
    return {
        NOOP: (replace(plain, url=noop.url + PATH), noop.process),
        PLAIN: (plain, api.served.process),
        WITH_CUSTOMER: (replace(with_key, has_keys=False), api.served.process),
        WITH_KEY: (with_key, api.served.process),
    }


def named_target(api: Api) -> Target:
    """Decisions about customers, whose features are looked up, each under an Idempotency-Key of its own."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api.token}"}
    bodies = [named_body(number) for number in range(CUSTOMERS)]
    return Target(api.served.url + PATH, headers, bodies, has_keys=True)


def named_body(customer: int) -> bytes:
    return _body(customer_id=f"customer-{customer:03d}")


def _body(**more: str) -> bytes:
    return json.dumps({"action": "approve_discount", "facts": FACTS | more}).encode()


def _require_right_answers(targets: dict[str, tuple[Target, psutil.Process]]) -> None:
    for name, (target, _) in targets.items():
        request = urllib.request.Request(target.url, target.bodies[0], dict(target.headers))  # loopback: Target saw to that
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
            assert response.status == 201, name
        assert (answer["verdict"], answer["autonomy_level"], answer["rule"]) == ("approve", 2, "broad"), (name, answer)


def _plant_features(api: Api) -> None:
    """A month of features of every customer, so that the look-up finds what it would find in use."""
    with connect(api.database_url) as connection:
        found = connection.execute("select count(*) from precedent.subjects").fetchone()
        assert found == (CUSTOMERS,), found
        connection.execute(_FEATURES.encode())
        connection.execute(f"grant select on analytics.entity_features to {API}".encode())
    with connect(api.database_url, autocommit=True) as connection:
        connection.execute("analyze analytics.entity_features")


def _measure(target: Target, server: psutil.Process, postgres: psutil.Process, connections: int, seconds: int) -> Sample:
    before, before_postgres = cpu_seconds(server), cpu_seconds(postgres)
    figures = run_load(target, connections, seconds)
    used, used_postgres = cpu_seconds(server) - before, cpu_seconds(postgres) - before_postgres
    return Sample(figures, used / figures.requests * 1e6, used_postgres / figures.requests * 1e6)


def _summarise(name: str, connections: int, samples: dict[tuple[str, int], list[Sample]]) -> EndpointRow:
    own, noop = samples[name, connections], samples[NOOP, connections]
    ratios = [one.figures.per_second / base.figures.per_second for one, base in zip(own, noop, strict=True)]
    return EndpointRow(
        name,
        connections,
        per_second=median(one.figures.per_second for one in own),
        p50_ms=median(one.figures.p50_ms for one in own),
        p95_ms=median(one.figures.p95_ms for one in own),
        p99_ms=median(one.figures.p99_ms for one in own),
        of_noop=median(ratios),
        api_cpu_us=median(one.api_cpu_us for one in own),
        postgres_cpu_us=median(one.postgres_cpu_us for one in own),
    )
