"""Reviews: what waits for a person, the most urgent first, and their answers; for a program, or on a page behind the sign-in."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from api.answers import json_response, recorded_response, review_answer
from api.contracts import Id
from api.models import ReviewKind
from api.openapi import body_of
from api.pages import page
from api.pages.html import element
from api.pages.reviews import queue_body
from api.problems import CATALOGUE, answer_error
from api.requests import Members, authenticate, call_of, parse_object, parse_uuid, read_body, session_of
from api.review_models import ReviewAnswer, ReviewPage, ReviewRequest
from api.routes.explanations import BY_ACCEPT, HTML, prefers_html, visitor_of
from api.routes.sessions import read_proven_form
from api.services import Services, services_of
from precedent.call import Call
from precedent.errors import PrecedentError, TokenUnknown
from precedent.guard.access import Principal
from precedent.people.answers import REASON_LIMIT_CHARS, STATUS_OF, Said
from precedent.people.review_store import QUEUE
from precedent.people.reviews import Filters, page_of, queue_parameters

router = APIRouter(tags=["Reviews"])

SCOPE = "reviews:write"
MEMBERS = ("answer", "reason", "digest", "correlation_id")
DIGEST_CHARS = 64
Listed = Literal["open", "overdue", "approved", "denied", "reversed", "confirmed"]


@router.get("/reviews", response_model=ReviewPage, responses=HTML)
async def list_reviews(
    request: Request,
    status: Listed = "open",
    kind: ReviewKind | None = None,
    node: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: str | None = None,
) -> Response:
    """The queue of the token's nodes, those that are due first at its head: escalations, what can still be reversed, and what the
    draw picked for an audit. An answer is bound to the `digest` told here.

    JSON, or a page where `Accept` prefers HTML; a browser that has no session is led to the sign-in.
    """
    services = services_of(request)
    is_page = prefers_html(request.headers.get("accept", ""))
    try:
        principal = await authenticate(request, services, SCOPE, node)
    except TokenUnknown:
        if not is_page:
            raise
        return RedirectResponse(f"/sign-in?next={quote(_path_of(request))}", 303, BY_ACCEPT)
    now_us = services.clock.now_us()
    filters = Filters(principal.nodes if node is None else (node,), status, kind)
    rows = await services.reads.fetch(QUEUE, queue_parameters(services.chain_id, filters, now_us, limit, after))
    found = page_of(rows, now_us, limit)
    if not is_page:
        return json_response({"items": found.reviews, "next": found.next}, 200, BY_ACCEPT)
    visitor = visitor_of(request, services, principal)
    answer = page(
        "Waiting for people" if status in ("open", "overdue") else "Reviews", queue_body(found, filters, node, visitor), visitor=visitor
    )
    answer.headers.update(BY_ACCEPT)
    return answer


@router.post("/decisions/{decision_id}/review", status_code=201, response_model=ReviewAnswer, openapi_extra=body_of(ReviewRequest))
async def answer_review(request: Request, decision_id: Id) -> Response:
    """Answer a review, once: approve or deny an escalation, reverse a decision within its window, confirm or reverse an audit.

    With a reason, bound to the decision's hash, and never by who asked for the decision.
    """
    services = services_of(request)
    principal = await authenticate(request, services, SCOPE)
    body = await read_body(request, services.settings.body_limit_bytes)
    members = parse_object(body)
    said = said_of(decision_id, members)
    call = call_of(request, services, principal, body, members.get("correlation_id"))
    recorded = await services.reviewer.answer(said, call, partial(principal.require, SCOPE))
    return recorded_response(review_answer(recorded, services.settings.chain), is_replay=recorded.is_replay)


@router.post("/reviews/{decision_id}", include_in_schema=False)
async def answer_by_form(request: Request, decision_id: str) -> Response:
    """The same, by the form of our own page: a session, and the proof that this page was made for it."""
    services = services_of(request)
    session = session_of(request, services)
    if session is None:
        return RedirectResponse("/sign-in?next=/reviews", 303)
    fields = await read_proven_form(request, services, session)
    principal = await services.access.authenticate_hash(session.token_hash)
    try:
        await _answer_form(request, services, principal, decision_id, fields)
    except PrecedentError as error:
        problem = answer_error(error)
        back = element("p", element("a", "Back to the queue", href="/reviews"))
        said = element("div", element("p", problem.detail, class_="alert", role="alert"), back)
        return page(CATALOGUE[problem.code][0], said, problem.status, visitor_of(request, services, principal))
    return RedirectResponse("/reviews", 303)


def said_of(decision_id: str, members: dict[str, Any]) -> Said:
    """What a person says, member by member.

    Raises: FieldInvalid.
    """
    read = Members(members)
    read.require_known(*MEMBERS)
    answer = members.get("answer")
    if not isinstance(answer, str) or answer not in STATUS_OF:
        raise read.fault("answer", f"answer is one of {', '.join(STATUS_OF)}")
    reason = str(read.text("reason", is_required=True, limit=REASON_LIMIT_CHARS)).strip()
    if not reason:
        raise read.fault("reason", "a reason says something: it is not blank")
    digest = str(read.text("digest", is_required=True, limit=DIGEST_CHARS))
    return Said(parse_uuid(decision_id, "/decision_id"), answer, reason, digest.lower())


async def _answer_form(request: Request, services: Services, principal: Principal, decision_id: str, fields: dict[str, str]) -> None:
    principal.require(SCOPE)
    said = said_of(decision_id, {name: fields.get(name) for name in ("answer", "reason", "digest")})
    call = Call(principal.name, request.scope["correlation_id"], request.scope["received_ns"], _as_received(said))
    await services.reviewer.answer(said, call, partial(principal.require, SCOPE))


def _as_received(said: Said) -> bytes:
    """What a form says, without its proof: that is the session's, and no part of the record."""
    return f"{said.answer}\n{said.digest}\n{said.reason}".encode()


def _path_of(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
