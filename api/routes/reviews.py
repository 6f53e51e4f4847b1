"""Reviews: what waits for a person, the most urgent first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import json_response
from api.models import Page
from api.requests import authenticate
from api.services import services_of
from precedent.people import store
from precedent.people.reviews import page_of, queue_parameters

router = APIRouter(tags=["Reviews"])


@router.get("/reviews", response_model=Page)
async def list_reviews(
    request: Request,
    status: Literal["open", "approved", "denied"] = "open",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: str | None = None,
) -> Response:
    """The queue of the token's nodes, those that are due first at its head."""
    services = services_of(request)
    principal = await authenticate(request, services, "reviews:write")
    rows = await services.reads.fetch(store.REVIEWS, queue_parameters(services.chain_id, principal.nodes, status, limit, after))
    page = page_of(rows, limit)
    return json_response({"items": [asdict(review) for review in page.reviews], "next": page.next})
