"""Every route that changes something keeps keys: among copies at once over two processes, after a kill between commit and
answer, and against another body. The table is held to the application's routes, so that a new one can't be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import withholding_api
from fastapi.routing import APIRoute
from keyed_routes import REPLAYED, ROUTES, Asked, World, send_and_leave
from running_api import START_SECONDS, ApiProcess, free_ports, install, serve, wait_until

from api.app import create_app
from precedent.settings import load_settings

COPIES = 32
# What writes nothing, and what has tests of its own: jobs (test_job_keys.py), and the forms of pages, which no program sends.
WRITE_NOTHING = {("POST", "/policies/validate"), ("POST", "/replays")}
ELSEWHERE = {("POST", "/jobs/{job}/run"), ("POST", "/sign-in"), ("POST", "/sign-out"), ("POST", "/reviews/{decision_id}")}


each_route = pytest.mark.parametrize("route", ROUTES, ids=" ".join)


@pytest.fixture(scope="module")
def world(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("keys")
    installation = install(module_database_url, folder / "home")
    with serve(installation, folder, count=2) as servers:
        found = World(installation, servers)
        yield found
        for client in found.clients:
            client.close()


@pytest.fixture(autouse=True)
def relaxed(world: World) -> Iterator[None]:
    yield
    world.relaxed()


def test_every_route_that_changes_something_is_in_the_table() -> None:
    routes = [route for route in create_app(load_settings()).routes if isinstance(route, APIRoute)]
    changing = {(method, route.path) for route in routes for method in route.methods if method not in {"GET", "HEAD"}}
    assert changing == set(ROUTES) | WRITE_NOTHING | ELSEWHERE


@each_route
def test_copies_at_once_over_two_processes_are_one_and_another_body_is_refused(world: World, route: tuple[str, str]) -> None:
    asked, key = ROUTES[route](world), {"idempotency-key": str(uuid4())}
    before = world.ledger_size()
    with ThreadPoolExecutor(COPIES) as pool:
        answers = list(pool.map(lambda copy: world.ask(asked, headers=key, server=copy % 2), range(COPIES)))
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers if not answer.is_success]
    assert all((answer.status_code, answer.json()) == (answers[0].status_code, answers[0].json()) for answer in answers)
    recording = sum(REPLAYED not in answer.headers for answer in answers)
    assert 1 <= recording <= asked.entries, "of a batch, each copy may have recorded a part"
    written = world.ledger_size() - before
    assert written == asked.entries
    if asked.other is not None:
        other = world.ask(asked, asked.other, key)
        assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED"), other.text
        assert world.ledger_size() == before + written


@dataclass(frozen=True, slots=True)
class Withheld:
    """A request whose process was killed after the commit and before the answer, and what that answer would have been."""

    asked: Asked
    key: str
    status: int
    body: Any
    written: int


@pytest.fixture(scope="module")
def withheld(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Withheld]]:
    """One for each route, of one process that is dead now. Another runs in its place: the world's last client asks it."""
    folder = tmp_path_factory.mktemp("withheld")
    (port,) = free_ports(1)
    process = ApiProcess(
        world.installation, folder / "api.log", port, withholding_api.__file__, **{withholding_api.FOLDER: str(folder), "PYTHONPATH": "."}
    )
    try:
        wait_until(process.is_ready, START_SECONDS, "the API that keeps its answers to itself to be ready")
        found = {route: withhold(world, process, folder, route) for route in ROUTES}
        process.kill()
        process.start()
        wait_until(process.is_ready, START_SECONDS, "another in its place to be ready")
        with process.client() as client:
            world.clients.append(client)
            yield found
            world.clients.remove(client)
    finally:
        process.kill()


def withhold(world: World, process: ApiProcess, folder: Path, route: tuple[str, str]) -> Withheld:
    asked, key = ROUTES[route](world), str(uuid4())
    before = world.ledger_size()
    send_and_leave(process, asked, {"idempotency-key": key, "x-withhold": key}, (folder / key).exists)
    written = world.ledger_size() - before
    world.relaxed()
    status, _, body = (folder / key).read_bytes().partition(b"\n")
    return Withheld(asked, key, int(status), orjson.loads(body), written)


@each_route
def test_after_a_kill_between_commit_and_answer_the_next_process_gives_the_answer_that_was_due(
    world: World, withheld: dict[tuple[str, str], Withheld], route: tuple[str, str]
) -> None:
    due = withheld[route]
    assert due.written == due.asked.entries
    before = world.ledger_size()
    for _ in range(2):
        again = world.ask(due.asked, headers={"idempotency-key": due.key}, server=-1)
        assert (again.status_code, again.json(), again.headers.get(REPLAYED)) == (due.status, due.body, "true")
    assert world.ledger_size() == before
