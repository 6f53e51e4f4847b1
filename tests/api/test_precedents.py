"""`?debug=precedents` over HTTP: what is told, to whom, and that a repeat tells the same."""

from __future__ import annotations

from uuid import uuid4

from in_process import DEAL, Api

from api.models import DecisionAnswer
from precedent.memory.embedder import TypedEmbedder
from precedent.memory.embedding import embed_last

BODY = {"facts": DEAL}
PATH = "/decisions/finance?debug=precedents"


def test_precedents_are_told_to_who_asks_and_recorded(api: Api) -> None:
    past = api.decide()
    told = api.client.post(f"/outcomes/{past['id']}", json={"metrics": {"won": True, "margin": 0.3}})
    assert told.status_code == 201, told.text
    (chain_id,) = api.fetch("select id from ledger.chain")[0]
    embed_last(api.database_url, chain_id, TypedEmbedder(), api.ledger_size(), 10)
    key = {"idempotency-key": str(uuid4())}
    first, again = (api.client.post(PATH, json=BODY, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == 201, first.text
    assert first.json() == again.json()
    answer = DecisionAnswer.model_validate(first.json())
    assert [(str(one.id), one.verdict, one.outcome) for one in answer.precedents] == [(past["id"], "approve", 1.0)]
    assert answer.precedents[0].distance < 1e-5
    assert answer.novel  # nobody has measured yet what is
    assert answer.snapshot is None
    whole = api.client.get(f"/decisions/{answer.id}").json()
    assert whole["memory"]["precedents"]["nearest"][0]["id"] == past["id"]


def test_who_does_not_ask_is_told_nothing_and_nothing_is_looked_up(api: Api) -> None:
    answer = api.decide()
    assert not {"precedents", "counter_precedent", "novel", "snapshot"} & set(answer)
    assert set(api.client.get(f"/decisions/{answer['id']}").json()["memory"]) == {"features"}


def test_precedents_are_for_who_may_read(api: Api) -> None:
    answer = api.client.post(PATH, json=BODY, headers=api.token("decisions:write"))
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_MISSING")


def test_another_word_is_refused(api: Api) -> None:
    answer = api.client.post("/decisions/finance?debug=everything", json=BODY)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/debug"
