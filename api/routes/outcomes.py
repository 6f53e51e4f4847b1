"""Outcomes: what came of a decision. A new one supersedes the one before; none is lost."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response, outcome_answer, recorded_response
from api.batches import answer_batch
from api.contracts import Id
from api.lean import LeanRoute
from api.models import OutcomeAnswer, OutcomeAnswers, OutcomeBatch, OutcomeRequest, OutcomeRevisions
from api.openapi import body_of
from api.requests import Members, authenticate, call_of, parse_object, parse_uuid, read_body
from api.services import services_of
from precedent.call import Call
from precedent.guard.access import Principal
from precedent.ledger.projections import OUTCOME_COLUMNS, OUTCOMES, as_row
from precedent.record import Observation

router = APIRouter(tags=["Outcomes"])
hot_router = APIRouter(tags=["Outcomes"], route_class=LeanRoute)

MEMBERS = ("decision_id", "metrics", "observed_at", "as_of", "correlation_id")


@hot_router.post("/outcomes", response_model=OutcomeAnswers, openapi_extra=body_of(OutcomeBatch))
async def record_batch(request: Request) -> Response:
    """Up to 1,000 outcomes `{"outcomes": [{"decision_id", "metrics", …}]}`; answers in their order."""
    services = services_of(request)
    principal = await authenticate(request, services, "outcomes:write")
    body = await read_body(request, services.settings.batch_limit_bytes)

    async def record_one(members: dict[str, Any], call: Call, prefix: str) -> tuple[dict[str, Any], bool]:
        return await _record(request, members, call, principal, members.get("decision_id"), prefix)

    return await answer_batch(request, call_of(request, services, principal, body), "outcomes", record_one)


@hot_router.post("/outcomes/{decision_id}", status_code=201, response_model=OutcomeAnswer, openapi_extra=body_of(OutcomeRequest))
async def record(request: Request, decision_id: Id) -> Response:
    """Record a revision of the decision's outcome and answer with its reward."""
    services = services_of(request)
    principal = await authenticate(request, services, "outcomes:write")
    body = await read_body(request, services.settings.body_limit_bytes)
    members = parse_object(body)
    call = call_of(request, services, principal, body, members.get("correlation_id"))
    answer, is_replay = await _record(request, members, call, principal, decision_id, "")
    return recorded_response(answer, is_replay=is_replay)


@router.get("/outcomes/{decision_id}", response_model=OutcomeRevisions)
async def get_outcomes(request: Request, decision_id: Id) -> Response:
    """The current revision and the earlier ones."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    decision = await services.recorder.find_decision(parse_uuid(decision_id, "/decision_id"))
    principal.require("read", decision.core["node"])
    rows = await services.reads.fetch(OUTCOMES, {"chain": services.chain_id, "decision": decision.place.entry_id})
    revisions = [as_row(OUTCOME_COLUMNS, row) for row in rows]
    return json_response({"decision_id": decision_id, "current": revisions[0] if revisions else None, "earlier": revisions[1:]})


async def _record(
    request: Request, members: dict[str, Any], call: Call, principal: Principal, decision_id: object, prefix: str
) -> tuple[dict[str, Any], bool]:
    services = services_of(request)
    read = Members(members, prefix)
    read.require_known(*MEMBERS)
    as_of_us = read.instant_us("as_of")
    if as_of_us is not None:
        principal.require("import")
    observation = Observation(
        decision_id=parse_uuid(decision_id, f"{prefix}/decision_id"),
        metrics=read.object("metrics"),
        pointer=prefix,
        observed_at_us=read.instant_us("observed_at"),
        as_of_us=as_of_us,
    )
    recorded = await services.recorder.record_outcome(observation, call, partial(principal.require, "outcomes:write"))
    revision = await services.recorder.revision_of(recorded)
    return outcome_answer(recorded, revision, services.settings.chain), recorded.is_replay
