"""Processes that end in the middle of their work: killed, or asked to stop."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
from load import DEAL, require_recorded, under_load
from running_api import ApiProcess, install, serve, wait_until

from precedent.ledger.verify import verify_database


def test_every_acknowledged_decision_survives_a_kill(api_server: ApiProcess) -> None:
    with under_load([api_server], threads=16) as load:
        load.await_answers(300)
        api_server.kill()
        load.await_broken(16)
    assert not load.refused
    require_recorded(api_server.database_url, load.acknowledged)
    report = verify_database(api_server.database_url, processes=1)
    assert report.is_intact, str(report)
    assert report.size >= len(load.acknowledged)


def test_another_process_goes_on_where_the_killed_one_stood(database_url: str, tmp_path: Path) -> None:
    with serve(install(database_url, tmp_path / "home"), tmp_path, count=2) as (first, second):
        with under_load([first, second], threads=8) as load:
            load.await_answers(150)
            first.kill()
            load.await_answers(150)
            load.await_broken(8)
        assert load.broken == 8
        require_recorded(database_url, load.acknowledged)
        report = verify_database(database_url, processes=1)
        assert report.is_intact, str(report)


def test_a_process_that_is_asked_to_stop_answers_what_it_took(api_server: ApiProcess) -> None:
    def ask(number: int) -> tuple[int, dict[str, Any]]:
        with api_server.client() as client:
            answer = client.post("/decisions/finance", json=DEAL, headers={"x-cid": f"drained-{number}"})
            return answer.status_code, answer.json()

    with ThreadPoolExecutor(12) as pool, psycopg.connect(api_server.database_url) as connection:
        connection.execute("select 1 from ledger.chain for update")
        asked = [pool.submit(ask, 0)]
        wait_until(lambda: is_waiting_for_the_chain(api_server.database_url), 5, "an append to wait for the chain")
        asked += [pool.submit(ask, number) for number in range(1, 12)]
        wait_until(lambda: queue_depth(api_server) == 11, 5, "the others to wait for the append")
        api_server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_listening(api_server), 5, "the process to close its door")
        connection.rollback()
        answers = [one.result() for one in asked]
    assert [status for status, _ in answers] == [201] * 12
    assert api_server.process.wait(timeout=20) in {0, -signal.SIGTERM}
    require_recorded(api_server.database_url, [answer for _, answer in answers])


def is_waiting_for_the_chain(database_url: str) -> bool:
    with psycopg.connect(database_url) as connection:
        return (
            connection.execute("select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()").rowcount
            > 0
        )


def queue_depth(server: ApiProcess) -> int:
    with server.client() as client:
        return int(client.get("/metrics").json()["writer"]["queue_depth"])


def is_listening(server: ApiProcess) -> bool:
    return any(one.status == psutil.CONN_LISTEN for one in psutil.Process(server.process.pid).net_connections("tcp"))


def test_under_load_a_stop_loses_nothing_that_was_acknowledged(api_server: ApiProcess) -> None:
    with under_load([api_server], threads=16) as load:
        load.await_answers(200)
        assert api_server.drain() in {0, -signal.SIGTERM}
    require_recorded(api_server.database_url, load.acknowledged)
    with psycopg.connect(api_server.database_url) as connection:
        (recorded,) = connection.execute("select count(*) from precedent.decisions").fetchone() or (0,)
    # Nothing was committed whose answer was cut off: a drain ends between requests.
    assert recorded == len(load.acknowledged)
    assert all(answer.status_code == 503 for answer in load.refused)
