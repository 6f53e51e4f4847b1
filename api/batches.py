"""Batches: many of one kind in a body, answered in their order; what is wrong with one is said in its place.

Their appends share commits. A batch is no transaction: each element stands for itself, and under an Idempotency-Key each is
recorded once however often the batch is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api.answers import REPLAYED, json_response
from api.problems import Problem, answer_error, problem_body
from api.requests import Members, call_at, field_invalid, parse_object
from api.services import Services, services_of
from precedent.call import Call
from precedent.errors import IdempotencyKeyReused, Unavailable
from precedent.ledger.canonical import element_texts, member_texts
from precedent.ledger.idempotency import require_unused_by_others
from precedent.spans import gathering, span

MAX_ELEMENTS = 1000

# A body of 3.5 MB takes 0.27 s to parse, and nobody else would be answered meanwhile: in a thread, others are.
LARGE_BYTES = 256 * 1024

# The elements of a batch, parsed, and the text of each as it was received.
Elements: TypeAlias = tuple[list[Any], list[str]]

# Of an element's members, its call and its pointer: the answer, and whether it was recorded before under the same key.
AnswerOne = Callable[[dict[str, Any], Call, str], Awaitable[tuple[dict[str, Any], bool]]]
# What stands in the place of an element that was refused.
Refused = Callable[[Problem], dict[str, Any]]


async def answer_batch(request: Request, call: Call, name: str, answer_one: AnswerOne) -> Response:
    """`{"answers": […]}` to `{name: […]}`; 200 also where some elements were refused.

    Raises: NotStrictJson, FieldInvalid; Unavailable.
    """

    def elements_of(received: bytes) -> Elements:
        members = parse_object(received)
        Members(members).require_known(name)
        elements = members.get(name)
        if not isinstance(elements, list) or not 0 < len(elements) <= MAX_ELEMENTS:
            raise field_invalid(f"/{name}", f"{name} is a list of 1 to {MAX_ELEMENTS}")
        return elements, element_texts(member_texts(received.decode())[name])

    elements, texts = await read_elements(call.received, elements_of)
    answers, is_replay = await answer_all(services_of(request), call, elements, texts, f"/{name}", answer_one, refused_at(request))
    return json_response({"answers": answers}, 200, REPLAYED if is_replay else None)


async def read_elements(received: bytes, elements_of: Callable[[bytes], Elements]) -> Elements:
    """What `elements_of` reads; from a large body in a thread.

    Raises: what `elements_of` does.
    """
    if len(received) > LARGE_BYTES:
        return await run_in_threadpool(elements_of, received)
    return elements_of(received)


def refused_at(request: Request) -> Refused:
    """A problem, as the route would have answered it alone."""
    return lambda problem: problem_body(problem, request.url.path)


async def answer_all(
    services: Services,
    call: Call,
    elements: list[Any],
    texts: list[str],
    prefix: str,
    answer_one: AnswerOne,
    refused: Refused,
    is_last: Callable[[dict[str, Any]], bool] | None = None,
) -> tuple[list[dict[str, Any]], bool]:
    """The answers to elements and their received texts, and whether every one that was not refused had been recorded before.

    With `is_last` one is asked after the other, and none after an answer of which it is true.

    Raises: IdempotencyKeyReused; Unavailable where that was every element's answer: then the batch as a whole is to be sent again.
    """
    await require_unused_by_others(services.reads, services.chain_id, call.claim)
    recorded: list[bool] = []
    away: list[Unavailable] = []

    answers: list[dict[str, Any]] = [{}] * len(elements)

    async def one(place: int) -> None:
        pointer = f"{prefix}/{place}"
        try:
            members = elements[place]
            if not isinstance(members, dict):
                raise field_invalid(pointer, "an element is an object")
            answers[place], is_replay = await answer_one(members, call_at(call, place, members, texts[place], pointer), pointer)
            recorded.append(is_replay)
        except Exception as error:
            if isinstance(error, IdempotencyKeyReused) and not is_led():
                raise
            if isinstance(error, Unavailable):
                away.append(error)
            answers[place] = refused(answer_error(error))

    def is_led() -> bool:
        return call.claim is None or bool(recorded or away)

    with span("batch") as told, gathering():
        if is_last is None:
            await services.batch_turns.ask_each(len(elements), one, is_led)
        else:
            for place in range(len(elements)):
                await one(place)
                if is_last(answers[place]):
                    del answers[place + 1 :]
                    break
        if told is not None:
            told.set_attributes({"precedent.count": len(answers), "precedent.refused": len(answers) - len(recorded)})
    if len(away) == len(answers):
        raise away[0]
    return answers, bool(recorded) and all(recorded)
