"""The examples of the description: what the application asks for and answers, and as it answers today."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from in_process import Api
from jsonschema import Draft202012Validator
from walk import Walk

from api.app import create_app
from api.openapi import describe
from api.openapi_parts import EXAMPLES, TAKE_NO_KEY, read_examples
from precedent.settings import load_settings

# What a walk without a Dagster doesn't pass by; its examples were taken from a run of the pipeline.
NEED_DAGSTER = ("POST /jobs/{job}/run", "GET /jobs/runs/{run_id}")
DOCUMENT = describe(create_app(load_settings()))
OPERATIONS = [(f"{method.upper()} {path}", operation) for path, some in DOCUMENT["paths"].items() for method, operation in some.items()]


def members(value: Any, depth: int) -> Any:
    """Names of members, so deep."""
    if isinstance(value, dict) and depth:
        return {name: members(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        found: dict[str, Any] = {}
        for inner in (members(one, depth) for one in value):
            found |= inner or {}
        return found or None
    return None


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of an operation that holds a body, with its media type; pages for people aside."""
    responses = operation["responses"].values()
    for holder in (operation.get("requestBody", {}), *responses):
        holder = DOCUMENT["components"]["responses"][holder["$ref"].rpartition("/")[2]] if "$ref" in holder else holder
        yield from ((kind, content) for kind, content in holder.get("content", {}).items() if kind != "text/html")


def test_what_is_asked_and_answered_has_the_members_of_the_examples(api: Api, tmp_path: Path) -> None:
    kept = read_examples()
    walked = Walk(api).walk() | {name: kept[name] for name in NEED_DAGSTER if name in kept}
    renewed = tmp_path / "examples.json"
    renewed.write_bytes(orjson.dumps(walked, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    told = f"if this was meant: cp {renewed} {EXAMPLES}; python -m api.openapi"
    assert kept.keys() == walked.keys(), told
    # By status, media type and three levels of members; what lies deeper, as nodes of policies and statuses of routes, is data.
    for name, example in walked.items():
        assert members(kept[name]["answers"], 5) == members(example["answers"], 5), f"{name}: {told}"
        assert kept[name].get("body", {}).keys() == example.get("body", {}).keys(), f"{name}: {told}"


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_every_body_has_an_example_that_its_schema_allows(name: str, operation: dict[str, Any]) -> None:
    for media_type, content in contents(operation):
        if media_type == "application/octet-stream":
            assert content["examples"]["tile"]["externalValue"]
            continue
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **content["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(content["example"])


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_every_operation_tells_its_headers_and_its_problems(name: str, operation: dict[str, Any]) -> None:
    method, _, path = name.lower().partition(" ")
    asked = {one.get("$ref", "").rpartition("/")[2] for one in operation["parameters"]}
    is_keyed = method in {"post", "put"} and (method, path) not in TAKE_NO_KEY
    assert "x-cid" in asked
    assert ("Idempotency-Key" in asked) == is_keyed
    responses = operation["responses"]
    security = operation.get("security", DOCUMENT["security"])
    expected = (
        {"503", "default"} | ({"401"} if security else set()) | ({"403", "429"} if any("token" in way for way in security) else set())
    )
    assert expected <= responses.keys()
    for status in (status for status in responses if status.startswith("2")):
        headers = responses[status]["headers"].keys()
        assert "x-cid" in headers
        assert ("Idempotent-Replayed" in headers) == is_keyed
        assert ({"RateLimit", "RateLimit-Policy"} <= headers) == ("403" in expected)


def test_the_headers_that_are_told_are_sent(api: Api) -> None:
    for _ in range(2):
        answer = api.client.post("/events", json={"type": "Asked"}, headers={"idempotency-key": "once", "x-cid": "deal-4711"})
    told = DOCUMENT["paths"]["/events"]["post"]["responses"]["201"]["headers"].keys()
    assert {name.lower() for name in told} <= answer.headers.keys()
    assert answer.headers["x-cid"] == "deal-4711"
