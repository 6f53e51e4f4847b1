"""Change control: which version decides, and who has to agree to that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import REPLAYED, json_response
from api.contracts import UUID_SCHEMA, Id, Named, PolicyName, Ref
from api.openapi import body_of
from api.policy_models import (
    ChangeControlAnswer,
    ChangeControlRequest,
    ChangeControlSet,
    OptionalStepRequest,
    PolicyStep,
    ProposalAnswer,
    ProposalPage,
    StepRequest,
)
from api.requests import Members, authenticate, idempotency_claim, parse_object, parse_uuid, read_body
from api.routes.policies import whole_policy
from api.services import Services, services_of
from api.steps import NOTHING_RECORDED, control_answer, entry_of, step_answer, unchanged_answer
from precedent.errors import PolicyNotFound, ProposalNotFound
from precedent.guard.access import Principal
from precedent.ledger.entry import Claimed
from precedent.ledger.idempotency import Claim
from precedent.policy import store
from precedent.policy.change import Proposal, activate, approve, deactivate, reject, roll_back, set_second_person, withdraw
from precedent.policy.recording import Recorded

router = APIRouter(tags=["Change control"])

SCOPE = "policies:activate"
CONTROL_COLUMNS = ("node", "second_person", "reason", "updated_at", "updated_by")
PROPOSED: dict[int | str, dict[str, Any]] = {202: {"model": ProposalAnswer, "description": "Proposed: somebody else approves it"}}
OPTIONAL_BODY = body_of(OptionalStepRequest, is_required=False)


@router.post("/policies/{ref}/activate", response_model=PolicyStep, responses=PROPOSED, openapi_extra=OPTIONAL_BODY)
async def activate_policy(request: Request, ref: Ref) -> Response:
    """Make a version the one that its name means, at once for every process; 202 with a proposal where its node asks for two."""
    return await _change(request, ref, activate)


@router.post("/policies/{name}/rollback", response_model=PolicyStep, responses=PROPOSED, openapi_extra=OPTIONAL_BODY)
async def roll_back_policy(request: Request, name: PolicyName) -> Response:
    """Activate the version of the name that was active before; 202 with a proposal where its node asks for two."""
    return await _change(request, name, roll_back)


@router.post("/policies/{ref}/deactivate", response_model=PolicyStep, openapi_extra=OPTIONAL_BODY)
async def deactivate_policy(request: Request, ref: Ref) -> Response:
    """The policy decides nothing until a version of it is activated again. One person is enough."""
    return await _change(request, ref, deactivate)


@router.post("/policies/{ref}/withdraw", response_model=PolicyStep, openapi_extra=OPTIONAL_BODY)
async def withdraw_policy(request: Request, ref: Ref) -> Response:
    """Take a version out of use for good. One person is enough."""
    return await _change(request, ref, withdraw)


@router.get("/proposals", response_model=ProposalPage)
async def list_proposals(
    request: Request,
    status: Literal["open", "approved", "rejected", "lapsed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[str | None, Query(json_schema_extra=UUID_SCHEMA)] = None,
) -> Response:
    """What was proposed for the token's nodes, newest first."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    before = parse_uuid(after, "/query/after") if after is not None else None
    nodes = None if "*" in principal.nodes else sorted(principal.nodes)
    parameters = {"chain": services.chain_id, "status": status, "nodes": nodes, "after": before, "limit": limit + 1}
    rows = [Proposal(*row) for row in await services.reads.fetch(store.PROPOSALS, parameters)]
    following = str(rows[limit - 1].id) if len(rows) > limit else None
    return json_response({"items": [_proposal_answer(one) for one in rows[:limit]], "next": following})


@router.post("/proposals/{proposal_id}/approve", response_model=ProposalAnswer)
async def approve_proposal(request: Request, proposal_id: Id) -> Response:
    """Do what somebody else proposed. What has been answered, or has become another change meanwhile, is refused."""
    services = services_of(request)
    principal, held = await _authorise(request, services, proposal_id)
    claim = idempotency_claim(request, services, principal, b"")
    return await _answer(services, held.id, partial(approve, services.url, services.settings, held.id, principal.name, claim))


@router.post("/proposals/{proposal_id}/reject", response_model=ProposalAnswer, openapi_extra=body_of(StepRequest))
async def reject_proposal(request: Request, proposal_id: Id) -> Response:
    """Close a proposal without doing it; who made it may take it back so. It needs a reason."""
    services = services_of(request)
    principal, held = await _authorise(request, services, proposal_id)
    body = await read_body(request, services.settings.body_limit_bytes)
    reason = _reason_of(body, is_required=True) or ""
    claim = idempotency_claim(request, services, principal, body)
    return await _answer(services, held.id, partial(reject, services.url, services.settings, held.id, reason, principal.name, claim))


@router.get("/change-control", response_model=ChangeControlAnswer)
async def list_change_control(request: Request) -> Response:
    """Of the token's nodes those that ask, or asked once, for a second person; a node that is not there is content with one."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    rows = await services.reads.fetch(store.CHANGE_CONTROL, (services.chain_id,))
    items = [dict(zip(CONTROL_COLUMNS, row, strict=True)) for row in rows]
    return json_response({"items": [item for item in items if principal.is_for(item["node"])]})


@router.put("/change-control/{node}", response_model=ChangeControlSet, responses=PROPOSED, openapi_extra=body_of(ChangeControlRequest))
async def put_change_control(request: Request, node: Named) -> Response:
    """Ask for a second person to activate the node's policies, at once; asking for one alone again is proposed (202)."""
    services = services_of(request)
    principal = await authenticate(request, services, SCOPE, node)
    body = await read_body(request, services.settings.body_limit_bytes)
    members = parse_object(body)
    Members(members).require_known("second_person", "reason")
    is_needed = members.get("second_person")
    if not isinstance(is_needed, bool):
        raise Members(members).fault("second_person", "second_person is true or false")
    reason = str(Members(members).text("reason", is_required=True, limit=500))
    claim = idempotency_claim(request, services, principal, body)
    recorded = await run_in_threadpool(set_second_person, services.url, services.settings, node, is_needed, reason, principal.name, claim)
    if (proposed := await _proposed(services, recorded)) is not None:
        return proposed
    if recorded is not None:
        return json_response(control_answer(await entry_of(services, recorded), services.settings.chain), 200, _replayed(recorded))
    return json_response({"node": node, "second_person": is_needed} | NOTHING_RECORDED)


async def _change(request: Request, ref: str, change: Callable[..., Recorded]) -> Response:
    """What the step did. What came after a request that is sent again is not undone by it."""
    services = services_of(request)
    principal = await authenticate(request, services, SCOPE)
    name, _, version = ref.partition("@")
    row = await services.reads.fetch_one(store.NODE_OF, {"chain": services.chain_id, "name": name, "version": version or None})
    if row is None or bool(version) is (change is roll_back):
        raise PolicyNotFound(f"no policy {ref} is published")
    principal.require(SCOPE, row[0])
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    body = await read_body(request, services.settings.body_limit_bytes) if has_body else b""
    reason = _reason_of(body) if body else None
    claim: Claim | None = idempotency_claim(request, services, principal, body)
    recorded = await run_in_threadpool(change, services.url, services.settings, ref, principal.name, claim, reason)
    await services.authority.reload()
    if (proposed := await _proposed(services, recorded)) is not None:
        return proposed
    if recorded is None:
        return json_response(unchanged_answer(await whole_policy(services, ref)))
    return json_response(step_answer(await entry_of(services, recorded), services.settings.chain), 200, _replayed(recorded))


async def _authorise(request: Request, services: Services, proposal_id: str) -> tuple[Principal, Proposal]:
    principal = await authenticate(request, services, SCOPE)
    held = await _find(services, parse_uuid(proposal_id, "/proposal_id"))
    if held is None:
        raise ProposalNotFound(f"no proposal has the id {proposal_id}")
    principal.require(SCOPE, held.node)
    return principal, held


async def _answer(services: Services, proposal_id: UUID, step: Callable[[], Recorded]) -> Response:
    recorded = await run_in_threadpool(step)
    await services.authority.reload()
    held = await _find(services, proposal_id)
    return json_response(_proposal_answer(held) if held else {}, 200, _replayed(recorded))


async def _proposed(services: Services, recorded: Recorded) -> Response | None:
    """202 where what was recorded is a proposal: as it was made, also where it has been answered meanwhile."""
    held = await _find(services, recorded.entry_id) if recorded is not None else None
    if held is None:
        return None
    made = replace(held, status="open", closed_by=None, closed_at=None, closing_reason=None)
    return json_response(_proposal_answer(made), 202, _replayed(recorded))


async def _find(services: Services, entry_id: UUID) -> Proposal | None:
    row = await services.reads.fetch_one(store.PROPOSAL, (services.chain_id, entry_id))
    return Proposal(*row) if row else None


def _proposal_answer(proposal: Proposal) -> dict[str, Any]:
    return asdict(proposal) | {"ref": proposal.ref}


def _replayed(recorded: Recorded) -> dict[str, str] | None:
    return REPLAYED if isinstance(recorded, Claimed) else None


def _reason_of(body: bytes, *, is_required: bool = False) -> str | None:
    members = Members(parse_object(body))
    members.require_known("reason")
    return members.text("reason", is_required=is_required, limit=500)
