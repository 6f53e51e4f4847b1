"""Posting webhooks to a real server on loopback, which an operator had to allow; the receiver's library is not ours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import ip_address

import pytest
from receiving import Receiver, Reply, Request, receiving
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from precedent.adapters import webhook
from precedent.adapters.contract import AdapterRefused, AdapterUnavailable
from precedent.adapters.webhook import ReceiverGone, Rules, is_public, post, rules_of, sign
from precedent.clock import SystemClock

LOOPBACK = rules_of("127.0.0.0/8", is_https_required=False)
CLOCK = SystemClock()


def send(url: str, rules: Rules = LOOPBACK) -> int:
    return post(url, {}, b"{}", rules, CLOCK)


@contextmanager
def answering(status: int, **headers: str) -> Iterator[Receiver]:
    with receiving(lambda _: Reply(status, headers={name.replace("_", "-"): value for name, value in headers.items()})) as receiver:
        yield receiver


def test_the_signature_is_that_of_the_specification() -> None:
    headers = sign([b"\x07" * 24], "msg_1", 1_674_087_231, b'{"event_type":"ping"}')
    assert headers["webhook-signature"] == Webhook(b"\x07" * 24).sign(
        "msg_1", datetime.fromtimestamp(1_674_087_231, UTC), '{"event_type":"ping"}'
    )


def test_a_receiver_verifies_what_came_and_refuses_it_changed() -> None:
    old, new, other = b"o" * 32, b"n" * 32, b"x" * 32
    with receiving() as receiver:
        headers = sign([new, old], "msg_1", CLOCK.now_us() // 1_000_000, b'{"a": "\xc3\xa9"}')
        assert post(f"{receiver.url}/hooks?of=us", headers, b'{"a": "\xc3\xa9"}', LOOPBACK, CLOCK) == 200
        [request] = receiver.requests
    assert (request.path, request.headers["content-type"]) == ("/hooks?of=us", "application/json")
    for secret in (old, new):
        assert Webhook(secret).verify(request.body, dict(request.headers)) == {"a": "é"}
    for secret, body in ((other, request.body), (new, request.body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, dict(request.headers))


@pytest.mark.parametrize("text", [
    "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
])  # fmt: skip
def test_an_address_inside_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0"])
def test_however_loopback_is_written_nothing_is_sent_there(host: str) -> None:
    with receiving() as receiver:
        with pytest.raises((AdapterRefused, AdapterUnavailable)) as caught:
            send(f"http://{host}:{receiver.url.rpartition(':')[2]}/", Rules(is_https_required=False))
        assert receiver.requests == []
    assert "public address" in str(caught.value) or "gaierror" in str(caught.value)


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["127.0.0.2", "127.0.0.1"])
    real = socket.getaddrinfo

    def rebinding(host: str, *others: object, **named: object) -> object:
        return real(next(answers) if host == "rebinding.test" else host, *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with receiving() as receiver:  # at 127.0.0.1, which is not allowed
        rules = rules_of("127.0.0.2/32", is_https_required=False)
        port = receiver.url.rpartition(":")[2]
        with pytest.raises(AdapterUnavailable, match="ConnectionRefusedError"):
            send(f"http://rebinding.test:{port}/", rules)
        with pytest.raises(AdapterRefused, match="no public address"):
            send(f"http://rebinding.test:{port}/", rules)
        assert receiver.requests == []


@pytest.mark.parametrize("url", [
    "ftp://example.com/", "example.com", "https://", "https://user@example.com/", "https://user:pw@example.com/", "https://example.com/#a",
    "https://example.com:0/", "https://example.com:99999/", "https://example.com/\r\nx: y", "https://exämple.com/", "file:///etc/passwd",
])  # fmt: skip
def test_what_is_no_address_of_a_web_server_is_refused(url: str) -> None:
    with pytest.raises(AdapterRefused):
        Rules(is_https_required=False).require_url(url)


def test_where_https_is_required_nothing_else_is_sent() -> None:
    with receiving() as receiver:
        with pytest.raises(AdapterRefused, match="https"):
            send(receiver.url, rules_of("127.0.0.0/8", is_https_required=True))
        with pytest.raises(AdapterUnavailable, match="SSL"):
            send(receiver.url.replace("http:", "https:"))
        assert receiver.requests == []


def test_a_redirect_is_not_followed() -> None:
    with receiving() as second, answering(307, location=second.url) as first:
        with pytest.raises(AdapterRefused, match="redirects are not followed"):
            send(first.url)
        assert second.requests == []


@pytest.mark.parametrize(("status", "kind"), [
    (400, AdapterRefused), (404, AdapterRefused), (410, ReceiverGone), (429, AdapterUnavailable), (500, AdapterUnavailable),
    (503, AdapterUnavailable),
])  # fmt: skip
def test_each_status_is_told_apart(status: int, kind: type[Exception]) -> None:
    with answering(status) as receiver, pytest.raises(kind, match=f"status {status}"):
        send(receiver.url)


@pytest.mark.parametrize(("text", "seconds"), [
    ("120", 120.0), (format_datetime(datetime(2100, 1, 1, tzinfo=UTC), usegmt=True), 4_102_444_800.0), ("soon", None), ("-5", None),
    (format_datetime(datetime(2000, 1, 1, tzinfo=UTC), usegmt=True), 0.0),
])  # fmt: skip
def test_the_pause_that_is_asked_for_is_read(text: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCK, "now_us", lambda: 0 if seconds != 0.0 else 2_000_000_000_000_000, raising=False)
    with answering(429, retry_after=text) as receiver, pytest.raises(AdapterUnavailable) as caught:
        send(receiver.url)
    assert caught.value.retry_after_seconds == seconds


def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    def endless(_: Request) -> Reply:
        return Reply(200, b"x" * 64 * 1024, {"content-length": str(10**12)})

    with receiving(endless) as receiver:
        assert send(receiver.url) == 200


def test_who_answers_a_byte_now_and_then_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_SECONDS", 0.3)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    while not ended.wait(0.05):
                        connection.sendall(b"x")
                except OSError:
                    pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            with pytest.raises(AdapterUnavailable):
                send(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        finally:
            ended.set()
            dripping.join()
