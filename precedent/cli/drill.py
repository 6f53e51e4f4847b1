"""`precedent drill …`: try out, on what runs, that it does what it must when it must."""

from __future__ import annotations

from statistics import median
from typing import Annotated

import typer

from precedent.cli.drilling import NODE, Halted, drill_halt
from precedent.cli.halting import TokenOption
from precedent.cli.loading.load import target_of
from precedent.clock import SystemClock
from precedent.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def drills() -> None:
    """Drills on what runs; nothing real is stopped."""


@app.command("halt")
def halt(
    url: Annotated[
        list[str] | None, typer.Option(envvar="PRECEDENT_URL", help="one API process, may be repeated; default: what runs here")
    ] = None,
    token: TokenOption = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="how often to halt")] = 5,
    callers: Annotated[int, typer.Option(min=1, max=16, help="how many ask each process meanwhile")] = 2,
) -> None:
    """Measure how long a halt takes, on the scratch node `drill`: it is enabled, asked, halted, and left disabled.

    The token needs read, decisions:write, flags:write, and the first time policies:write and policies:activate. What it decides is
    recorded like any decision. Exit 1 where an approval stands behind a halt.
    """
    settings, clock = load_settings(), SystemClock()
    targets = [target_of(settings, one or None, token) for one in (url or [""])]
    measured = []
    for number in range(rounds):
        one = drill_halt([target.url for target in targets], targets[0].token, callers=callers, clock=clock)
        measured.append(one)
        typer.echo(_line(number + 1, one))
    late = sum(one.late_count for one in measured)
    slowest = max(max(one.acknowledged_ms, one.last_approval_ms) for one in measured)
    middle = median(max(one.acknowledged_ms, one.last_approval_ms) for one in measured)
    typer.echo(
        f"time to halt: median {middle:.1f} ms, longest {slowest:.1f} ms; approved behind a halt: {late}; node '{NODE}' is off again"
    )
    raise typer.Exit(1 if late else 0)


def _line(number: int, one: Halted) -> str:
    return (
        f"{number:>3}  acknowledged {one.acknowledged_ms:6.1f} ms, first denial {one.first_denial_ms:6.1f} ms, "
        f"last approval {one.last_approval_ms:6.1f} ms, answers {one.answer_count}, approved behind the halt {one.late_count}"
    )
