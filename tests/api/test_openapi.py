"""The description of the API: the committed copy is the real one, and answers are what it says."""

from __future__ import annotations

from functools import cache
from typing import Any

import httpx2
import pytest
from in_process import DEAL, Api
from jsonschema import Draft202012Validator

from api.app import create_app
from api.openapi import COPY, copy_text, describe, template_of
from precedent.settings import load_settings

WON = {"won": True, "margin": 0.3}
ACCESS = {
    "subject": {"type": "user", "id": "a"},
    "action": {"name": "finance/approve_discount"},
    "resource": {"type": "deal", "id": "D-1"},
    "context": DEAL,
}
NO_JSON = {"/ledger/checkpoint", "/ledger/tile/{tile}"}  # files of a transparency log, as its clients read them
OPERATIONS: list[tuple[str, str, object]] = [
    ("get", "/health", None),
    ("get", "/ready", None),
    ("get", "/metrics", None),
    ("post", "/events", {"type": "Described", "payload": {"any": [1, None]}}),
    ("post", "/events", [{"type": "Described"}, {"type": ""}]),
    ("get", "/events", None),
    ("post", "/decisions/{node}", DEAL),
    ("post", "/decisions/{node}", DEAL | {"requested_discount_pct": 0.18, "customer_id": "C-1", "note": "n"}),
    ("post", "/decisions/{node}", DEAL | {"requested_discount_pct": 0.9}),
    ("post", "/decisions/{node}", {}),
    ("post", "/decisions/{node}/batch", {"decisions": [DEAL, {}]}),
    ("get", "/decisions", None),
    ("get", "/decisions/{decision_id}", None),
    ("get", "/decisions/{decision_id}/explanation", None),
    ("get", "/.well-known/authzen-configuration", None),
    ("post", "/access/v1/evaluation", ACCESS),
    ("post", "/access/v1/evaluation", {}),
    ("post", "/access/v1/evaluations", ACCESS),
    ("post", "/access/v1/evaluations", ACCESS | {"evaluations": [{}, {"context": {}}, {"action": {}}]}),
    ("post", "/outcomes/{decision_id}", {"metrics": WON}),
    ("post", "/outcomes/{decision_id}", {"metrics": {}}),
    ("post", "/outcomes", {"outcomes": [{"decision_id": "7", "metrics": WON}]}),
    ("get", "/outcomes/{decision_id}", None),
    ("get", "/reviews", None),
    ("post", "/decisions/{decision_id}/review", {"answer": "deny", "reason": "r", "digest": "00"}),
    ("get", "/policies", None),
    ("get", "/policies/{ref}", None),
    ("post", "/policies/validate", {}),
    ("post", "/policies/{node}/publish", {}),
    ("post", "/policies/{name}/rollback", None),
    ("post", "/policies/{ref}/activate", None),
    ("post", "/policies/{ref}/withdraw", None),
    ("post", "/policies/{ref}/deactivate", {"reason": "r"}),
    ("get", "/proposals", None),
    ("post", "/proposals/{proposal_id}/approve", None),
    ("post", "/proposals/{proposal_id}/reject", {"reason": "r"}),
    ("get", "/change-control", None),
    ("put", "/change-control/{node}", {"second_person": True, "reason": "r"}),
    ("put", "/change-control/{node}", {"second_person": False, "reason": "r"}),
    ("get", "/flags", None),
    ("put", "/flags/{node}/{action}", {"enabled": True, "max_level": 3, "reason": "r"}),
    ("put", "/kill-switch", {"halted": False, "reason": "r"}),
    ("get", "/ledger/head", None),
    ("get", "/ledger/checkpoint", None),
    ("get", "/ledger/keys", None),
    ("get", "/ledger/tile/{tile}", None),
    ("get", "/decisions/{decision_id}/proof", None),
    ("post", "/replays", {"policy": "finance-constitution@1.0.0"}),
    ("post", "/replays", {"policy": "finance-constitution@1.0.0", "last": 0}),
    ("get", "/replays/{replay_id}", None),
    ("post", "/jobs/{job}/run", None),
    ("get", "/jobs/runs/{run_id}", None),
]


@cache
def document() -> dict[str, Any]:
    return describe(create_app(load_settings()))


def described_path(path: str) -> str:
    return template_of(path, {path for _, path, _ in OPERATIONS})


def problem_of(responses: dict[str, Any]) -> Any:
    """The schema of what is answered where nothing else is said."""
    name = responses["default"]["$ref"].removeprefix("#/components/responses/")
    return document()["components"]["responses"][name]["content"]["application/problem+json"]["schema"]


def test_the_committed_copy_is_the_real_one() -> None:
    assert COPY.read_text(encoding="utf-8") == copy_text(create_app(load_settings())), "run: python -m api.openapi"


def test_the_served_one_is_the_same(client: httpx2.Client) -> None:
    assert client.get("/openapi.json").json() == document()


def test_it_is_openapi_3_1_and_every_reference_leads_somewhere() -> None:
    assert document()["openapi"].startswith("3.1")
    schemas = document()["components"]["schemas"]

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(item) for item in value.values()))
        return set().union(*(references(item) for item in value)) if isinstance(value, list) else set()

    kept = {f"#/components/{kind}/{name}" for kind, named in document()["components"].items() for name in named}
    assert references(document()) <= kept
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_describes_its_answer_and_its_body() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert operation["description"], path
            success = [response for status, response in operation["responses"].items() if status.startswith("2")]
            assert all(content["schema"] for response in success for content in response["content"].values()), (method, path)
            assert all("application/json" in response["content"] or path in NO_JSON for response in success), (method, path)
            assert problem_of(operation["responses"]), path
            takes_none = path.endswith(("/approve", "/run"))
            assert ("requestBody" in operation) == (method in {"post", "put"} and not takes_none), (method, path)


def test_every_operation_is_asked_here() -> None:
    described = {(method, path) for path, operations in document()["paths"].items() for method in operations}
    assert described == {(method, described_path(path)) for method, path, _ in OPERATIONS}


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS, ids=[f"{n} {one[0]} {one[1]}" for n, one in enumerate(OPERATIONS)])
def test_an_answer_is_what_the_description_says(api: Api, method: str, path: str, body: object) -> None:
    real = (
        path.replace("{decision_id}", api.decide(action="approve_discount")["id"])
        .replace("{action}", "approve_discount")
        .replace("{job}", "aggregator")
    )
    real = real.replace("{tile}", "0/000.p/1").replace("/proof", "/proof?wait=proof")
    real = real.replace("{ref}", "finance-constitution@1.1.0" if not path.endswith(("/withdraw", "/deactivate")) else "nothing@1.0.0")
    real = real.replace("{name}", "finance-constitution").replace("{proposal_id}", "00000000-0000-0000-0000-000000000000")
    answer = api.client.request(method, real.replace("{node}", "finance").replace("{run_id}", "7"), json=body)
    responses = document()["paths"][described_path(path)][method]["responses"]
    if answer.is_success:
        media_type = answer.headers["content-type"].partition(";")[0]
        schema = responses[str(answer.status_code)]["content"][media_type]["schema"]
        assert (media_type == "application/json") is (path not in NO_JSON)
        if path in NO_JSON:
            return
    else:
        schema = problem_of(responses)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "components": document()["components"]}
    Draft202012Validator(whole).validate(answer.json())
    assert answer.status_code < 500
