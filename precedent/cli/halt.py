"""`precedent halt`: stop deciding, at once and everywhere. `precedent resume` (resume.py) ends it."""

from __future__ import annotations

from typing import Annotated

import typer

from precedent.cli.halting import ActionOption, DirectOption, NodeOption, TokenOption, UrlOption, halt_with, on_first_that_answers

app = typer.Typer(add_completion=False)


@app.command()
def halt(
    reason: Annotated[str, typer.Option(help="why; it is recorded", prompt=True)],
    node: NodeOption = None,
    action: ActionOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    is_direct: DirectOption = False,
) -> None:
    """Halt everything: each decision escalates as HALTED and is recorded, until `precedent resume`.

    With --node, and --action, only what is enabled there: it is denied as NOT_ENABLED. The API is asked where one runs; where it does
    not answer, the database. Either way it holds for every process from that moment on.
    """
    on_first_that_answers(url, token, is_direct, lambda switches: halt_with(switches, node, action, reason))
