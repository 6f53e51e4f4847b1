"""`precedent webhook` on a real database with a real receiver."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from receiving import Receiver, Reply, Request, receiving
from sample_entries import append_all, decision
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner, Result

from precedent.adapters.contract import AdapterRefused, AdapterUnavailable
from precedent.cli.outbox import app as outbox_app
from precedent.cli.webhook import app
from precedent.ledger.keyring import load_keyring
from precedent.people.webhooks import EndpointNotFound


@pytest.fixture(autouse=True)
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRECEDENT_WEBHOOK_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("COLUMNS", "250")
    load_keyring(tmp_path / "home" / "keys", "2026-11", create=True)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def verified(receiver: Receiver, *secrets: str) -> Request:
    """The last that came, which each of the secrets verifies."""
    request = receiver.requests[-1]
    for secret in secrets:
        Webhook(secret).verify(request.body, dict(request.headers))
    return request


def test_a_secret_is_shown_once_and_verifies_what_is_sent(database_url: str) -> None:
    with receiving() as receiver:
        secret = run("add", "ours", f"{receiver.url}/hooks", "--type", "decision.recorded").output.strip()
        assert secret.startswith("whsec_")
        assert secret not in run("list").output
        assert f"{receiver.url}/hooks answered 200 in " in run("test", "ours").output
        assert verified(receiver, secret).json["type"] == "webhook.test"

        second = run("rotate", "ours").output.strip()
        run("test", "ours")
        verified(receiver, secret, second)
        third = run("rotate", "ours", "--overlap-hours", "0").output.strip()
        run("test", "ours")
        assert len(verified(receiver, third).headers["webhook-signature"].split()) == 1
    assert len({secret, second, third}) == 3
    with psycopg.connect(database_url) as owner:
        (row,) = owner.execute("select e::text from precedent.webhook_endpoints e").fetchall()
    assert not any(one.removeprefix("whsec_") in row[0] for one in (secret, second, third)), "the database holds no secret"


def test_what_waits_for_a_disabled_endpoint_is_given_up_and_can_be_replayed(database_url: str) -> None:
    run("add", "ours", "http://127.0.0.1:9/", "--type", "decision.recorded")
    append_all(database_url, [decision(1)])
    assert "messages given up: 1" in run("disable", "ours", "--reason", "moving house").output
    assert "disabled: moving house" in run("list").output
    assert "its endpoint was disabled: moving house" in CliRunner().invoke(outbox_app, ["dead"]).output
    append_all(database_url, [decision(2)])
    assert "is enabled" in run("enable", "ours").output
    assert "due again: 1" in CliRunner().invoke(outbox_app, ["replay", "--all"]).output
    shown = CliRunner().invoke(outbox_app, ["show"]).output
    assert [line.split()[4] for line in shown.splitlines() if "decision.recorded" in line] == ["ours"]


def test_a_test_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(lambda _: Reply(503)) as receiver:
        run("add", "ours", receiver.url, "--type", "flag.changed")
        with pytest.raises(AdapterUnavailable, match="status 503"):
            run("test", "ours")
        monkeypatch.setenv("PRECEDENT_WEBHOOK_NETWORKS", "")
        with pytest.raises(AdapterRefused, match="no public address"):
            run("test", "ours")
        assert len(receiver.requests) == 1
    with pytest.raises(EndpointNotFound):
        run("test", "theirs")
