"""The ledger's head, as the database has it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import json_response
from api.models import HeadAnswer
from api.requests import authenticate
from api.services import services_of
from precedent.ledger.projections import HEAD

router = APIRouter(tags=["Ledger"])


@router.get("/ledger/head", response_model=HeadAnswer)
async def get_head(request: Request) -> Response:
    """How many entries the chain has, and the newest one's leaf and time."""
    services = services_of(request)
    await authenticate(request, services, "read")
    row = await services.reads.fetch_one(HEAD, (services.chain_id,))
    size, leaf, recorded_at = row or (0, None, None)
    return json_response({"chain": services.settings.chain, "size": size, "hash": leaf, "recorded_at": recorded_at})
