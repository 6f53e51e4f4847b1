"""The API delivers what its decisions left in the outbox, by itself, unless another process is to do it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from in_process import DEAL
from pydantic import SecretStr
from receiving import Receiver, answer_as_slack, receiving
from running_api import install
from starlette.testclient import TestClient

from api.app import create_app
from precedent.adapters.webhook import rules_of
from precedent.clock import SystemClock
from precedent.ledger.store import chain_id_of
from precedent.people.webhooks import add_endpoint

ESCALATING = DEAL | {"requested_discount_pct": 0.18}


@pytest.fixture
def slack() -> Iterator[Receiver]:
    with receiving(answer_as_slack) as receiver:
        yield receiver


def serve(database_url: str, home: Path, slack: Receiver, **overrides: object) -> tuple[TestClient, dict[str, str]]:
    given = {"slack_bot_token": SecretStr("xoxb-planted"), "slack_base_url": f"{slack.url}/api"} | overrides
    installation = install(database_url, home, **given)
    client = TestClient(create_app(installation.settings), client=("127.0.0.1", 50000))
    return client, {"authorization": f"Bearer {installation.token}"}


def test_a_webhook_leaves_with_a_decision(database_url: str, tmp_path: Path) -> None:
    with receiving() as receiver:
        client, headers = serve(database_url, tmp_path, receiver, slack_bot_token=None, webhook_networks="127.0.0.0/8")
        with psycopg.connect(database_url) as owner:
            rules = rules_of("127.0.0.0/8", is_https_required=False)
            add_endpoint(owner, chain_id_of(owner, "main"), "ours", receiver.url, ["decision.escalated"], rules, SystemClock())
        with client:
            decision = client.post("/decisions/finance", json=ESCALATING, headers=headers).json()
            [request] = receiver.await_requests(1)
    assert request.json["data"]["decision_id"] == decision["id"]
    assert request.json["data"]["hash"] == decision["hash"]


def outbox_of(client: TestClient) -> dict[str, float]:
    text = client.get("/metrics", headers={"accept": "text/plain"}).text
    lines = [line.split() for line in text.splitlines() if line.startswith("precedent_outbox_")]
    return {name.removeprefix("precedent_outbox_"): float(value) for name, value in lines}


def test_an_escalation_reaches_its_channel_with_nobody_doing_anything(database_url: str, tmp_path: Path, slack: Receiver) -> None:
    client, headers = serve(database_url, tmp_path, slack)
    with client:
        decision = client.post("/decisions/finance", json=ESCALATING, headers=headers).json()
        [request] = slack.await_requests(1)
    assert decision["verdict"] == "escalate"
    assert decision["id"] in request.json["text"]


def test_where_another_process_delivers_the_api_does_not_and_tells_how_many_wait(
    database_url: str, tmp_path: Path, slack: Receiver
) -> None:
    client, headers = serve(database_url, tmp_path, slack, outbox="process")
    with client:
        assert outbox_of(client) == {"waiting": 0, "dead": 0, "oldest_seconds": 0}
        assert client.post("/decisions/finance", json=ESCALATING, headers=headers).status_code == 201
        backlog = outbox_of(client)
    assert (backlog["waiting"], backlog["dead"]) == (1, 0)
    assert backlog["oldest_seconds"] > 0
    assert slack.requests == []
