"""Proofs over HTTP, checked as a stranger would: with the receipt, the answer, and the code of the tree alone."""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from in_process import DEAL, Api

from api.models import ProofAnswer
from precedent.ledger.merkle import CompactRange, is_consistent, is_included, plan_consistency, prove
from precedent.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from precedent.ledger.rotate_signer import rotate_signer
from precedent.ledger.tiles import edge_names, hashes_in, split_hashes


def leaf_of_receipt(answer: dict[str, Any]) -> bytes:
    leaf = sha256(b"\x00" + b64decode(answer["receipt"]["envelope"])).digest()
    assert leaf.hex() == answer["hash"]
    return leaf


def newest(client: httpx2.Client, key: VerifierKey) -> Checkpoint:
    answer = client.get("/ledger/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    return open_checkpoint(answer.content, key)


def key_of(proof: dict[str, Any]) -> VerifierKey:
    return VerifierKey.parse(proof["verifier_key"])


def prove_decision(client: httpx2.Client, decision_id: str) -> dict[str, Any]:
    answer = client.get(f"/decisions/{decision_id}/proof", params={"wait": "proof"})
    assert answer.status_code == 200, answer.text
    ProofAnswer.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def test_the_receipt_of_a_decision_verifies_against_its_proof(api: Api) -> None:
    decided = [api.decide(headers={"idempotency-key": f"proved-{n}"}) for n in range(3)]
    keys = set()
    for decision in decided:
        proof = prove_decision(api.client, decision["id"])
        assert (proof["id"], proof["chain"], proof["envelope"]) == (decision["id"], "main", decision["receipt"]["envelope"])
        head = open_checkpoint(proof["checkpoint"], key_of(proof))
        assert (head.size, head.root.hex()) == (proof["size"], proof["root"])
        path = [bytes.fromhex(step) for step in proof["path"]]
        leaf, index = leaf_of_receipt(decision), decision["receipt"]["seq"]
        assert is_included(leaf, index, head.size, path, head.root)
        assert not is_included(leaf, index - 1, head.size, path, head.root)
        keys.add(proof["verifier_key"])
    assert len(keys) == 1


def test_receipts_of_every_kind_verify_against_tiles_and_checkpoint(api: Api) -> None:
    client = api.client
    event = client.post("/events", json={"type": "Proved", "payload": {}}).json()
    decision = api.decide()
    outcome = client.post(f"/outcomes/{decision['id']}", json={"metrics": {"won": True, "margin": 0.3}}).json()
    batch = client.post("/decisions/finance/batch", json={"decisions": [DEAL, DEAL]}).json()["answers"]
    last = max([event, decision, outcome, *batch], key=lambda answer: int(answer["receipt"]["seq"]))
    head = newest(client, key_of(prove_decision(client, last["id"])))
    whole = CompactRange()
    leaves: list[bytes] = []
    assert head.size < 256
    for name in edge_names(head.size):
        leaves = split_hashes(client.get(f"/ledger/tile/{name.level}/000.p/{name.width}").content)
        bundle = client.get(f"/ledger/tile/entries/000.p/{name.width}").content
    for leaf in leaves:
        whole.append(leaf)
    assert whole.root() == head.root
    envelopes = [bundle[start + 2 : start + 116] for start in range(0, len(bundle), 116)]
    assert [sha256(b"\x00" + envelope).digest() for envelope in envelopes] == leaves
    for answer in (event, decision, outcome, *batch):
        assert leaves[answer["receipt"]["seq"]] == leaf_of_receipt(answer)


def test_a_proof_is_also_a_c2sp_tlog_proof(api: Api) -> None:
    decision = api.decide()
    proof = prove_decision(api.client, decision["id"])
    answer = api.client.get(f"/decisions/{decision['id']}/proof", headers={"accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-disposition"] == f'attachment; filename="{decision["id"]}.tlog-proof"'
    text, _, note = answer.text.partition("\n\n")
    first, extra, index, *path = text.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    assert extra == f"extra {decision['receipt']['envelope']}"
    assert index == f"index {decision['receipt']['seq']}"
    head = open_checkpoint(note, key_of(proof))
    assert is_included(leaf_of_receipt(decision), decision["receipt"]["seq"], head.size, [b64decode(step) for step in path], head.root)


def test_checkpoints_continue_each_other_by_the_tiles_that_are_served(api: Api) -> None:
    client = api.client
    key = key_of(prove_decision(client, api.decide()["id"]))
    first = newest(client, key)
    prove_decision(client, api.decide()["id"])
    second = newest(client, key)
    assert first.size < second.size < 256
    tiles = {(0, 0): client.get(f"/ledger/tile/0/000.p/{second.size}").content}
    path = prove(plan_consistency(first.size, second.size), hashes_in(tiles))
    assert is_consistent(first.size, first.root, second.size, second.root, path)


def test_full_tiles_are_served_for_ever_and_hold_what_is_above_them(api: Api) -> None:
    client = api.client
    events = [{"type": "Many"}] * 300
    assert client.post("/events", json=events).is_success
    decision = api.decide()
    proof = prove_decision(client, decision["id"])
    assert proof["leaf_index"] > 256
    tile = client.get("/ledger/tile/0/000")
    assert (len(tile.content), tile.headers["content-type"]) == (8192, "application/octet-stream")
    assert tile.headers["cache-control"] == "max-age=31536000, immutable"
    whole = CompactRange()
    for leaf in split_hashes(tile.content):
        whole.append(leaf)
    assert client.get("/ledger/tile/1/000.p/1").content == whole.root()
    assert tile.content[: 32 * 200] == client.get("/ledger/tile/0/000.p/200").content
    assert len(client.get("/ledger/tile/entries/000").content) == 256 * 116


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/", "0/0", "0/00", "0/0000", "64/000", "00/000", "-1/000", "0/x000/000", "0/000/000", "0/000.p/0", "0/000.p/256",
     "0/000.p/01", "0/000.p/", "0/001/x000", "entries/x/000", "other/000", "0/999", "63/000.p/1", "0/x999/x999/x999/x999/x999/999",
     "entries/999.p/1", "0/٠٠٠", "0/x99999999/000"],
)  # fmt: skip
def test_what_is_no_tile_is_not_found(client: httpx2.Client, path: str) -> None:
    answer = client.get(f"/ledger/tile/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_a_proof_is_for_whoever_may_read_the_node(api: Api) -> None:
    decision = api.decide()
    path = f"/decisions/{decision['id']}/proof"
    assert api.client.get(path, headers=api.token("decisions:write")).status_code == 403
    assert api.client.get(path, headers=api.token("read", nodes=("credit",))).status_code == 403
    assert api.client.get(path, headers={"authorization": ""}).status_code == 401
    assert api.client.get(path, params={"wait": "proof"}, headers=api.token("read", nodes=("finance",))).status_code == 200
    for other in ("/ledger/checkpoint", "/ledger/tile/0/000.p/1"):
        assert api.client.get(other, headers=api.token("decisions:write")).status_code == 403
        assert api.client.get(other, headers=api.token("read")).status_code == 200


def test_what_is_no_decision_has_no_proof(api: Api) -> None:
    event = api.client.post("/events", json={"type": "Proved"}).json()
    for decision_id, status in ((event["id"], 404), ("0198f000-0000-7000-8000-000000000000", 404), ("7", 422)):
        assert api.client.get(f"/decisions/{decision_id}/proof").status_code == status
    assert api.client.get(f"/decisions/{api.decide()['id']}/proof", params={"wait": "long"}).status_code == 422


def test_proofs_go_on_through_a_rotation_and_an_old_key_leads_to_the_new_one(api: Api) -> None:
    before = prove_decision(api.client, api.decide()["id"])
    settings = api.installation.settings
    rotated = rotate_signer(api.database_url, settings, "operator", "as every year")
    assert rotated.is_promoted
    after = prove_decision(api.client, api.decide()["id"])
    assert (before["verifier_key"], after["verifier_key"]) == (str(rotated.handover.previous), str(rotated.handover.verifier))
    assert newest(api.client, key_of(after)).size > rotated.handover.seq
    with pytest.raises(ValueError, match="no key that is known"):
        newest(api.client, key_of(before))
    keys = api.client.get("/ledger/keys").json()["keys"]
    assert [key["verifier_key"] for key in keys] == [before["verifier_key"], after["verifier_key"]]
    assert (keys[0]["last_size"], keys[1]["first_size"]) == (rotated.handover.seq, rotated.handover.seq + 1)
    text = api.client.get(f"/decisions/{after['id']}/proof", headers={"accept": "text/plain"}).text
    assert open_checkpoint(text.partition("\n\n")[2], key_of(after)).size > after["leaf_index"]
