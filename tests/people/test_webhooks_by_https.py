"""Webhooks as production sends them: by https alone, to a server whose certificate an authority that is trusted gave to its very name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from certificates import Authority
from receiving import receiving
from sample_entries import KEYRING, append_all, decision
from sending_webhooks import World
from standardwebhooks.webhooks import Webhook

from precedent.adapters.contract import AdapterRefused
from precedent.adapters.webhook import rules_of
from precedent.people.notify import Drained
from precedent.people.webhooks import secrets_of

HOST = "localhost"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def world(database_url: str) -> World:
    """As in production, but that loopback may be reached."""
    return World(database_url, rules_of("127.0.0.0/8", is_https_required=True))


def address(url: str) -> str:
    return url.replace("127.0.0.1", HOST)


def test_a_server_with_a_certificate_of_a_trusted_authority_is_sent_what_it_asked_for(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with receiving(tls=authority.server(HOST)) as receiver:
        endpoint = world.add(address(receiver.url), "decision.recorded")
        append_all(world.url, [decision(1)])
        assert world.drain() == Drained(delivered=1)
        [request] = receiver.requests
    (secret,) = secrets_of(KEYRING, endpoint, world.clock)
    assert Webhook(secret).verify(request.body, dict(request.headers))["type"] == "decision.recorded"


Trusted = Callable[[Authority], Path | None]
REFUSED: list[tuple[str, dict[str, object], Trusted, str]] = [
    ("another host's name", {"host": "other.example"}, lambda a: a.path, "Hostname mismatch"),
    ("signed by itself", {"host": HOST, "is_self_signed": True}, lambda a: a.path, "self-signed certificate"),
    ("an authority that nobody trusts", {"host": HOST}, lambda _: None, "unable to get local issuer certificate"),
    ("over", {"host": HOST, "lasts": timedelta(days=-1)}, lambda a: a.path, "certificate has expired"),
]


@pytest.mark.parametrize(("made", "trusted", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_server_that_does_not_prove_its_name_is_told_nothing_and_the_message_waits(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch, made: dict[str, object], trusted: Trusted, words: str
) -> None:
    if (path := trusted(authority)) is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with receiving(tls=authority.server(**made)) as receiver:  # type: ignore[arg-type]
        world.add(address(receiver.url), "decision.recorded")
        append_all(world.url, [decision(1)])
        assert world.drain() == Drained(failed=1)
        assert receiver.requests == []
    with psycopg.connect(world.url) as owner:
        [(error, is_dead)] = owner.execute(
            "select last_error, dead_at is not null from precedent.outbox where endpoint_id is not null"
        ).fetchall()
    assert words in error
    assert not is_dead


def test_production_keeps_no_endpoint_that_it_would_send_to_in_clear(world: World) -> None:
    with receiving() as receiver, pytest.raises(AdapterRefused, match="https"):
        world.add(receiver.url, "decision.recorded")
