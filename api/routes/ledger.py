"""The ledger from outside: its head, and what proves it, on the paths of C2SP tlog-tiles with `/ledger` as the prefix.

Entries have places, not nodes: head and tiles are told to tokens for every node. Checkpoint and keys tell of no entry, and whoever has a
proof needs them.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from api.answers import json_response
from api.contracts import Id, Tile
from api.models import HeadAnswer, KeysAnswer, ProofAnswer
from api.requests import authenticate, parse_uuid
from api.services import Services, services_of
from precedent.errors import LedgerBroken, NotFound
from precedent.guard.access import EVERY_NODE
from precedent.ledger.control_store import CONTROL, control_entries
from precedent.ledger.key_history import key_history
from precedent.ledger.note import VerifierKey, signer_in
from precedent.ledger.projections import HEAD
from precedent.ledger.tiles import TILE_HASHES, TileName

router = APIRouter(tags=["Ledger"])

WAIT_SECONDS = 10.0
ENTRIES = "entries"
# tile/<L>/<N>[.p/<W>]: N in elements of three digits, all but the last behind an x.
TILE_PATH = re.compile(r"(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
IMMUTABLE = {"Cache-Control": "max-age=31536000, immutable"}
TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary"},
                "examples": {"tile": {"summary": "The first hash", "externalValue": "/ledger/tile/0/000.p/1"}},
            }
        }
    }
}


@router.get("/ledger/head", response_model=HeadAnswer)
async def get_head(request: Request) -> Response:
    """How many entries the chain has, and the newest one's leaf and time."""
    services = services_of(request)
    await authenticate(request, services, "read", EVERY_NODE)
    row = await services.reads.fetch_one(HEAD, (services.chain_id,))
    size, leaf, recorded_at = row or (0, None, None)
    return json_response({"chain": services.settings.chain, "size": size, "hash": leaf, "recorded_at": recorded_at})


@router.get("/ledger/checkpoint", response_class=PlainTextResponse, responses=TEXT)
async def get_checkpoint(request: Request) -> Response:
    """The newest checkpoint: a C2SP signed note. It covers what was appended up to a fraction of a second ago."""
    services = services_of(request)
    await authenticate(request, services, "read")
    return PlainTextResponse((await services.proofs.newest()).note, headers={"Cache-Control": "no-cache"})


@router.get("/ledger/keys", response_model=KeysAnswer)
async def get_keys(request: Request) -> Response:
    """The keys that sign checkpoints, and which signed checkpoints were lost. Trust the one that you have from elsewhere."""
    services = services_of(request)
    await authenticate(request, services, "read")
    rows = await services.reads.fetch(CONTROL, (services.chain_id,))
    return json_response(key_history(list(control_entries(rows)), services.signer.verifier))


@router.get("/ledger/tile/{tile:path}", response_class=Response, responses=BYTES)
async def get_tile(request: Request, tile: Tile) -> Response:
    """A tile of hashes, `<L>/<N>` or `<L>/<N>.p/<W>`, or a bundle of envelopes, `entries/<N>`; neither ever changes."""
    services = services_of(request)
    await authenticate(request, services, "read", EVERY_NODE)
    kind, name = parse_tile_path(tile)
    found = await (services.proofs.read_bundle(name) if kind == ENTRIES else services.proofs.read_tile(name))
    return Response(found, headers=IMMUTABLE, media_type="application/octet-stream")


@router.get(
    "/decisions/{decision_id}/proof",
    response_model=ProofAnswer,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string", "description": "C2SP tlog-proof"}}}}},
)
async def get_proof(request: Request, decision_id: Id, wait: Literal["proof"] | None = None) -> Response:
    """That a decision stands in the signed tree; as C2SP tlog-proof where `Accept` names text/plain.

    With `wait=proof` it waits, up to ten seconds, for a checkpoint that covers the decision.
    """
    services = services_of(request)
    principal = await authenticate(request, services, "read")
    entry = await services.recorder.find_decision(parse_uuid(decision_id, "/decision_id"))
    principal.require("read", entry.core["node"])
    proof = await services.proofs.prove(entry.place, WAIT_SECONDS if wait else 0.0)
    if "text/plain" in request.headers.get("accept", ""):
        disposition = f'attachment; filename="{entry.place.entry_id}.tlog-proof"'
        return PlainTextResponse(str(proof), headers={"Content-Disposition": disposition})
    return json_response(
        {
            "id": str(proof.place.entry_id),
            "chain": services.settings.chain,
            "leaf_index": proof.place.seq,
            "leaf": proof.place.leaf.hex(),
            "envelope": b64encode(proof.place.envelope).decode(),
            "path": [step.hex() for step in proof.path],
            "size": proof.signed.size,
            "root": proof.signed.root.hex(),
            "checkpoint": proof.signed.note,
            "verifier_key": str(await _key_of(services, proof.signed.note)),
        }
    )


async def _key_of(services: Services, note: str) -> VerifierKey:
    """The signer's key that signed a note; another process may have been the first to sign with a new one."""
    for is_again in (False, True):
        if is_again:
            await asyncio.to_thread(services.signer.refresh)
        if (key := signer_in(note, services.signer.verifiers)) is not None:
            return key
    raise LedgerBroken("the newest checkpoint is signed by no key of the signer")


def parse_tile_path(path: str) -> tuple[str, TileName]:
    """`entries` or the level as text, and the tile's name; of a bundle that of the tile of level 0 above it.

    Raises: NotFound for a path that is not as C2SP tlog-tiles writes it: a tile has one address.
    """
    match = TILE_PATH.fullmatch(path)
    if match is None:
        raise NotFound("no tile has this path: see c2sp.org/tlog-tiles")
    kind, elements, width = match.groups()
    if elements.startswith("x000") or (width and int(width) >= TILE_HASHES):
        raise NotFound("no tile has this path: see c2sp.org/tlog-tiles")
    number = int(elements.replace("x", "").replace("/", ""))
    return kind, TileName(0 if kind == ENTRIES else int(kind), number, int(width or TILE_HASHES))
