"""A real Dagster for tests: its webserver, and its daemon where asked for, as `precedent up` runs them, over a migrated database."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import psycopg
from running_api import INTERNAL_TOKEN, Installation, wait_until

from precedent.cli.programs import DAGSTER_SCHEMA, child_environment, dagster_programs, write_dagster_home
from precedent.cli.supervise import Program
from precedent.db.store import ensure_schema

START_SECONDS = 180.0
RUN_SECONDS = 300.0
LAUNCH = "mutation ($p: ExecutionParams!) { launchRun(executionParams: $p) { ... on LaunchRunSuccess { run { runId } } } }"
# Without a daemon nobody takes runs from a queue: the webserver starts them itself.
NO_QUEUE = "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n"


class RunningPipeline:
    """Where the webserver answers, and the processes by name; `programs` is what there is to start."""

    def __init__(self, installation: Installation, *, with_daemon: bool) -> None:
        settings = installation.settings
        self.url = settings.dagster_address
        self.home = settings.home_dir / "dagster"
        self.environment = child_environment(settings, installation.database_url, INTERNAL_TOKEN)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        with psycopg.connect(installation.database_url) as connection:
            ensure_schema(connection, DAGSTER_SCHEMA)
        write_dagster_home(settings.home_dir)
        if not with_daemon:
            with (self.home / "dagster.yaml").open("a") as file:
                file.write(NO_QUEUE)
        programs = dagster_programs(settings, self.environment, time.time_ns() // 1000)
        self.daemon = programs[1]
        self.programs = programs if with_daemon else programs[:1]

    def start(self, program: Program) -> None:
        with (self.home / f"{program.name}.log").open("ab") as log:
            self.processes[program.name] = subprocess.Popen(
                program.argv, env=program.environment, cwd=program.folder, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(program.is_ready, START_SECONDS, f"{program.name} to be ready")

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of one query of GraphQL."""
        answer = httpx2.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60, trust_env=False).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        """Runs, newest first, by Dagster's filter: id, job, status and tags of each."""
        query = (
            "query ($f: RunsFilter!) { runsOrError(filter: $f) { ... on Runs { results { runId jobName status tags { key value } } } } }"
        )
        found = self.ask(query, f=wanted)["runsOrError"]["results"]
        return [one | {"tags": {tag["key"]: tag["value"] for tag in one["tags"]}} for one in found]

    def launch(self, job: str, day: str) -> str:
        """The id of a run that was asked for, of one day."""
        selector = {"repositoryLocationName": "precedent", "repositoryName": "__repository__", "jobName": job}
        tags = [{"key": "dagster/partition", "value": day}]
        params = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        return str(self.ask(LAUNCH, p=params)["launchRun"]["run"]["runId"])

    def ended(self, count: int, **wanted: Any) -> list[dict[str, Any]]:
        """So many runs by this filter, once all of them have ended."""

        def have() -> bool:
            found = self.runs(**wanted)
            return len(found) >= count and all(run["status"] in {"SUCCESS", "FAILURE"} for run in found)

        wait_until(have, RUN_SECONDS, f"{count} runs of {wanted} to end")
        return self.runs(**wanted)

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """The process and what it started: they are one session of their own."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(timeout=30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def run_pipeline(installation: Installation, *, with_daemon: bool) -> Iterator[RunningPipeline]:
    running = RunningPipeline(installation, with_daemon=with_daemon)
    try:
        for program in running.programs:
            running.start(program)
        yield running
    finally:
        for name in list(running.processes):
            running.stop(name)
