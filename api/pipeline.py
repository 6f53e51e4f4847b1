"""Dagster, over its GraphQL: launch a job for one day or a range of days as one run, and say how the run does."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2

from precedent.errors import Conflict, IdempotencyKeyReused, JobRunning, NotFound, PipelineUnavailable
from precedent.ledger.idempotency import Claim

REQUEST_SECONDS = 20.0
POLL_SECONDS = 0.25
UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "MANAGED", "CANCELING")
FINISHED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})

JOBS = """
query { repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } jobs { name } } } } }
"""
LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId status } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""
RUNS = """
query ($filter: RunsFilter!) { runsOrError(filter: $filter, limit: 1) { ... on Runs { results { runId } } } }
"""
# Of a run that was launched under an Idempotency-Key: what it claims, and of what.
CLAIM_TAG, FINGERPRINT_TAG = "precedent/claim", "precedent/fingerprint"
RUN = """
query ($runId: ID!) {
  runOrError(runId: $runId) { __typename ... on Run { runId jobName status startTime endTime tags { key value } } }
}
"""
LOG = """
query ($runId: ID!, $after: String, $limit: Int) {
  logsForRun(runId: $runId, afterCursor: $after, limit: $limit) {
    ... on EventConnection {
      cursor
      hasMore
      events {
        __typename
        ... on AssetMaterializationPlannedEvent { assetKey { path } }
        ... on MaterializationEvent { assetKey { path } }
        ... on MessageEvent { message timestamp level stepKey }
        ... on ExecutionStepFailureEvent { error { message causes { message } } }
        ... on RunFailureEvent { error { message causes { message } } }
      }
    }
  }
}
"""
PLANNED, MADE = "AssetMaterializationPlannedEvent", "MaterializationEvent"
PAGE_EVENTS = 1000
LOG_LINES = 20
ERROR_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Told:
    """The last lines of a run's log, oldest first, and the last error's words; None where nothing failed.

    How many assets were made for all of the run's days, of those that it makes: days follow one another in no asset, for each makes its
    days at once.
    """

    lines: tuple[str, ...] = ()
    error: str | None = None
    made_count: int = 0
    planned_count: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job; times in seconds since 1970, None before it started or ended."""

    run_id: str
    job: str
    status: str
    started_at_seconds: float | None
    ended_at_seconds: float | None
    tags: dict[str, str]
    page: str

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED


class Pipeline:
    """A client of one Dagster webserver. Decisions never wait for it."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx2.AsyncClient(base_url=self._url, timeout=REQUEST_SECONDS, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def launch(self, job: str, first_day: str, last_day: str, claim: Claim | None = None) -> Run:
        """One run over the days, both ends included; a claim is kept with it.

        Raises: NotFound for an unknown job; JobRunning; PipelineUnavailable; Conflict where Dagster refuses.
        """
        selector = await self._find(job)
        tags = _partition_tags(first_day, last_day)
        await self._require_idle(job, tags)
        if claim is not None:
            tags |= {CLAIM_TAG: claim.claim.hex(), FINGERPRINT_TAG: claim.fingerprint.hex()}
        params = {
            "selector": selector,
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
        }
        answer = (await self._ask(LAUNCH, {"params": params}))["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            why = answer.get("message") or "; ".join(error["message"] for error in answer.get("errors", ())) or answer["__typename"]
            raise Conflict(f"Dagster refused to launch {job}: {why}")
        return await self.run(answer["run"]["runId"])

    async def launched(self, claim: Claim) -> Run | None:
        """The run that was launched under the claim, if any was.

        Raises: IdempotencyKeyReused where that was of other days; PipelineUnavailable.
        """
        wanted = {"tags": [{"key": CLAIM_TAG, "value": claim.claim.hex()}]}
        found = (await self._ask(RUNS, {"filter": wanted}))["runsOrError"].get("results", [])
        if not found:
            return None
        run = await self.run(found[0]["runId"])
        if run.tags.get(FINGERPRINT_TAG) != claim.fingerprint.hex():
            raise IdempotencyKeyReused("this Idempotency-Key was used to run other days")
        return run

    async def wait(self, run: Run, seconds: float) -> Run:
        """The run once it has ended, or as it is after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not run.is_finished and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            run = await self.run(run.run_id)
        return run

    async def run(self, run_id: str) -> Run:
        """Raises: NotFound, PipelineUnavailable."""
        answer = (await self._ask(RUN, {"runId": run_id}))["runOrError"]
        if answer["__typename"] != "Run":
            raise NotFound(f"no run has the id {run_id}")
        return Run(
            answer["runId"],
            answer["jobName"],
            answer["status"],
            answer["startTime"],
            answer["endTime"],
            {tag["key"]: tag["value"] for tag in answer["tags"]},
            self._page_of(answer["runId"]),
        )

    async def told(self, run_id: str) -> Told:
        """What a run has said so far. Dagster reads a log from its beginning only: a request for each thousand of its events.

        Raises: PipelineUnavailable.
        """
        lines, error, after = deque[str](maxlen=LOG_LINES), None, None
        assets: dict[str, set[tuple[str, ...]]] = {PLANNED: set(), MADE: set()}
        while True:
            page = (await self._ask(LOG, {"runId": run_id, "after": after, "limit": PAGE_EVENTS}))["logsForRun"]
            for event in page.get("events", ()):
                if event["message"]:
                    lines.append(_line(event))
                if event["__typename"] in assets and event["assetKey"]:
                    assets[event["__typename"]].add(tuple(event["assetKey"]["path"]))
                if failure := event.get("error"):
                    error = (failure["causes"] or [failure])[-1]["message"].strip()[:ERROR_CHARACTERS]
            if not page.get("hasMore"):
                return Told(tuple(lines), error, len(assets[MADE]), len(assets[PLANNED]))
            after = page["cursor"]

    def _page_of(self, run_id: str) -> str:
        return f"{self._url}/runs/{run_id}"

    async def _find(self, job: str) -> dict[str, str]:
        nodes = (await self._ask(JOBS, {}))["repositoriesOrError"].get("nodes", [])
        known = {found["name"]: node for node in nodes for found in node["jobs"] if not found["name"].startswith("__")}
        if not known:
            raise PipelineUnavailable("Dagster has loaded no job: see its page for what is wrong")
        node = known.get(job)
        if node is None:
            raise NotFound(f"no job is named '{job}': there are {', '.join(sorted(known))}")
        return {"repositoryName": node["name"], "repositoryLocationName": node["location"]["name"], "jobName": job}

    async def _require_idle(self, job: str, tags: dict[str, str]) -> None:
        wanted = {"pipelineName": job, "statuses": list(UNFINISHED), "tags": [{"key": k, "value": v} for k, v in tags.items()]}
        running = (await self._ask(RUNS, {"filter": wanted}))["runsOrError"].get("results", [])
        if running:
            run_id = running[0]["runId"]
            raise JobRunning(f"{job} computes {' to '.join(tags.values())} already: run {run_id}", run_id, self._page_of(run_id))

    async def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        try:
            response = await self._client.post("/graphql", json={"query": query, "variables": variables})
            body = response.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise PipelineUnavailable(f"couldn't reach Dagster at {self._url}: {error}") from error
        if response.status_code >= 500 or "errors" in body:
            raise PipelineUnavailable(f"Dagster answered with an error: {body.get('errors', response.status_code)}")
        found: dict[str, Any] = body["data"]
        return found


def _line(event: dict[str, Any]) -> str:
    """`2026-11-26T06:00:01Z info dbt_models: what was said`; the first line of what was said is enough."""
    at = datetime.fromtimestamp(int(event["timestamp"]) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    step = f" {event['stepKey']}" if event["stepKey"] else ""
    return f"{at} {event['level'].lower()}{step}: {event['message'].splitlines()[0]}"


def _partition_tags(first_day: str, last_day: str) -> dict[str, str]:
    """A range is one run, not one a day: Dagster takes these tags for that."""
    if first_day == last_day:
        return {"dagster/partition": first_day}
    return {"dagster/asset_partition_range_start": first_day, "dagster/asset_partition_range_end": last_day}
