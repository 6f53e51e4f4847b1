"""Replays over HTTP: flips of a published candidate, one a token at a time, bounded, and nothing appended."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from in_process import Api
from jsonschema import Draft202012Validator
from replaying import NOVEMBER_US, append_deals

from api import replays as replays_module
from api.app import create_app
from api.openapi import describe
from api.replays import Asked, Replays
from precedent.clock import SystemClock, to_instant
from precedent.errors import NotFound, QueueFull, ReplayRunning
from precedent.learning.replay_child import answer_to
from precedent.policy.registry import publish
from precedent.settings import load_settings
from tests.policy.shipped import FINANCE, compiled, finance_with

NEXT = "finance-constitution@1.7.0"
TEXT = finance_with(("version: 1.0.0", "version: 1.7.0"), ("max_discount: 0.15", "max_discount: 0.13"))
COUNT = 200


@pytest.fixture(scope="module")
def filled(api: Api) -> Api:
    append_deals(api.database_url, compiled(FINANCE), COUNT)
    publish(api.database_url, api.installation.settings, TEXT, "next", "tests")
    return api


def ask(api: Api, body: dict[str, Any], **options: Any) -> Any:
    return api.client.post("/replays", params={"wait": 60}, json=body, headers=options.pop("headers", api.token("read")), **options)


def require_described(answer: Any, path: str, method: str) -> None:
    document = describe(create_app(load_settings()))
    schema = document["paths"][path][method]["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "components": document["components"]}
    Draft202012Validator(whole).validate(answer.json())


def test_a_candidate_is_replayed_and_found_again_and_nothing_is_appended(filled: Api) -> None:
    before = filled.ledger_size()
    answer = ask(filled, {"policy": NEXT, "last": 150, "limit": 3})
    assert answer.status_code == 200, answer.text
    require_described(answer, "/replays", "post")
    told = answer.json()
    report = told["report"]
    assert (told["status"], told["error"], report["read"], report["before"]) == ("done", None, 150, "recorded")
    assert report["flips"] == sum(move["count"] for move in report["moves"]) > 0
    assert {"from": {"verdict": "approve", "autonomy_level": 3}, "to": {"verdict": "escalate", "autonomy_level": 0}}.items() <= report[
        "moves"
    ][0].items()
    assert len(report["differences"]) == 3
    assert answer.headers["location"] == f"/replays/{told['id']}"
    again = filled.client.get(answer.headers["location"])
    assert again.json() == told
    require_described(again, "/replays/{replay_id}", "get")
    assert filled.ledger_size() == before


def test_without_waiting_it_is_accepted_and_can_be_waited_for(filled: Api) -> None:
    headers = filled.token("read")
    accepted = filled.client.post("/replays", json={"policy": NEXT}, headers=headers)
    assert accepted.status_code == 202
    require_described(accepted, "/replays", "post")
    second = filled.client.post("/replays", json={"policy": NEXT}, headers=headers)
    assert (second.status_code, second.json()["code"]) == (409, "REPLAY_RUNNING")
    assert accepted.json()["id"] in second.json()["detail"]
    ended = filled.client.get(accepted.headers["location"], params={"wait": 60}, headers=headers)
    assert ended.json()["status"] == "done"
    assert filled.client.post("/replays", json={"policy": NEXT}, headers=headers).status_code == 202


def test_two_versions_and_windows(filled: Api) -> None:
    window = {"from": to_instant(NOVEMBER_US), "to": to_instant(NOVEMBER_US + 50 * 60_000_000)}
    told = ask(filled, {"policy": NEXT, "before": "finance-constitution", **window}).json()
    assert (told["before"], told["report"]["read"]) == ("finance-constitution@1.1.0", 50)
    same = ask(filled, {"policy": "finance-constitution", "last": 50}).json()["report"]
    assert (same["same"], same["flips"], same["reworded"]) == (50, 0, 0)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "FIELD_INVALID"),
        ({"policy": "finance-constitution@9.9.9"}, 404, "POLICY_NOT_FOUND"),
        ({"policy": "nothing"}, 404, "POLICY_NOT_FOUND"),
        ({"policy": NEXT, "before": "credit-constitution@1.0.0"}, 422, "FIELD_INVALID"),
        ({"policy": NEXT, "last": 0}, 422, "FIELD_INVALID"),
        ({"policy": NEXT, "last": True}, 422, "FIELD_INVALID"),
        ({"policy": NEXT, "last": 100_001}, 422, "FIELD_INVALID"),
        ({"policy": NEXT, "limit": 101}, 422, "FIELD_INVALID"),
        ({"policy": NEXT, "last": 5, "from": "2025-11-01T00:00:00Z"}, 422, "FIELD_INVALID"),
        ({"policy": NEXT, "from": "2025-11-02T00:00:00Z", "to": "2025-11-01T00:00:00Z"}, 422, "FIELD_INVALID"),
        ({"policy": NEXT, "from": "yesterday"}, 422, "FIELD_INVALID"),
        ({"policy": NEXT, "days": 3}, 422, "FIELD_INVALID"),
    ],
    ids=str,
)
def test_what_breaks_the_contract_starts_nothing(filled: Api, body: dict[str, Any], status: int, code: str) -> None:
    answer = ask(filled, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_window_of_too_many_decisions_is_refused(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes.replays.MAX_DECISIONS", 10)
    answer = ask(filled, {"policy": NEXT, "from": "2025-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/from")


def test_a_token_of_another_node_sees_nothing(filled: Api) -> None:
    stranger = filled.token("read", nodes=("credit",))
    assert ask(filled, {"policy": NEXT}, headers=stranger).status_code == 403
    told = ask(filled, {"policy": NEXT, "last": 1}).json()
    assert filled.client.get(f"/replays/{told['id']}", headers=stranger).status_code == 403
    assert filled.client.get(f"/replays/{told['id']}", headers=filled.token("read", nodes=("finance",))).status_code == 200


def test_an_unknown_replay_is_not_found(filled: Api) -> None:
    answer = filled.client.get(f"/replays/{UUID(int=7)}")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


# the runner itself

ASKED = Asked(NEXT, None, "finance", 5, None, None, 0)


class Idle(Replays):
    """One whose children never end."""

    async def _compute(self, asked: Asked) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


def test_unfinished_replays_are_bounded_and_closing_ends_them() -> None:
    async def fill() -> None:
        replays = Idle("postgresql://nowhere", "main", SystemClock())
        started = [replays.start(f"token {number}", ASKED) for number in range(replays_module.MAX_UNFINISHED)]
        with pytest.raises(QueueFull):
            replays.start("one more", ASKED)
        with pytest.raises(ReplayRunning):
            replays.start("token 0", ASKED)
        await asyncio.sleep(0)
        assert [replay.status for replay in started[:2]] == ["running", "waiting"]
        await replays.close()
        assert {replay.status for replay in started} == {"failed"}

    asyncio.run(fill())


def test_the_newest_are_kept_and_older_ones_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    class Quick(Replays):
        async def _compute(self, asked: Asked) -> dict[str, Any]:
            return {"report": {}}

    async def fill() -> None:
        replays = Quick("postgresql://nowhere", "main", SystemClock())
        started = []
        for _ in range(5):
            started.append(replays.start("token", ASKED))
            await replays.wait(started[-1], 5)
        for forgotten in started[:2]:
            with pytest.raises(NotFound):
                replays.find(forgotten.id)
        assert [replays.find(replay.id) for replay in started[2:]] == started[2:]
        await replays.close()

    monkeypatch.setattr(replays_module, "KEPT", 3)
    asyncio.run(fill())


def test_one_that_takes_too_long_is_ended_with_its_process(filled: Api) -> None:
    async def run() -> None:
        replays = Replays(filled.database_url, "main", SystemClock(), run_seconds=0.01)
        replay = replays.start("token", ASKED)
        await replays.wait(replay, 30)
        assert replay.status == "failed"
        assert replay.error is not None
        assert "longer than 0.01 s" in replay.error["detail"]
        await replays.close()

    asyncio.run(run())


def test_an_error_of_the_core_is_told_by_its_code(filled: Api) -> None:
    job = {"url": filled.database_url, "chain": "main", "before": None, "last": 5, "from_us": None, "to_us": None, "limit": 0}
    assert answer_to(job | {"policy": "nothing@1.0.0"}) == {"code": "POLICY_NOT_FOUND", "error": "no policy nothing@1.0.0 is published"}
    assert answer_to(job | {"policy": NEXT})["report"]["read"] == 5
