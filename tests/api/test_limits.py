"""Limits: how often a token may ask, how many connections there are, and how long anybody is waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import httpx2
import orjson
import pytest
from in_process import DEAL, TravellingClock
from running_api import ApiProcess, Installation, install, serve, wait_until
from starlette.testclient import TestClient
from streaming import STREAM, line_of, numbers_of

from api.app import create_app
from precedent.guard.access import create_token

WAIT_SECONDS = 0.4  # how long the impatient server waits for anything
CONNECTION_LIMIT = 8


@pytest.fixture(scope="module")
def installed(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install(module_database_url, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def impatient(installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    waits = {f"{what}_timeout_seconds": WAIT_SECONDS for what in ("head", "body", "send")}
    with serve(changed(installed, **waits), tmp_path_factory.mktemp("impatient")) as (server,):
        yield server


def changed(installation: Installation, **settings: object) -> Installation:
    return replace(installation, settings=installation.settings.model_copy(update=settings))


def connect(server: ApiProcess) -> socket.socket:
    address = urlsplit(server.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=30)
    # So that little of an answer fits into what nobody reads.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection


def head(server: ApiProcess, *headers: str) -> bytes:
    lines = ["POST /events HTTP/1.1", "host: x", f"authorization: Bearer {server.token}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or ends it."""
    told = b""
    try:
        while piece := connection.recv(65536):
            told += piece
    except ConnectionResetError:
        pass
    return told


def problem_in(answer: bytes) -> tuple[int, str]:
    first, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in first.lower()
    assert b"connection: close" in first.lower()
    problem = orjson.loads(body)
    assert first.startswith(b"HTTP/1.1 %d " % problem["status"])
    return problem["status"], problem["code"]


def send_for_ever(connection: socket.socket, piece: bytes) -> None:
    pause = Event()
    while True:
        connection.sendall(piece)
        pause.wait(0.02)


def require_well(server: ApiProcess) -> None:
    with server.client() as client:
        assert client.post("/decisions/finance", json=DEAL).status_code == 201


def test_a_token_that_asks_too_often_is_told_when_to_come_back(installed: Installation) -> None:
    clock = TravellingClock()
    limited = changed(installed, rate_per_second=0.5, rate_burst_seconds=6.0)
    with TestClient(create_app(limited.settings, clock)) as client:
        client.headers["authorization"] = f"Bearer {installed.token}"
        answers = [client.post("/decisions/finance", json=DEAL) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"token";q=3;w=6'}
        assert [answer.headers["ratelimit"] for answer in answers] == ['"token";r=2;t=2', '"token";r=1;t=4', *['"token";r=0;t=6'] * 2]
        assert (answers[3].json()["code"], answers[3].headers["retry-after"]) == ("RATE_EXCEEDED", "2")
        assert client.get("/health").status_code == 200
        assert "ratelimit" not in client.get("/health").headers
        clock.ahead_seconds += 2
        assert client.get("/events").status_code == 200
        assert client.get("/events").status_code == 429


def test_a_token_with_a_rate_of_its_own_has_that_and_no_other(installed: Installation) -> None:
    slow = create_token(installed.database_url, "slow", ["read"], rate_per_second=0.5)
    quick = create_token(installed.database_url, "quick", ["read"], rate_per_second=50)
    limited = changed(installed, rate_per_second=2.0, rate_burst_seconds=2.0)
    with TestClient(create_app(limited.settings, TravellingClock())) as client:
        for token, policy, allowed in ((slow, "q=1;w=2", 1), (quick, "q=100;w=2", 100), (installed.token, "q=4;w=2", 4)):
            client.headers["authorization"] = f"Bearer {token}"
            answer = client.get("/flags")
            assert answer.headers["ratelimit-policy"] == f'"token";{policy}'
            assert answer.headers["ratelimit"].startswith(f'"token";r={allowed - 1};')
        client.headers["authorization"] = f"Bearer {slow}"
        assert client.get("/flags").status_code == 429


def test_a_connection_on_which_nothing_is_asked_ends(impatient: ApiProcess) -> None:
    with connect(impatient) as connection:
        assert rest_of(connection) == b""


@pytest.mark.parametrize("sent", [b"G", b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: "])
def test_a_head_that_does_not_come_is_refused(impatient: ApiProcess, sent: bytes) -> None:
    for before in (b"", b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"):
        with connect(impatient) as connection:
            connection.sendall(before + sent)
            answer = rest_of(connection)
            assert problem_in(answer[answer.rindex(b"HTTP/1.1") :]) == (408, "REQUEST_TIMEOUT")
            assert answer.count(b"HTTP/1.1 200") == bool(before)


def test_a_head_without_end_is_refused(impatient: ApiProcess) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n" + b"x-more: 12345678\r\n" * 10_000)
        assert problem_in(rest_of(connection)) == (431, "HEAD_TOO_LARGE")


def test_a_body_that_does_not_come_is_refused_however_it_dribbles(impatient: ApiProcess) -> None:
    for drips in (False, True):
        with connect(impatient) as connection:
            connection.sendall(head(impatient, "content-type: application/json", "content-length: 60000") + b"{")
            connection.settimeout(0.02 if drips else 30)
            answer = b""
            while not answer:
                try:
                    answer = connection.recv(65536)
                except TimeoutError:
                    connection.sendall(b" ")
            assert problem_in(answer + rest_of(connection)) == (408, "REQUEST_TIMEOUT")
    require_well(impatient)


def test_a_stream_may_last_while_something_comes_and_keeps_what_it_had(impatient: ApiProcess) -> None:
    sent = 0

    def is_committed() -> bool:
        return len(numbers_of(impatient.database_url, "slow")) == sent

    with connect(impatient) as connection:
        connection.sendall(head(impatient, f"content-type: {STREAM['content-type']}", "transfer-encoding: chunked"))
        ends_at = time.monotonic() + 4 * WAIT_SECONDS
        while time.monotonic() < ends_at:
            line = line_of(sent, actor="slow")
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
            sent += 1
            wait_until(is_committed, 30, "the line to be committed")
        assert problem_in(rest_of(connection)) == (408, "REQUEST_TIMEOUT")
    assert is_committed()


def test_an_answer_that_nobody_reads_ends_its_connection(impatient: ApiProcess) -> None:
    with connect(impatient) as connection, pytest.raises(ConnectionError):
        send_for_ever(connection, b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 1000)
    require_well(impatient)


def test_a_body_that_goes_on_after_its_refusal_ends(impatient: ApiProcess) -> None:
    with connect(impatient) as connection:
        connection.sendall(head(impatient, "content-type: text/csv", "content-length: 600000000") + b"a")
        told = b""
        while b"UNSUPPORTED_MEDIA_TYPE" not in told:
            told += connection.recv(65536)
        with pytest.raises(ConnectionError):
            send_for_ever(connection, b"a" * 1000)


def test_connections_beyond_the_limit_are_refused_and_others_go_on(installed: Installation, tmp_path: Path) -> None:
    with serve(changed(installed, connection_limit=CONNECTION_LIMIT), tmp_path) as (server,):
        held = [connect(server) for _ in range(CONNECTION_LIMIT)]
        with connect(server) as beyond:
            answer = rest_of(beyond)
        assert problem_in(answer) == (503, "TOO_MANY_CONNECTIONS")
        assert b"retry-after: 1" in answer
        held[0].sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert held[0].recv(65536).startswith(b"HTTP/1.1 200")
        for one in held:
            one.close()
        wait_until(lambda: httpx2.get(f"{server.url}/health", trust_env=False).status_code == 200, 30, "room for another")
