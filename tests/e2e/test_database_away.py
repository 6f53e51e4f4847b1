"""The database goes away and comes back: clear refusals, nothing acknowledged that isn't there, recovery without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from load import DEAL, require_recorded
from running_api import ApiProcess, install, serve, wait_until

from precedent.db.embedded import EmbeddedPostgres
from precedent.ledger.verify import verify_database

# Longer than the pool of connections tries by itself: it must start again when somebody asks.
AWAY_SECONDS = 7.0


def name_of(database_url: str) -> str:
    return urlsplit(database_url).path.strip("/")


@contextmanager
def away(server: EmbeddedPostgres, database_url: str) -> Iterator[None]:
    """Nobody is connected to the database, and nobody can connect."""
    name = name_of(database_url)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"alter database {name} allow_connections false")
        try:
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
            yield
        finally:
            connection.execute(f"alter database {name} allow_connections true")


@pytest.fixture
def impatient(database_url: str, tmp_path: Path) -> Iterator[ApiProcess]:
    """An API that tries an append for half a second."""
    with serve(install(database_url, tmp_path / "home", append_timeout_seconds=0.5), tmp_path) as (server,):
        yield server


def test_without_a_database_everything_is_refused_clearly_and_comes_back(server: EmbeddedPostgres, impatient: ApiProcess) -> None:
    key = {"idempotency-key": "across-the-outage"}
    with impatient.client() as client:
        before = client.post("/decisions/finance", json=DEAL)
        assert before.status_code == 201
        acknowledged = [before.json()]
        with away(server, impatient.database_url):
            for method, path, body in [
                ("POST", "/decisions/finance", DEAL),
                ("POST", "/decisions/finance/batch", {"decisions": [DEAL, DEAL]}),
                ("POST", "/events", {"type": "T"}),
                ("POST", "/events", [{"type": "T"}] * 3),
                ("POST", f"/outcomes/{acknowledged[0]['id']}", {"metrics": {"won": True, "margin": 0.3}}),
                ("GET", "/decisions", None),
                ("GET", f"/decisions/{acknowledged[0]['id']}", None),
                ("PUT", "/kill-switch", {"halted": True, "reason": "r"}),
            ]:
                answer = client.request(method, path, json=body, headers=key)
                assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNAVAILABLE"), (path, answer.text)
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["detail"] == "the database does not answer"
            ready = client.get("/ready")
            assert ready.status_code == 503
            assert ready.headers["retry-after"]
            assert ready.json()["checks"]["database"]["ok"] is False
            assert ready.json()["checks"]["database"]["why"] == "the database does not answer"
            assert name_of(impatient.database_url) not in ready.text
            assert client.get("/health").json() == {"ok": True}
            wait_until(lambda: away_long_enough(impatient), AWAY_SECONDS + 10, "the pool to give up")
        wait_until(lambda: client.get("/ready").status_code == 200, 15, "recovery")
        again = client.post("/decisions/finance", json=DEAL, headers=key)
        assert again.status_code == 201
        acknowledged.append(again.json())
        assert client.post("/events", json={"type": "T"}).status_code == 201
    require_recorded(impatient.database_url, acknowledged)
    report = verify_database(impatient.database_url, processes=1)
    assert report.is_intact, str(report)


def away_long_enough(server: ApiProcess) -> bool:
    """Whether the listener for flags has failed so often, at one try a second, that the time has passed."""
    return sum(line["event"] == "authority_listener_lost" for line in server.log_lines()) >= AWAY_SECONDS


def test_a_short_interruption_is_bridged(server: EmbeddedPostgres, api_server: ApiProcess) -> None:
    with api_server.client() as client:
        assert client.post("/decisions/finance", json=DEAL).status_code == 201
        with away(server, api_server.database_url):
            pass
        assert client.post("/decisions/finance", json=DEAL).status_code == 201


def test_a_failing_commit_is_never_a_2xx(api_server: ApiProcess) -> None:
    """The commit itself fails, after every statement before it went well: nothing was recorded, and nobody is told otherwise."""
    with psycopg.connect(api_server.database_url) as connection:
        connection.execute(
            "create function public.fail_commit() returns trigger language plpgsql as $$ begin raise exception 'planted'; end $$"
        )
        connection.execute(
            "create constraint trigger fail_commit after insert on ledger.entry deferrable initially deferred "
            "for each row execute function public.fail_commit()"
        )
        (before,) = connection.execute("select count(*) from ledger.entry").fetchone() or (0,)
    with api_server.client() as client:
        for method, path, body in [
            ("POST", "/decisions/finance", DEAL),
            ("POST", "/events", {"type": "T"}),
            ("PUT", "/kill-switch", {"halted": True, "reason": "r"}),
            ("POST", "/policies/finance-constitution@1.1.0/withdraw", None),
        ]:
            answer = client.request(method, path, json=body)
            assert answer.status_code >= 500, (path, answer.text)
            assert "planted" not in answer.text
        with psycopg.connect(api_server.database_url) as connection:
            assert connection.execute("select count(*) from ledger.entry").fetchone() == (before,)
            connection.execute("drop trigger fail_commit on ledger.entry")
        assert client.post("/decisions/finance", json=DEAL).json()["verdict"] == "approve"
