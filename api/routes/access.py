"""AuthZEN 1.0, the OpenID Authorization API (https://openid.net/specs/authorization-api-1_0.html), for clients that speak it.

An evaluation is a decision like any other: by the same policies, recorded before it is told. What can't be decided is never true:
alone it is a problem, among others an error in its place, and then nothing was recorded for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access import PARTS, evaluation_of, form_problem
from api.access_models import AccessAnswer, AccessAnswers, AccessConfiguration, AccessRequest, AccessRequests
from api.answers import REPLAYED, decision_answer, json_response
from api.batches import MAX_ELEMENTS, Elements, answer_all, read_elements
from api.lean import LeanRoute
from api.openapi import body_of
from api.problems import Problem
from api.requests import Members, authenticate, call_of, field_invalid, parse_object, read_body
from api.services import Services, services_of
from precedent.call import Call
from precedent.errors import FactsInvalid, FieldInvalid
from precedent.guard.access import Principal
from precedent.ledger.canonical import element_texts, member_texts

router = APIRouter(tags=["AuthZEN"], route_class=LeanRoute)

HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
# After which answer the rest is not asked.
STOPS_AFTER: dict[str, bool | None] = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks, with the call that all evaluations of one request share."""

    services: Services
    principal: Principal
    call: Call

    async def ask(self, members: dict[str, Any], call: Call, pointer: str) -> tuple[dict[str, Any], bool]:
        """The answer, recorded, and whether it had been under the same key before.

        Raises: Problem 400; ScopeMissing, and what deciding raises.
        """
        evaluation = evaluation_of(members, pointer)
        self.principal.require("decisions:write", evaluation.question.node)
        try:
            decision = await self.services.decider.decide(evaluation.question, call)
        except FactsInvalid as error:
            raise evaluation.placed(error) from error
        told = decision_answer(decision, self.services.settings.chain)
        return {"decision": told["approved"] and told["effective"], "context": told}, decision.is_replay


@router.get("/.well-known/authzen-configuration", response_model=AccessConfiguration)
async def configuration(request: Request) -> Response:
    """Where this decision point is asked: under the host by which the caller reached it."""
    host = request.headers.get("host", "")
    if not HOST.fullmatch(host):
        raise Problem(400, "FIELD_INVALID", "the header Host names no host")
    base = f"{request.url.scheme}://{host}"
    endpoints = {f"access_{name}_endpoint": f"{base}/access/v1/{name}" for name in ("evaluation", "evaluations")}
    return json_response({"policy_decision_point": base} | endpoints, 200, {"Cache-Control": "no-store"})


@router.post("/access/v1/evaluation", response_model=AccessAnswer, openapi_extra=body_of(AccessRequest))
async def evaluate(request: Request) -> Response:
    """Decide one access request; `decision` is true only for an approval that is in effect.

    `action.name` is `node/action`. Properties and context together are the facts; the id of a subject or resource is the fact that
    finds a thing of its type. `context` in the answer is the recorded decision, with its reasons.
    """
    services = services_of(request)
    asker = await _asker(request, services, services.settings.body_limit_bytes)
    answer, is_replay = await asker.ask(parse_object(asker.call.received), asker.call, "")
    return json_response(answer, 200, REPLAYED if is_replay else None)


@router.post("/access/v1/evaluations", response_model=AccessAnswer | AccessAnswers, openapi_extra=body_of(AccessRequests))
async def evaluate_all(request: Request) -> Response:
    """Decide several access requests, in their order; members beside the list are their defaults.

    `options.evaluations_semantic` may end it at the first denial or the first permission: what stands after that is not asked and
    not recorded. Without a list it is one evaluation.
    """
    services = services_of(request)
    asker = await _asker(request, services, services.settings.batch_limit_bytes)
    semantic = ""

    def elements_of(received: bytes) -> Elements:
        nonlocal semantic
        members = parse_object(received)
        semantic = _semantic(members)
        return _elements(members, received)

    try:
        elements, texts = await read_elements(asker.call.received, elements_of)
    except FieldInvalid as error:
        raise form_problem(error) from error
    if not elements:
        answer, is_replay = await asker.ask(parse_object(asker.call.received), asker.call, "")
        return json_response(answer, 200, REPLAYED if is_replay else None)
    stop = STOPS_AFTER[semantic]
    is_last = None if stop is None else lambda answer: answer["decision"] is stop
    answers, is_replay = await answer_all(services, asker.call, elements, texts, "/evaluations", asker.ask, _refused, is_last)
    return json_response({"evaluations": answers}, 200, REPLAYED if is_replay else None)


async def _asker(request: Request, services: Services, limit_bytes: int) -> _Asker:
    principal = await authenticate(request, services, "decisions:write")
    body = await read_body(request, limit_bytes)
    return _Asker(services, principal, call_of(request, services, principal, body))


def _semantic(members: dict[str, Any]) -> str:
    options = {} if members.get("options") is None else Members(members).object("options")
    found = options.get("evaluations_semantic", "execute_all")
    if not isinstance(found, str) or found not in STOPS_AFTER:
        raise field_invalid("/options/evaluations_semantic", f"evaluations_semantic is one of {', '.join(STOPS_AFTER)}")
    return found


def _elements(members: dict[str, Any], received: bytes) -> Elements:
    """Each evaluation with the defaults that it leaves out, and the words in which it was asked, theirs among them."""
    listed = members.get("evaluations")
    if listed is None or listed == []:
        return [], []
    if not isinstance(listed, list) or len(listed) > MAX_ELEMENTS or not all(isinstance(one, dict) for one in listed):
        raise field_invalid("/evaluations", f"evaluations is a list of up to {MAX_ELEMENTS} objects")
    texts = member_texts(received.decode())
    defaults = {part: texts[part] for part in PARTS if part in members}
    elements, words = [], []
    for one, text in zip(listed, element_texts(texts["evaluations"]), strict=True):
        # Nothing else of it: the call of an element would take its `correlation_id`.
        elements.append({part: value for part, value in (members | one).items() if part in PARTS})
        words.append("{" + ",".join(f'"{part}":{said}' for part, said in (defaults | member_texts(text)).items() if part in PARTS) + "}")
    return elements, words


def _refused(problem: Problem) -> dict[str, Any]:
    error = {"status": problem.status, "code": problem.code, "message": problem.detail, "errors": list(problem.faults)}
    return {"decision": False, "context": {"error": error}}
