import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import httpx2
import orjson
import pytest

from precedent.client import (
    AccessRefused,
    AnswerUnreadable,
    AsyncClient,
    Client,
    InputNotAccepted,
    NotNow,
    NotThere,
    Patience,
    Refused,
    Unreachable,
)
from precedent.client_calls import PART_LINES, Streamed, get


class SteppingClock:
    """Time passes only when somebody waits; all jitter is the longest possible."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.ids = itertools.count(1)

    def now_us(self) -> int:
        return int(self.seconds * 1e6)

    def monotonic_ns(self) -> int:
        return int(self.seconds * 1e9)

    def new_id(self) -> uuid.UUID:
        return uuid.UUID(int=next(self.ids))

    def random_bytes(self, count: int) -> bytes:
        return b"\xff" * count

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


class Scripted:
    """Answers requests by a script and keeps them; an exception in the script is a broken connection."""

    def __init__(self, *script: httpx2.Response | Exception) -> None:
        self.script = list(script)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(server: Scripted, clock: SteppingClock) -> Client:
    return Client("http://api.test", "secret", clock=clock, transport=httpx2.MockTransport(server), pause=clock.wait)


def problem(status: int, code: str, **others: object) -> httpx2.Response:
    return httpx2.Response(status, json={"status": status, "code": code, "detail": "words", **others})


DECIDED = httpx2.Response(201, json={"id": "d-1", "verdict": "approve"})


def test_a_call_carries_the_token_a_key_and_the_digits_of_a_decimal() -> None:
    server, clock = Scripted(DECIDED), SteppingClock()
    with client_of(server, clock) as client:
        answer = client.decide("finance", {"deal_value": Decimal("12000.10")}, action="approve_discount", correlation_id="c-1")
    (request,) = server.requests
    assert answer["id"] == "d-1"
    assert request.headers["authorization"] == "Bearer secret"
    assert uuid.UUID(request.headers["idempotency-key"])
    assert request.url.path == "/decisions/finance"
    assert request.content == b'{"facts":{"deal_value":12000.10},"action":"approve_discount","correlation_id":"c-1"}'


def test_a_retry_keeps_the_key_so_that_nothing_is_doubled() -> None:
    lost = httpx2.ReadError("connection reset")
    server, clock = Scripted(lost, problem(503, "DATABASE_UNAVAILABLE"), DECIDED), SteppingClock()
    with client_of(server, clock) as client:
        client.decide("finance", {})
        client.decide("finance", {})
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_pauses_double_up_to_a_bound_and_end_when_patience_does() -> None:
    clock = SteppingClock()
    patience = Patience(clock, seconds=30)
    pauses = []
    while (pause := patience.pause()) is not None:
        pauses.append(pause)
        clock.wait(pause)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0]


def test_the_pause_is_as_long_as_the_api_asks_for() -> None:
    server, clock = Scripted(httpx2.Response(503, headers={"retry-after": "3"}, json={}), DECIDED), SteppingClock()
    with client_of(server, clock) as client:
        client.decide("finance", {})
    assert clock.seconds == 3.0


@pytest.mark.parametrize(
    "script", [httpx2.ConnectError("refused"), problem(503, "DATABASE_UNAVAILABLE"), httpx2.Response(502, text="<html>")]
)
def test_an_api_that_stays_away_is_unreachable(script: httpx2.Response | Exception) -> None:
    server, clock = Scripted(script), SteppingClock()
    with client_of(server, clock) as client, pytest.raises(Unreachable):
        client.health()
    assert clock.seconds <= 30


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InputNotAccepted), (422, InputNotAccepted), (401, AccessRefused), (403, AccessRefused), (404, NotThere), (409, NotNow)],
)
def test_a_problem_becomes_a_typed_error_at_once(status: int, kind: type[Refused]) -> None:
    errors = [{"code": "MISSING_FACT", "pointer": "/facts/deal_value", "message": "deal_value is missing"}]
    server, clock = Scripted(problem(status, "SOME_CODE", errors=errors)), SteppingClock()
    with client_of(server, clock) as client, pytest.raises(kind) as caught:
        client.record_outcome("d-1", {"won": True})
    refusal = caught.value
    assert len(server.requests) == 1
    assert (refusal.status, refusal.code, refusal.detail) == (status, "SOME_CODE", "words")
    assert [(fault.code, fault.pointer) for fault in refusal.faults] == [("MISSING_FACT", "/facts/deal_value")]


def test_an_answer_that_is_no_json_is_not_taken_for_one() -> None:
    server = Scripted(httpx2.Response(200, text="<html>a proxy's page</html>"))
    with client_of(server, SteppingClock()) as client, pytest.raises(AnswerUnreadable):
        client.health()


def test_what_only_reads_carries_no_key_and_leaves_absent_query_out() -> None:
    call = get("/events", type="A B", since=None)
    assert (call.path, call.key) == ("/events?type=A+B", None)


def test_the_async_client_keeps_the_key_too_and_bounds_what_is_in_flight() -> None:
    inside, most = 0, 0
    keys: list[str] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal inside, most
        inside, most = inside + 1, max(most, inside + 1)
        is_first = not keys
        keys.append(request.headers["idempotency-key"])
        await asyncio.sleep(0)
        inside -= 1
        return httpx2.Response(503, json={}) if is_first else httpx2.Response(201, json=orjson.loads(request.content))

    async def ask_many() -> list[object]:
        async with AsyncClient("http://api.test", transport=httpx2.MockTransport(answer)) as client:
            return list(await asyncio.gather(*(client.decide("finance", {"n": number}) for number in range(100))))

    answers = asyncio.run(ask_many())
    assert [one["facts"]["n"] for one in answers] == list(range(100))  # type: ignore[index]
    assert (len(keys), len(set(keys))) == (101, 100)
    assert 1 < most <= 32


def counted(request: httpx2.Request) -> httpx2.Response:
    """As the API answers a stream: an event of the type `Bad` is refused."""
    lines = [orjson.loads(line) for line in request.content.splitlines()]
    rejected = [{"line": number, "code": "BAD"} for number, line in enumerate(lines, 1) if line["type"] == "Bad"]
    counts = {"lines": len(lines), "accepted": len(lines) - len(rejected), "refused": len(rejected), "rejected": rejected[:100]}
    if len(rejected) == len(lines):
        return httpx2.Response(422, json={"code": "EVENTS_REFUSED", **counts})
    return httpx2.Response(201, json=counts)


def happenings() -> Iterator[dict[str, object]]:
    for number in range(2 * PART_LINES + 10):
        yield {"type": "Bad" if number in {3, PART_LINES + 4} or number >= 2 * PART_LINES else "Good", "payload": number}


async def happenings_one_by_one() -> AsyncIterator[dict[str, object]]:
    for one in happenings():
        yield one


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_is_sent_in_parts_that_can_each_be_sent_again(is_async: bool) -> None:
    seen: list[tuple[str, int]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append((request.headers["idempotency-key"], len(request.content.splitlines())))
        assert request.headers["content-type"] == "application/x-ndjson"
        return httpx2.Response(503, json={}, headers={"retry-after": "0"}) if len(seen) == 2 else counted(request)

    async def send() -> Streamed:
        async with AsyncClient("http://api.test", transport=httpx2.MockTransport(answer)) as client:
            return await client.append_stream(happenings_one_by_one(), "k")

    if is_async:
        result = asyncio.run(send())
    else:
        with Client("http://api.test", transport=httpx2.MockTransport(answer), pause=lambda _: None) as client:
            result = client.append_stream(happenings(), "k")
    assert seen == [("k/0", PART_LINES), ("k/1", PART_LINES), ("k/1", PART_LINES), ("k/2", 10)]
    assert (result.accepted, result.refused) == (2 * PART_LINES - 2, 12)
    assert [one["line"] for one in result.rejected] == [4, PART_LINES + 5, *range(2 * PART_LINES + 1, 2 * PART_LINES + 11)]


def test_what_is_wrong_with_a_stream_as_a_whole_is_raised() -> None:
    server = Scripted(problem(403, "SCOPE_MISSING"))
    with client_of(server, SteppingClock()) as client, pytest.raises(AccessRefused):
        client.append_stream([{"type": "T"}])


def test_a_review_is_listed_and_answered_by_both_clients() -> None:
    page, denied = {"items": [], "next": None}, {"id": "r-1", "status": "denied"}
    server = Scripted(httpx2.Response(200, json=page), httpx2.Response(201, json=denied), httpx2.Response(201, json=denied))
    clock = SteppingClock()
    with client_of(server, clock) as client:
        assert client.list_reviews(status="overdue", kind=None, node="finance") == page
        assert client.review("d-1", "deny", "no", "ab" * 32)["status"] == "denied"

    async def answer() -> None:
        async with AsyncClient("http://api.test", clock=clock, transport=httpx2.MockTransport(server)) as async_client:
            await async_client.review("d-1", "deny", "no", "ab" * 32, key="mine")

    asyncio.run(answer())
    listed, first, second = server.requests
    assert listed.url.path + "?" + listed.url.query.decode() == "/reviews?status=overdue&node=finance"
    assert (first.url.path, orjson.loads(first.content)) == (
        "/decisions/d-1/review",
        {"answer": "deny", "reason": "no", "digest": "ab" * 32},
    )
    assert (bool(first.headers["idempotency-key"]), second.headers["idempotency-key"]) == (True, "mine")
