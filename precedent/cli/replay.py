"""`precedent replay`: derive recorded decisions again, under their own policies or under a candidate. Nothing is appended."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from precedent.cli.windows import From, Last, Processes, To, progressing, source_of, window_of
from precedent.db.embedded import database_url
from precedent.errors import FieldInvalid
from precedent.learning import replay_run
from precedent.learning.blast import flip_report
from precedent.learning.replay_report import VerifyReport
from precedent.learning.replay_worker import Window
from precedent.settings import Settings, load_settings

app = typer.Typer(add_completion=False)

DEFAULT_LAST = 1_000


@app.command()
def replay(
    is_verify: Annotated[bool, typer.Option("--verify", help="derive each under the policy it names; exit 1 where one differs")] = False,
    policy: Annotated[str | None, typer.Option(help="a candidate: name@version, a name for its active version, or a file")] = None,
    last: Last = None,
    first: From = None,
    to: To = None,
    allows_evaluators: Annotated[
        bool, typer.Option("--allow-evaluator-change", help="with --verify: differences under another evaluator are told, not failed")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="how many differing decisions to show")] = 20,
    processes: Processes = None,
) -> None:
    """Derive recorded decisions again: with --verify each must give the same bytes; with --policy, say who flips and why."""
    if is_verify == (policy is not None):
        raise FieldInvalid("name either --verify or --policy")
    settings = load_settings()
    window = window_of(last, first, to)
    if policy is None:
        _verify(settings, window, processes, allows_evaluators, as_json)
    if window == Window():
        window = Window(last=DEFAULT_LAST)
    url = database_url(settings)
    with progressing() as on_progress:
        candidate = source_of(url, settings, str(policy))
        report = flip_report(url, settings.chain, candidate, window, limit=limit, processes=processes, on_progress=on_progress)
    typer.echo(json.dumps(report.as_dict(), indent=2) if as_json else str(report))


def _verify(settings: Settings, window: Window, processes: int | None, allows_evaluators: bool, as_json: bool) -> None:
    with progressing() as on_progress:
        done = replay_run.verify(database_url(settings), settings.chain, window, processes, on_progress)
    report = VerifyReport(settings.chain, str(window), done.head, done.outcome, allows_evaluators)
    typer.echo(json.dumps(report.as_dict(), indent=2) if as_json else str(report))
    raise typer.Exit(0 if report.is_equal else 1)
