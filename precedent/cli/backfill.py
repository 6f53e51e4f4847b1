"""`precedent backfill`: have the pipeline compute a range of days, as one run, and wait for it."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import httpx2
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from precedent.cli.development import internal_token
from precedent.clock import SystemClock
from precedent.errors import PipelineUnavailable
from precedent.settings import load_settings

app = typer.Typer(add_completion=False)

POLL_SECONDS = 1.0
# Dagster is up some 10 s after it was started, and answers for its jobs later than for itself.
PATIENCE_SECONDS = 120.0


@app.command()
def backfill(
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day, in UTC")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day, included; default: yesterday")] = None,
    days: Annotated[int, typer.Option(min=1, help="so many days up to the last, where --from names none")] = 1,
    job: Annotated[str, typer.Option(help="the job to run")] = "aggregator",
) -> None:
    """Compute features and daily figures again for a range of days: the same rows, however often. Exit 1 when the run fails."""
    settings = load_settings()
    last_day = last.date() if last else datetime.now(UTC).date() - timedelta(days=1)
    first_day = first.date() if first else last_day - timedelta(days=days - 1)
    headers = {"x-internal-token": internal_token(settings, SystemClock())}
    with httpx2.Client(base_url=settings.api_url, headers=headers, timeout=60, trust_env=False) as client, _progress() as progress:
        task = progress.add_task(f"{job} for {first_day} to {last_day}", total=None)
        run = _launch(client, job, first_day, last_day)
        while not run["finished"]:
            time.sleep(POLL_SECONDS)
            run = _read(client.get(f"/jobs/runs/{run['run_id']}"))
            # A range is one run, in which each asset makes all its days at once: assets are what can be counted.
            progress.update(
                task, description=_shown(job, first_day, last_day, run), completed=run["assets_made"], total=run["assets_planned"] or None
            )
    made = f"{run['assets_made']} of {run['assets_planned']} assets"
    typer.echo(f"{job} for {first_day} to {last_day}: {run['status'].lower()}, {made} made for all days, {run['page']}")
    if run["error"]:
        typer.echo(run["error"], err=True)
    raise typer.Exit(0 if run["status"] == "SUCCESS" else 1)


def _launch(client: httpx2.Client, job: str, first_day: date, last_day: date) -> dict[str, Any]:
    """The run, once Dagster takes it; where another computes these days, behind that one, which may have begun before the last entries."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        response = client.post(f"/jobs/{job}/run", params={"from": first_day.isoformat(), "to": last_day.isoformat()})
        body = response.json()
        if body.get("code") == "JOB_RUNNING":
            while not _read(client.get(f"/jobs/runs/{body['run_id']}"))["finished"]:
                time.sleep(POLL_SECONDS)
        elif response.status_code != 503 or time.monotonic() > deadline:
            return _read(response)
        else:
            time.sleep(POLL_SECONDS)


def _read(response: httpx2.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    if response.is_error:
        raise PipelineUnavailable(f"couldn't run the job: {body.get('detail', response.status_code)}")
    return body


def _shown(job: str, first_day: date, last_day: date, run: dict[str, Any]) -> str:
    """What is under way, and what the run said last."""
    last = f" · {run['log'][-1].split(' ', 1)[1][:100]}" if run["log"] else ""
    return f"{job} for {first_day} to {last_day}: {run['status'].lower()}{last}"


def _progress() -> Progress:
    # What the run said last has the room that is left.
    said = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    columns = SpinnerColumn(), BarColumn(bar_width=20), MofNCompleteColumn(), said, TimeElapsedColumn()
    return Progress(*columns, expand=True, console=Console(stderr=True))
