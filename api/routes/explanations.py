"""Explanations: one decision in words, for a program or on a page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api.answers import json_response
from api.contracts import Id
from api.explanation_models import ExplanationAnswer
from api.pages import Visitor, page
from api.pages.explanation import explanation_body
from api.pages.html import element
from api.problems import CATALOGUE, answer_error
from api.requests import authenticate, parse_uuid, session_of
from api.routes.decisions import personal_facts
from api.services import Services, services_of
from precedent.errors import PrecedentError, TokenUnknown
from precedent.explanation import Explanation
from precedent.guard.access import Principal

router = APIRouter(tags=["Decisions"])

BY_ACCEPT = {"Vary": "Accept"}
HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}


@router.get("/decisions/{decision_id}/explanation", response_model=ExplanationAnswer, responses=HTML)
async def explain_decision(request: Request, decision_id: Id) -> Response:
    """Why it came out so, in words: rules with what they read, what would have changed it, review, outcome, place in the ledger.

    JSON, or a page where `Accept` prefers HTML; a browser that has no session is led to the sign-in.
    """
    services = services_of(request)
    if not prefers_html(request.headers.get("accept", "")):
        told, personal, _ = await _explain(request, services, decision_id)
        return json_response(_answer(told, services.settings.chain, personal), 200, BY_ACCEPT)
    try:
        told, personal, principal = await _explain(request, services, decision_id)
    except TokenUnknown:
        return RedirectResponse(f"/sign-in?next={quote(request.url.path)}", 303, BY_ACCEPT)
    except PrecedentError as error:
        problem = answer_error(error)
        said = element("p", problem.detail, class_="soft")
        answer = page(CATALOGUE[problem.code][0], said, problem.status)
    else:
        body = explanation_body(told, services.settings.chain, personal)
        answer = page(told.headline, body, visitor=visitor_of(request, services, principal))
    answer.headers.update(BY_ACCEPT)
    return answer


def prefers_html(accept: str) -> bool:
    """Whether HTML is wanted more than JSON; what names neither gets JSON."""
    weights = {"text/html": 0.0, "application/json": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind in weights:
            quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
            weights[kind] = float(quality) if quality.replace(".", "", 1).isdecimal() else 0.0
    return weights["text/html"] > weights["application/json"]


def visitor_of(request: Request, services: Services, principal: Principal) -> Visitor | None:
    """Who is signed in; None for whoever came with a token of their own."""
    session = None if "authorization" in request.headers else session_of(request, services)
    return Visitor(principal.name, session.form_proof(services.keyring.session_key)) if session else None


async def _explain(request: Request, services: Services, decision_id: str) -> tuple[Explanation, dict[str, Any] | None, Principal]:
    principal = await authenticate(request, services, "read")
    told, entry = await services.explainer.explain(parse_uuid(decision_id, "/decision_id"))
    principal.require("read", told.node)
    personal = await personal_facts(services, entry) if "personal:read" in principal.scopes else None
    return told, personal, principal


def _answer(told: Explanation, chain: str, personal: dict[str, Any] | None) -> dict[str, Any]:
    place = {"chain": chain, "seq": told.seq, "hash": told.hash, "proof": f"/decisions/{told.id}/proof?wait=proof"}
    said = {name: value for name, value in asdict(told).items() if name not in {"seq", "hash"}}
    return said | {"personal": personal, "ledger": place}
