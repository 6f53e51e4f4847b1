"""Decisions: asked for one by one or in batches, listed, and told whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import debugged, decision_answer, decision_whole, json_response, page_of, recorded_response
from api.batches import answer_batch
from api.contracts import Id, Node
from api.lean import LeanRoute
from api.models import DecisionAnswer, DecisionAnswers, DecisionBatch, DecisionRequest, DecisionWhole, Page, Verdict
from api.openapi import body_of
from api.requests import MAX_SEQ, Members, authenticate, call_of, field_invalid, parse_object, parse_uuid, read_body
from api.services import Services, services_of
from precedent.call import Call
from precedent.decide import Question, replayed
from precedent.errors import ScopeMissing
from precedent.explanation import told_review
from precedent.guard.access import Principal
from precedent.ledger import store
from precedent.ledger.canonical import parse_strict
from precedent.ledger.keyring import unseal
from precedent.ledger.projections import DECISION_COLUMNS, DECISIONS, as_row
from precedent.ledger.store import StoredEntry
from precedent.people.answers import review_of
from precedent.people.review_store import REVIEW_OF

router = APIRouter(tags=["Decisions"])
hot_router = APIRouter(tags=["Decisions"], route_class=LeanRoute)

DEBUG = {
    "parameters": [
        {
            "name": "debug",
            "in": "query",
            "required": False,
            "description": "Look up similar past decisions and the newest snapshot, record them, and tell them. Needs the scope read.",
            "schema": {"type": "string", "enum": ["precedents"]},
        }
    ]
}
ENVELOPE_MEMBERS = ("action", "facts", "event_id", "correlation_id", "policy_version", "as_of")


@hot_router.post("/decisions/{node}", status_code=201, response_model=DecisionAnswer, openapi_extra=body_of(DecisionRequest) | DEBUG)
async def decide(request: Request, node: Node) -> Response:
    """Decide, record, answer. The verdict follows from the active policy alone; nothing in the body can set it.

    With `?debug=precedents`, for a token that may read, similar past decisions and the snapshot known are looked up, recorded and told;
    rules see of them what the policy names.
    """
    services = services_of(request)
    principal = await authenticate(request, services, "decisions:write", node)
    body = await read_body(request, services.settings.body_limit_bytes)
    members = parse_object(body)
    question = question_of(node, members, principal)
    wants_precedents = wants_precedents_of(request, principal, node)
    if wants_precedents:
        question = question._replace(wants_precedents=True)
    call = call_of(request, services, principal, body, members.get("correlation_id") if "facts" in members else None)
    decision = await services.decider.decide(question, call)
    answer = decision_answer(decision, services.settings.chain)
    if wants_precedents:
        answer |= debugged(decision)
    return recorded_response(answer, is_replay=decision.is_replay)


@hot_router.post("/decisions/{node}/batch", response_model=DecisionAnswers, openapi_extra=body_of(DecisionBatch))
async def decide_batch(request: Request, node: Node) -> Response:
    """Up to 1,000 questions; answers in their order, a problem in the place of each that was refused."""
    services = services_of(request)
    principal = await authenticate(request, services, "decisions:write", node)
    body = await read_body(request, services.settings.batch_limit_bytes)

    async def answer(members: dict[str, Any], call: Call, prefix: str) -> tuple[dict[str, Any], bool]:
        decision = await services.decider.decide(question_of(node, members, principal, prefix), call)
        return decision_answer(decision, services.settings.chain), decision.is_replay

    return await answer_batch(request, call_of(request, services, principal, body), "decisions", answer)


@router.get("/decisions", response_model=Page)
async def list_decisions(
    request: Request,
    node: str | None = None,
    verdict: Verdict | None = None,
    policy_version: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
) -> Response:
    """Decisions, newest first; a token for one node alone lists that node's."""
    services = services_of(request)
    principal = await authenticate(request, services, "read", node)
    if node is None and "*" not in principal.nodes:
        if len(principal.nodes) != 1:
            raise ScopeMissing(f"this token is for some nodes alone: name one of {', '.join(sorted(principal.nodes))}")
        (node,) = principal.nodes
    parameters = {"node": node, "verdict": verdict, "policy_version": policy_version, "after": after, "limit": limit + 1}
    rows = await services.reads.fetch(DECISIONS, parameters | {"chain": services.chain_id})
    return json_response(page_of([as_row(DECISION_COLUMNS, row) for row in rows], limit))


@router.get("/decisions/{decision_id}", response_model=DecisionWhole)
async def get_decision(request: Request, decision_id: Id) -> Response:
    """One decision with all that it was derived from; personal facts only for the scope personal:read."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    entry = await services.recorder.find_decision(parse_uuid(decision_id, "/decision_id"))
    principal.require("read", entry.core["node"])
    whole = decision_whole(replayed(entry), services.settings.chain)
    review = review_of(await services.reads.fetch_one(REVIEW_OF, (services.chain_id, entry.place.entry_id)))
    whole["review"] = told_review(review) if review else None
    whole["personal"] = await personal_facts(services, entry) if "personal:read" in principal.scopes else None
    return json_response(whole)


async def personal_facts(services: Services, entry: StoredEntry) -> dict[str, Any] | None:
    """None where there are none, or their subject was erased."""
    if entry.core["subject_id"] is None:
        return None
    row = await services.reads.fetch_one(store.PERSONAL, (entry.core["subject_id"], services.chain_id, entry.place.seq))
    if row is None:
        return None
    data_key = services.keyring.unwrap(row[1], row[2])
    found: dict[str, Any] = parse_strict(unseal(data_key, entry.place.entry_id, row[0]))["facts"]
    return found


def wants_precedents_of(request: Request, principal: Principal, node: str) -> bool:
    """Whether the caller asks for precedents beyond what the policy names.

    Raises: FieldInvalid for another word; ScopeMissing.
    """
    if not request.scope["query_string"]:
        return False
    asked = request.query_params.get("debug")
    if asked is None:
        return False
    if asked != "precedents":
        raise field_invalid("/query/debug", "debug is 'precedents'")
    principal.require("read", node)
    return True


def question_of(node: str, members: Mapping[str, Any], principal: Principal, prefix: str = "") -> Question:
    """The question in a body: an envelope with `facts`, else the flat facts themselves.

    Raises: FieldInvalid, ScopeMissing.
    """
    if "facts" not in members:
        return Question(node, None, members, prefix)
    read = Members(members, prefix)
    read.require_known(*ENVELOPE_MEMBERS)
    as_of_us = read.instant_us("as_of")
    policy_ref = read.text("policy_version")
    if as_of_us is not None:
        principal.require("import")
    if policy_ref is not None:
        principal.require("decisions:pin")
    return Question(
        node=node,
        action=read.text("action"),
        facts=read.object("facts"),
        facts_prefix=f"{prefix}/facts",
        event_id=read.uuid("event_id"),
        as_of_us=as_of_us,
        policy_ref=policy_ref,
    )
