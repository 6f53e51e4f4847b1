"""`precedent resume`: decide again what `precedent halt` stopped, and nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

from precedent.cli.halting import ActionOption, DirectOption, NodeOption, TokenOption, UrlOption, on_first_that_answers, resume_with

app = typer.Typer(add_completion=False)


@app.command()
def resume(
    reason: Annotated[str, typer.Option(help="why; it is recorded", prompt=True)],
    node: NodeOption = None,
    action: ActionOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
    is_direct: DirectOption = False,
) -> None:
    """Let everything be decided again that its flag allows; with --node, and --action, what `precedent halt` stopped there.

    What was switched off by `precedent flag` stays off: that was no halt.
    """
    on_first_that_answers(url, token, is_direct, lambda switches: resume_with(switches, node, action, reason))
