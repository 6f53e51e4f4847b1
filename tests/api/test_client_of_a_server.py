"""Both clients against a served API: what they ask is what it answers, page after page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from in_process import DEAL
from running_api import ApiProcess, install, serve

from precedent.client import AsyncClient, Client, InputNotAccepted, NotThere

QUESTIONS: list[dict[str, Any]] = [
    {"facts": DEAL},
    {"facts": DEAL | {"requested_discount_pct": 0.2}},
    {"facts": DEAL | {"customer_tier": "none"}},
    {"facts": DEAL | {"requested_discount_pct": 0.02}},
]


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    folder = tmp_path_factory.mktemp("served")
    with serve(install(module_database_url, folder / "home"), folder) as (running,):
        yield running


def test_a_batch_is_decided_and_everything_about_it_is_read_back_page_by_page(server: ApiProcess) -> None:
    with Client(server.url, server.token) as client:
        answers = client.decide_batch("finance", QUESTIONS, key="batch")
        assert [type(one) for one in answers] == [dict, dict, InputNotAccepted, dict]
        decided = [one for one in answers if isinstance(one, dict)]
        assert client.decide_batch("finance", [*QUESTIONS], key="batch")[0] == answers[0], "the same key, the same answer"
        assert [one["id"] for one in client.decisions(node="finance", limit=2)] == [one["id"] for one in reversed(decided)]
        assert list(client.decisions(node="finance", verdict="deny", limit=1)) == []
        (waiting,) = client.reviews(status="open", kind="escalation", limit=1)
        assert waiting["decision_id"] == decided[1]["id"]
        ids = client.append_events([{"type": "Asked", "actor": f"desk-{number}"} for number in range(5)])
        assert [one["id"] for one in client.events(type="Asked", limit=2)] == ids[::-1]
        proof = client.get_proof(decided[0]["id"], is_awaited=True)
        assert proof["id"] == decided[0]["id"]
        assert proof["checkpoint"]
        client.record_outcome(decided[0]["id"], {"won": True, "margin": 0.2})
        assert client.get_outcome(decided[0]["id"])["current"]["revision"] == 1
        assert client.get_outcome(decided[1]["id"])["current"] is None
        with pytest.raises(NotThere):
            client.get_decision(ids[0])


def test_the_async_client_reads_the_same(server: ApiProcess) -> None:
    async def read() -> tuple[list[str], list[str], list[str], str]:
        async with AsyncClient(server.url, server.token) as client:
            assert (await client.health())["ok"]
            (decision, refused) = await client.decide_batch("finance", QUESTIONS[1:3])
            assert isinstance(decision, dict)
            assert isinstance(refused, InputNotAccepted)
            events = await client.append_events([{"type": "Seen", "actor": "desk"}] * 3)
            found = [one["id"] async for one in client.events(type="Seen", limit=2)]
            assert found == events[::-1]
            reviews = [one["decision_id"] async for one in client.reviews(status="open", limit=1)]
            whole = await client.get_decision(decision["id"])
            proof = await client.get_proof(decision["id"], is_awaited=True)
            assert whole["hash"] == proof["leaf"]
            return [one["id"] async for one in client.decisions(limit=1)], reviews, found, decision["id"]

    decisions, reviews, _, newest = asyncio.run(read())
    with Client(server.url, server.token) as client:
        assert decisions == [one["id"] for one in client.decisions()]
        assert reviews == [one["decision_id"] for one in client.reviews(status="open")]
    assert decisions[0] == newest
    assert newest in reviews
