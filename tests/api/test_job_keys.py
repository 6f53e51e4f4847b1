"""A job that is asked for again under its key is the run that it was: among copies at once, and after an answer that was lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest
from in_process import Api
from running_api import INTERNAL_TOKEN
from starlette.applications import Starlette

INTERNAL = {"x-internal-token": INTERNAL_TOKEN}
PATH = "/jobs/aggregator/run?partition=2026-01-02"


class Dagster:
    """The four questions that the API asks of Dagster's GraphQL, answered from memory."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.is_cut = False
        self.status = "SUCCESS"

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        asked = orjson.loads(request.content)
        return httpx2.Response(200, json={"data": self.answer(asked["query"], asked["variables"])})

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "repositoriesOrError" in query:
            node = {"name": "r", "location": {"name": "l"}, "jobs": [{"name": "aggregator"}, {"name": "distill"}]}
            return {"repositoriesOrError": {"nodes": [node]}}
        if "launchRun" in query:
            params = variables["params"]
            run_id, tags = str(uuid4()), params["executionMetadata"]["tags"]
            self.runs.append({"runId": run_id, "jobName": params["selector"]["jobName"], "status": self.status, "tags": tags})
            if self.is_cut:
                raise httpx2.ReadError("the answer was lost")
            return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": run_id, "status": "QUEUED"}}}
        if "runsOrError" in query:
            return {"runsOrError": {"results": [run for run in self.runs if self.is_wanted(run, variables["filter"])]}}
        (run,) = [run for run in self.runs if run["runId"] == variables["runId"]]
        return {"runOrError": {"__typename": "Run", "startTime": None, "endTime": None, **run}}

    def is_wanted(self, run: dict[str, Any], wanted: dict[str, Any]) -> bool:
        return run["status"] in wanted.get("statuses", [run["status"]]) and all(tag in run["tags"] for tag in wanted["tags"])


@pytest.fixture
def dagster(api: Api) -> Iterator[Dagster]:
    running = Dagster()
    application = api.client.app
    assert isinstance(application, Starlette)
    pipeline = application.state.pipeline
    before = pipeline._client
    pipeline._client = httpx2.AsyncClient(base_url="http://dagster.test", transport=httpx2.MockTransport(running))
    yield running
    pipeline._client = before


def ask(api: Api, key: str | None, path: str = PATH) -> httpx2.Response:
    return api.client.post(path, headers=INTERNAL | ({} if key is None else {"idempotency-key": key}))


def test_copies_of_one_launch_at_once_are_one_run(api: Api, dagster: Dagster) -> None:
    key = str(uuid4())
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: ask(api, key), range(32)))
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    assert {answer.json()["run_id"] for answer in answers} == {dagster.runs[0]["runId"]}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert len(dagster.runs) == 1


def test_a_launch_whose_answer_was_lost_is_found_again(api: Api, dagster: Dagster) -> None:
    key, dagster.is_cut = str(uuid4()), True
    assert ask(api, key).status_code == 503
    dagster.is_cut = False
    again = ask(api, key)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert [run["runId"] for run in dagster.runs] == [again.json()["run_id"]]


def test_a_key_stands_for_its_job_and_its_days(api: Api, dagster: Dagster) -> None:
    key = str(uuid4())
    first = ask(api, key)
    other = ask(api, key, PATH.replace("01-02", "01-03"))
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert ask(api, key, PATH.replace("aggregator", "distill")).json()["run_id"] != first.json()["run_id"]
    assert ask(api, None).json()["run_id"] != ask(api, None).json()["run_id"]
    assert len(dagster.runs) == 4


def test_days_that_are_being_computed_are_refused_with_the_run_that_does(api: Api, dagster: Dagster) -> None:
    dagster.status = "STARTED"
    (running, refused) = (ask(api, None), ask(api, None))
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["run_id"]) == (409, "JOB_RUNNING", running.json()["run_id"])
    assert problem["page"] == running.json()["page"]
    assert "errors" not in problem
