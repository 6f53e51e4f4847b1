"""Policies: listed, checked, published. What is done with a published one is change control's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.answers import REPLAYED, json_response
from api.contracts import Node, Ref
from api.policy_models import PolicyChecked, PolicyPage, PolicyWhole
from api.problems import Problem
from api.requests import authenticate, field_invalid, idempotency_claim, media_type_of, parse_object, read_body, receive_body
from api.services import Services, services_of
from precedent.errors import NotStrictJson, PolicyNotFound
from precedent.policy import store
from precedent.policy.registry import publish, validate

router = APIRouter(tags=["Policies"])

POLICY_COLUMNS = ("name", "version", "node", "digest", "status", "created_at", "created_by", "activated_at")
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
KNOWN: dict[int | str, dict[str, Any]] = {200: {"model": PolicyChecked, "description": "The same was published before"}}
TEXT_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/yaml": {"schema": {"type": "string"}}, "application/json": {"schema": {"type": "object"}}},
    }
}


@router.get("/policies", response_model=PolicyPage)
async def list_policies(request: Request) -> Response:
    """Every published version of the token's nodes."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    rows = [dict(zip(POLICY_COLUMNS, row, strict=True)) for row in await services.reads.fetch(store.LIST, (services.chain_id,))]
    return json_response({"items": [row for row in rows if principal.is_for(row["node"])], "next": None})


@router.get("/policies/{ref}", response_model=PolicyWhole)
async def get_policy(request: Request, ref: Ref) -> Response:
    """One version (`name@version`), or the active one of a name, with its source and document."""
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    policy = await whole_policy(services, ref)
    principal.require("read", policy["node"])
    return json_response(policy)


@router.post("/policies/validate", response_model=PolicyChecked, openapi_extra=TEXT_BODY)
async def validate_policy(request: Request) -> Response:
    """The document's reference and digest where it has no problems; else each problem with line and column."""
    services = services_of(request)
    await authenticate(request, services, "policies:write")
    document = await run_in_threadpool(validate, await _policy_text(request), "<body>")
    return json_response({"ref": document.ref, "node": document.node, "actions": list(document.actions), "digest": document.digest_hex})


@router.post("/policies/{node}/publish", status_code=201, response_model=PolicyChecked, responses=KNOWN, openapi_extra=TEXT_BODY)
async def publish_policy(request: Request, node: Node) -> Response:
    """Store a version for ever; it decides nothing until it is activated. 200 where the same was published before."""
    services = services_of(request)
    principal = await authenticate(request, services, "policies:write", node)
    text = await _policy_text(request)
    document = await run_in_threadpool(validate, text, "<body>")
    if document.node != node:
        raise field_invalid("/node", f"the document is of the node '{document.node}', not '{node}'")
    claim = idempotency_claim(request, services, principal, text.encode())
    published = await run_in_threadpool(publish, services.url, services.settings, text, "<body>", principal.name, claim)
    body = {"ref": published.ref, "node": published.node, "actions": list(published.actions), "digest": published.digest}
    return json_response(body, 201 if published.is_new else 200, REPLAYED if published.is_replay else None)


async def whole_policy(services: Services, ref: str) -> dict[str, Any]:
    """A version (`name@version`), or the active one of a name.

    Raises: PolicyNotFound.
    """
    name, _, version = ref.partition("@")
    row = await services.reads.fetch_one(store.ONE, {"chain": services.chain_id, "name": name, "version": version or None})
    if row is None:
        raise PolicyNotFound(f"no policy {ref} is published" if version else f"no version of {ref} is active")
    return dict(zip((*POLICY_COLUMNS, "source", "document"), row, strict=True))


async def _policy_text(request: Request) -> str:
    services = services_of(request)
    limit_bytes = services.settings.batch_limit_bytes
    if media_type_of(request) not in YAML_TYPES:
        body = await read_body(request, limit_bytes)
        parse_object(body)  # JSON is YAML, but YAML is laxer: what claims to be JSON is held to it
        return body.decode()
    too_large = Problem(413, "BODY_TOO_LARGE", f"the body has more than {limit_bytes} bytes")
    try:
        return (await receive_body(request, limit_bytes, too_large)).decode()
    except UnicodeDecodeError as error:
        raise NotStrictJson("the document is not UTF-8") from error
