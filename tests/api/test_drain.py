"""SIGTERM: what was received is answered, what was answered is recorded, and nobody new is let in."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import psycopg
from in_process import DEAL
from running_api import ApiProcess, wait_until
from stopping import stopped_backends
from streaming import STREAM, line_of, numbers_of

IN_FLIGHT = 24


def is_closed(server: ApiProcess) -> bool:
    address = urlsplit(server.url)
    try:
        socket.create_connection((address.hostname, address.port)).close()
    except ConnectionRefusedError:
        return True
    return False


def recorded(server: ApiProcess) -> set[str]:
    with psycopg.connect(server.database_url) as connection:
        return {str(one) for (one,) in connection.execute("select id from precedent.decisions")}


def test_requests_in_flight_are_answered_and_a_stream_is_told_to_go_elsewhere(api_server: ApiProcess) -> None:
    def lines() -> Iterator[bytes]:
        yield line_of(0)
        wait_until(lambda: is_closed(api_server), 30, "the server to take nobody new")
        for number in range(1, 1000):
            yield line_of(number)

    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool, api_server.client() as client:
        client.post("/decisions/finance", json=DEAL)
        streamed = pool.submit(client.post, "/events", content=lines(), headers=STREAM)
        wait_until(lambda: numbers_of(api_server.database_url) == [0], 30, "the stream's first line to be committed")
        with stopped_backends(api_server.database_url, "precedent writer"):
            asked = [pool.submit(client.post, "/decisions/finance", json=DEAL) for _ in range(IN_FLIGHT)]
            wait_until(lambda: client.get("/metrics").json()["writer"]["queue_depth"] == IN_FLIGHT - 1, 30, "all to wait for a commit")
            api_server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_closed(api_server), 30, "the server to take nobody new")
        answers = [one.result() for one in asked]
        assert {answer.status_code for answer in answers} == {201}
        told = streamed.result()
        assert (told.status_code, told.json()["code"], told.json()["accepted"]) == (503, "STOPPING", 1)
        assert int(told.headers["retry-after"]) >= 1
    assert api_server.process.wait(timeout=30) == -signal.SIGTERM
    assert recorded(api_server) >= {answer.json()["id"] for answer in answers}
    assert numbers_of(api_server.database_url) == [0]


def test_under_load_nothing_acknowledged_is_lost_and_no_answer_is_cut(api_server: ApiProcess) -> None:
    answers: list[httpx2.Response] = []
    ends: list[httpx2.TransportError] = []

    def ask() -> None:
        with api_server.client() as client:
            while True:
                try:
                    answers.append(client.post("/decisions/finance", json=DEAL, headers={"idempotency-key": str(uuid4())}))
                except httpx2.TransportError as error:
                    ends.append(error)
                    return

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        wait_until(lambda: len(answers) > 100, 30, "a hundred answers")
        assert api_server.drain() == -signal.SIGTERM
        for one in asking:
            one.result()
    assert {answer.status_code for answer in answers} == {201}
    assert recorded(api_server) >= {answer.json()["id"] for answer in answers}
    # Whoever had begun to hear an answer heard it to its end.
    assert not any("complete message" in str(end) for end in ends)
