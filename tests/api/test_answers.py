"""People's answers over HTTP: each kind of review, each refusal, once under races, and what the record and the pages say then."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from in_process import Api

from api.review_models import ReviewAnswer, ReviewPage
from precedent.ledger.rebuild import rebuild_projections
from precedent.ledger.verify import verify_database
from precedent.settings import project_root

REPLAYED = "idempotent-replayed"
ASKED: dict[str, dict[str, float]] = {"escalation": {"requested_discount_pct": 0.18}, "reversible": {"requested_discount_pct": 0.08}}


@pytest.fixture(scope="module", autouse=True)
def audited_finance(api: Api) -> None:
    """Everything that finance decides at AL3 is drawn for an audit: a version whose share is the whole."""
    text = (project_root() / "policies/finance/finance-constitution-1.1.0.yaml").read_text()
    text = text.replace("version: 1.1.0", "version: 7.0.0").replace("audit: 0.10", "audit: 1")
    assert api.client.post("/policies/finance/publish", content=text, headers={"content-type": "application/yaml"}).status_code == 201
    assert api.client.post("/policies/finance-constitution@7.0.0/activate").status_code == 200


@pytest.fixture(scope="module")
def asker(api: Api) -> dict[str, str]:
    return api.token("decisions:write", "events:write")


def decided(api: Api, asker: dict[str, str], kind: str = "escalation", **others: Any) -> dict[str, Any]:
    """A decision whose review is of the kind, asked for by somebody else than the client."""
    facts = ASKED.get(kind, {"requested_discount_pct": 0.13, "base_margin_pct": 0.31})
    return api.decide(headers=asker, facts=facts, **others)


def answer(
    api: Api, decision: dict[str, Any], word: str = "approve", headers: dict[str, str] | None = None, **members: Any
) -> httpx2.Response:
    body = {"answer": word, "reason": "looked at", "digest": decision["hash"]} | members
    return api.client.post(f"/decisions/{decision['id']}/review", json=body, headers=headers)


def require_refused(found: httpx2.Response, status: int, code: str, words: str = "") -> None:
    assert (found.status_code, found.json()["code"]) == (status, code), found.text
    assert words in found.json()["detail"]


def row_of(api: Api, decision: dict[str, Any], columns: str) -> tuple[Any, ...]:
    [row] = api.fetch(f"select {columns} from precedent.reviews where decision_id = %s", decision["id"])
    return row


@pytest.mark.parametrize(
    ("kind", "word", "status"),
    [
        ("escalation", "approve", "approved"),
        ("escalation", "deny", "denied"),
        ("reversible", "reverse", "reversed"),
        ("audit", "confirm", "confirmed"),
        ("audit", "reverse", "reversed"),
    ],
)
def test_each_kind_takes_its_answers_and_they_stand_in_the_ledger(
    api: Api, asker: dict[str, str], kind: str, word: str, status: str
) -> None:
    decision = decided(api, asker, kind)
    assert row_of(api, decision, "kind, status") == (kind, "open")
    found = answer(api, decision, word, reason="  it fits  ")
    assert found.status_code == 201, found.text
    ReviewAnswer.model_validate_json(found.content)
    told = found.json()
    assert (told["status"], told["reviewer"], told["reason"], told["digest"]) == (status, "tests", "it fits", decision["hash"])
    [(leaf, entry_kind)] = api.fetch("select encode(leaf, 'hex'), get_byte(envelope, 1) from ledger.entry where entry_id = %s", told["id"])
    assert (leaf, entry_kind) == (told["hash"], 3)
    assert row_of(api, decision, "status, reviewer, answer, reason, answer_id::text, closed_at is not null") == (
        *(status, "tests", word, "it fits", told["id"], True),
    )
    whole = api.client.get(f"/decisions/{decision['id']}").json()
    assert (whole["review"]["status"], whole["review"]["kind"], whole["review"]["answer_id"]) == (status, kind, told["id"])
    [(approver,)] = api.fetch("select human_approver from precedent.decisions where id = %s", decision["id"])
    assert approver == ("tests" if word == "approve" else None)
    explained = api.client.get(f"/decisions/{decision['id']}/explanation").json()
    assert (explained["review"]["reviewer"], explained["review"]["reason"]) == ("tests", "it fits")
    topics = api.fetch("select topic, payload ->> 'answer' from precedent.outbox where entry_id = %s", told["id"])
    assert topics == [("review.answered", word)]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"answer": "maybe"}, "/answer"),
        ({"answer": None}, "/answer"),
        ({"answer": ["approve"]}, "/answer"),
        ({"reason": ""}, "/reason"),
        ({"reason": " \t\n "}, "/reason"),
        ({"reason": None}, "/reason"),
        ({"reason": "x" * 1001}, "/reason"),
        ({"digest": None}, "/digest"),
        ({"level": 3}, "/level"),
        ({"answer": "reverse"}, "/answer"),
        ({"answer": "confirm"}, "/answer"),
    ],
)
def test_a_body_that_breaks_the_contract_is_refused_with_its_place(
    api: Api, asker: dict[str, str], members: dict[str, Any], pointer: str
) -> None:
    decision = decided(api, asker)
    before = api.ledger_size()
    found = answer(api, decision, **members)
    assert found.status_code == 422, found.text
    assert [fault["pointer"] for fault in found.json()["errors"]] == [pointer]
    assert api.ledger_size() == before


def test_an_answer_is_bound_to_the_decision_that_was_looked_at(api: Api, asker: dict[str, str]) -> None:
    decision, other = decided(api, asker), decided(api, asker)
    require_refused(answer(api, decision, digest=other["hash"]), 409, "DIGEST_MISMATCH")
    require_refused(answer(api, decision, digest="00"), 409, "DIGEST_MISMATCH")
    assert answer(api, decision, digest=decision["hash"].upper()).status_code == 201


def test_who_asked_does_not_review(api: Api) -> None:
    require_refused(answer(api, api.decide(facts=ASKED["escalation"])), 403, "SAME_PERSON")


def test_who_acted_in_the_event_does_not_review_either(api: Api, asker: dict[str, str]) -> None:
    event = api.client.post("/events", json={"type": "DiscountRequested", "actor": "Tests"}, headers=asker).json()
    require_refused(answer(api, decided(api, asker, event_id=event["id"])), 403, "SAME_PERSON")
    other = api.client.post("/events", json={"type": "DiscountRequested", "actor": "bob"}, headers=asker).json()
    assert answer(api, decided(api, asker, event_id=other["id"])).status_code == 201


def test_what_asks_nobody_has_no_answer(api: Api, asker: dict[str, str]) -> None:
    inside = api.decide(headers=asker, facts={"requested_discount_pct": 0.02})
    require_refused(answer(api, inside, "reverse"), 409, "NOTHING_TO_REVIEW")
    denied = api.decide(headers=asker, facts={"requested_discount_pct": 0.9})
    require_refused(answer(api, denied), 409, "NOTHING_TO_REVIEW")
    past = api.decide(facts=ASKED["escalation"], as_of="2024-01-01T00:00:00Z")
    require_refused(answer(api, past, headers=api.token("reviews:write")), 409, "NOTHING_TO_REVIEW")
    require_refused(answer(api, {"id": str(uuid4()), "hash": "00" * 32}), 404, "DECISION_NOT_FOUND")
    require_refused(answer(api, {"id": "7", "hash": "00" * 32}), 422, "FIELD_INVALID")


def test_a_review_is_answered_once(api: Api, asker: dict[str, str]) -> None:
    decision = decided(api, asker)
    assert answer(api, decision, "deny").status_code == 201
    require_refused(answer(api, decision, "approve"), 409, "REVIEW_CLOSED", "was denied by tests")
    require_refused(answer(api, decision, "deny", api.token("reviews:write")), 409, "REVIEW_CLOSED")


def test_a_token_answers_for_its_nodes_alone(api: Api, asker: dict[str, str]) -> None:
    decision = decided(api, asker)
    require_refused(answer(api, decision, headers=api.token("reviews:write", nodes=("credit",))), 403, "SCOPE_MISSING")
    require_refused(answer(api, decision, headers=api.token("read", "decisions:write")), 403, "SCOPE_MISSING")
    assert answer(api, decision, headers=api.token("reviews:write", nodes=("finance",))).status_code == 201


def test_a_decision_is_reversed_within_its_window_alone(api: Api, asker: dict[str, str]) -> None:
    decision = decided(api, asker, "reversible")
    api.clock.later_seconds = 48 * 3600.0
    try:
        require_refused(answer(api, decision, "reverse"), 409, "REVIEW_OVERDUE", "it could be reversed until")
        listed = api.client.get("/reviews?kind=reversible&limit=100").json()["items"]
        assert decision["id"] not in {one["decision_id"] for one in listed}
    finally:
        api.clock.later_seconds = 0.0
    assert answer(api, decision, "reverse").status_code == 201


def test_an_escalation_that_silence_denies_is_not_approved_after_its_deadline(api: Api, asker: dict[str, str]) -> None:
    decision = decided(api, asker)
    api.clock.later_seconds = 24 * 3600.0
    try:
        # Perhaps the deadline has acted by now, by itself: either way it is too late.
        found = answer(api, decision)
        assert (found.status_code, found.json()["code"] in {"REVIEW_OVERDUE", "REVIEW_CLOSED"}) == (409, True)
    finally:
        api.clock.later_seconds = 0.0


def test_an_answer_sent_again_is_answered_again(api: Api, asker: dict[str, str]) -> None:
    decision, key = decided(api, asker), {"idempotency-key": str(uuid4())}
    first = answer(api, decision, headers=key)
    before = api.ledger_size()
    again = answer(api, decision, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert again.json() == first.json()
    assert api.ledger_size() == before
    require_refused(answer(api, decision, "deny", key), 422, "IDEMPOTENCY_KEY_REUSED")
    refused = decided(api, asker)
    require_refused(answer(api, refused, digest="00", headers=(other := {"idempotency-key": str(uuid4())})), 409, "DIGEST_MISMATCH")
    assert answer(api, refused, headers=other).status_code == 201, "a refusal keeps no key"


def test_of_32_answers_at_once_one_is_recorded(api: Api, asker: dict[str, str]) -> None:
    decision = decided(api, asker)
    reviewers = [api.token("reviews:write") for _ in range(4)]
    before = api.ledger_size()
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda n: answer(api, decision, ("approve", "deny")[n % 2], reviewers[n % 4]), range(32)))
    assert sorted({one.status_code for one in found}) == [201, 409]
    assert {one.json()["code"] for one in found if one.status_code == 409} == {"REVIEW_CLOSED"}
    [recorded] = [one.json() for one in found if one.status_code == 201]
    assert api.ledger_size() == before + 1
    assert row_of(api, decision, "status, answer_id::text") == (recorded["status"], recorded["id"])


def test_32_copies_of_one_answer_at_once_are_one_and_all_are_told(api: Api, asker: dict[str, str]) -> None:
    decision, key = decided(api, asker), {"idempotency-key": str(uuid4())}
    before = api.ledger_size()
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda _: answer(api, decision, headers=key), range(32)))
    assert {one.status_code for one in found} == {201}
    assert all(one.json() == found[0].json() for one in found)
    assert sum(REPLAYED not in one.headers for one in found) == 1
    assert api.ledger_size() == before + 1


def test_nothing_is_learned_from_the_outcome_of_a_decision_that_was_taken_back(api: Api, asker: dict[str, str]) -> None:
    kept, undone = decided(api, asker, "reversible"), decided(api, asker, "reversible")
    assert answer(api, undone, "reverse").status_code == 201
    for decision, counted in ((kept, True), (undone, False)):
        outcome = api.client.post(f"/outcomes/{decision['id']}", json={"metrics": {"won": True, "margin": 0.3}}).json()
        assert outcome["counted"] is counted


def test_the_queue_is_filtered_paged_and_tells_what_an_answer_is_bound_to(api: Api, asker: dict[str, str]) -> None:
    made = {kind: decided(api, asker, kind) for kind in ("escalation", "reversible", "audit")}
    for kind, decision in made.items():
        found = api.client.get(f"/reviews?kind={kind}&limit=100")
        ReviewPage.model_validate_json(found.content)
        items = {one["decision_id"]: one for one in found.json()["items"]}
        assert {one["kind"] for one in items.values()} == {kind}
        one = items[decision["id"]]
        assert (one["digest"], one["node"], one["is_overdue"], one["why"]) == (decision["hash"], "finance", False, decision["reason"])
    assert api.client.get("/reviews?node=credit").json()["items"] == []
    require_refused(api.client.get("/reviews?node=finance", headers=api.token("reviews:write", nodes=("credit",))), 403, "SCOPE_MISSING")
    for query in ("status=lost", "kind=lost", "limit=0", "after=lost"):
        assert api.client.get(f"/reviews?{query}").status_code == 422, query
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = api.client.get("/reviews", params={"limit": 3} | ({"after": after} if after else {})).json()
        seen += [one["decision_id"] for one in page["items"]]
        after = page["next"]
    assert len(seen) == len(set(seen))
    assert {decision["id"] for decision in made.values()} <= set(seen)


def test_what_was_answered_is_verified_and_rebuilt_as_it_was(api: Api, tmp_path: Path) -> None:
    columns = "select * from precedent.reviews order by decision_id"
    approvers = "select id, human_approver from precedent.decisions order by id"
    assert verify_database(api.database_url, processes=1).is_intact
    before = (api.fetch(columns), api.fetch(approvers), api.fetch("select count(*) from precedent.outbox"))
    rebuild_projections(api.database_url)
    assert (api.fetch(columns), api.fetch(approvers), api.fetch("select count(*) from precedent.outbox")) == before
    assert verify_database(api.database_url, processes=1).is_intact
