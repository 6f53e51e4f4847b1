"""Several API processes on one chain: one decision a key, one subject a pseudonym, no decision under a stale flag."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from halts import halt_and_resume, require_halts_held
from load import DEAL, require_epochs, require_recorded, under_load
from running_api import ApiProcess, install, serve, wait_until
from sample_entries import append_all, escalation

from precedent.guard.access import create_token
from precedent.ledger.entry import Kind
from precedent.ledger.verify import verify_database


@pytest.fixture(scope="module")
def pair(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ApiProcess]]:
    folder = tmp_path_factory.mktemp("pair")
    with serve(install(module_database_url, folder / "home"), folder, count=2) as servers:
        yield servers


def ask_at_once(servers: list[ApiProcess], count: int, path: str, body: dict[str, Any], **headers: str) -> list[Any]:
    def ask(number: int) -> Any:
        with servers[number % len(servers)].client(**headers) as client:
            return client.post(path, json=body)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_32_copies_at_once_over_two_processes_make_one_decision(pair: list[ApiProcess]) -> None:
    for path, body in (("/decisions/finance", DEAL), ("/events", {"type": "Copied", "payload": {"n": 1}})):
        answers = ask_at_once(pair, 32, path, body, **{"idempotency-key": str(uuid4())})
        assert {answer.status_code for answer in answers} == {201}
        assert all(answer.json() == answers[0].json() for answer in answers)
        assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1


def test_a_person_who_comes_to_two_processes_at_once_is_one_subject(pair: list[ApiProcess]) -> None:
    answers = ask_at_once(pair, 16, "/decisions/finance", DEAL | {"customer_id": "C-both", "note": "hello"})
    assert {answer.status_code for answer in answers} == {201}
    with pair[0].client() as client:
        whole = [client.get(f"/decisions/{answer.json()['id']}").json() for answer in answers]
    assert len({one["subject_id"] for one in whole}) == 1
    assert {one["personal"]["customer_id"] for one in whole} == {"C-both"}


def test_of_32_answers_at_once_over_two_processes_one_is_recorded(pair: list[ApiProcess]) -> None:
    asker = create_token(pair[0].database_url, "asker", ["decisions:write"])
    with pair[0].client(authorization=f"Bearer {asker}") as client:
        decision = client.post("/decisions/finance", json=DEAL | {"requested_discount_pct": 0.18}).json()
    body = {"answer": "approve", "reason": "looked at", "digest": decision["hash"]}
    answers = ask_at_once(pair, 32, f"/decisions/{decision['id']}/review", body)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 31
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"REVIEW_CLOSED"}
    with psycopg.connect(pair[0].database_url) as connection:
        count = connection.execute("select count(*) from ledger.entry where get_byte(envelope, 1) = %s", (int(Kind.REVIEW),)).fetchone()
    assert count == (1,)


def test_no_decision_commits_under_a_stale_flag(pair: list[ApiProcess]) -> None:
    with under_load(pair, threads=6) as load, pair[0].client() as client:
        load.await_answers(50)
        for number in range(12):
            flag = {"enabled": number % 3 != 0, "max_level": number % 4, "reason": f"change {number}"}
            assert client.put("/flags/finance/approve_discount", json=flag).status_code == 200
            switch = {"halted": number % 4 == 3, "reason": f"switch {number}"}
            assert client.put("/kill-switch", json=switch).status_code == 200
            load.await_answers(10)
    assert not load.refused
    require_recorded(pair[0].database_url, load.acknowledged)
    judged = require_epochs(pair[0].database_url)
    assert judged >= len(load.acknowledged)
    report = verify_database(pair[0].database_url, processes=1)
    assert report.is_intact, str(report)


def test_a_halt_holds_at_once_on_processes_that_hear_of_nothing(pair: list[ApiProcess]) -> None:
    with pair[0].client() as client:
        flag = {"enabled": True, "max_level": 3, "reason": "for this test"}
        assert client.put("/flags/finance/approve_discount", json=flag).status_code == 200
        assert client.put("/kill-switch", json={"halted": False, "reason": "for this test"}).status_code == 200
    load, unheard_count = halt_and_resume(pair, threads=3, times=4)
    assert unheard_count
    require_halts_held(pair, load, times=4)


def test_two_processes_let_each_deadline_act_once(pair: list[ApiProcess]) -> None:
    late = [escalation(number, within_seconds=0) for number in range(30)]
    append_all(pair[0].database_url, late)

    def rows(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(pair[0].database_url) as connection:
            return connection.execute(statement.encode(), ([draft.entry_id for draft in late],)).fetchall()

    closed = "select decision_id from precedent.reviews where decision_id = any(%s) and status = 'denied' and reviewer is null"
    wait_until(lambda: len(rows(closed)) == len(late), 30, "the deadlines to act")
    told = "select payload ->> 'decision_id' from precedent.outbox where topic = 'review.timed_out'"
    told += " and (payload ->> 'decision_id')::uuid = any(%s)"
    assert sorted(row[0] for row in rows(told)) == sorted(str(draft.entry_id) for draft in late)
