"""What `halt` and `resume` share: their options, which switches they turn, and by which way they reach them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import cleandoc
from typing import Annotated, TypeAlias

import typer

from precedent.cli.switches import Switches, open_switches
from precedent.clock import SystemClock
from precedent.errors import FieldInvalid, InputRefused, PrecedentError
from precedent.settings import load_settings

# How `resume` knows what a halt switched off from what was off for a reason of its own.
HALTED = "halted: "

ReasonOption = Annotated[str, typer.Option("--reason", help="why; it is recorded", prompt=True)]
NodeOption = Annotated[str | None, typer.Option("--node", help="only this node's actions; everything unless named")]
ActionOption = Annotated[str | None, typer.Option("--action", help="only this one of the node's actions")]
UrlOption = Annotated[str | None, typer.Option("--url", envvar="PRECEDENT_URL", help="the API, and no other way; default: what runs here")]
TokenOption = Annotated[
    str | None, typer.Option("--token", envvar="PRECEDENT_TOKEN", help="with the scope flags:write; default: the development token")
]
DirectOption = Annotated[bool, typer.Option("--direct", help="straight into the database, past the API")]

# Of switches, a node, an action and a reason: what was done, in lines.
Turn: TypeAlias = Callable[[Switches, str | None, str | None, str], list[str]]


class NothingToSwitch(PrecedentError):
    """No action is in the state that was to be changed: a misspelt node, mostly."""

    code = "NOTHING_TO_SWITCH"


def command_of(turn: Turn, words: str) -> typer.Typer:
    """A command that turns switches; `words` are its help."""
    app = typer.Typer(add_completion=False)

    @app.command(help=cleandoc(words))
    def command(
        reason: ReasonOption,
        node: NodeOption = None,
        action: ActionOption = None,
        url: UrlOption = None,
        token: TokenOption = None,
        is_direct: DirectOption = False,
    ) -> None:
        on_first_that_answers(url, token, is_direct, lambda switches: turn(switches, node, action, reason))

    return app


def on_first_that_answers(url: str | None, token: str | None, is_direct: bool, turn: Callable[[Switches], list[str]]) -> None:
    """Do it by the first way that works; tell what was done, how, and in how many ms. Exit 1 where none did.

    Raises: InputRefused, NothingToSwitch: the same would be heard by any other way.
    """
    clock = SystemClock()
    with open_switches(load_settings(), url, token, is_direct=is_direct) as ways:
        for switches in ways:
            began_ns = clock.monotonic_ns()
            try:
                done = turn(switches)
            except (InputRefused, NothingToSwitch):
                raise
            except PrecedentError as error:
                typer.echo(f"not by {switches.where}: {error}", err=True)
                continue
            took_ms = (clock.monotonic_ns() - began_ns) / 1e6
            for line in done:
                typer.echo(line)
            typer.echo(f"by {switches.where}, in {took_ms:.0f} ms")
            return
    # Guarantee 2 is what remains then: no database, no verdict.
    typer.echo("nothing was switched: no way was open. An API that can't reach its database decides nothing.", err=True)
    raise typer.Exit(1)


def halt_with(switches: Switches, node: str | None, action: str | None, reason: str) -> list[str]:
    """Halt everything, or switch off what is enabled of a node; what was done, in lines.

    Raises: NothingToSwitch, FieldInvalid, and what the switches raise.
    """
    _require(node, action, reason)
    if node is None:
        switches.set_halted(True, reason)
        return ["halted: every decision escalates as HALTED"]
    flags = switches.flags()
    chosen = [flag for flag in flags if flag.is_enabled and flag.node == node and action in (None, flag.action)]
    if not chosen:
        enabled = ", ".join(f"{flag.node}/{flag.action}" for flag in flags if flag.is_enabled) or "nothing"
        raise NothingToSwitch(f"couldn't halt {node}/{action or '*'}: nothing of that is enabled; enabled: {enabled}")
    for flag in chosen:
        switches.set_flag(replace(flag, is_enabled=False, reason=HALTED + reason))
    return [f"halted {flag.node}/{flag.action}: it is denied as NOT_ENABLED" for flag in chosen]


def resume_with(switches: Switches, node: str | None, action: str | None, reason: str) -> list[str]:
    """Turn the kill switch back, or switch on what `halt_with` switched off of a node, up to the level it had.

    Raises: NothingToSwitch, FieldInvalid, and what the switches raise.
    """
    _require(node, action, reason)
    if node is None:
        switches.set_halted(False, reason)
        return ["resumed: what its flag enables is decided again"]
    off = [flag for flag in switches.flags() if not flag.is_enabled and flag.node == node and action in (None, flag.action)]
    chosen = [flag for flag in off if flag.reason.startswith(HALTED)]
    if not chosen:
        others = "".join(f"; {flag.node}/{flag.action} is off by `precedent flag`: {flag.reason}" for flag in off)
        raise NothingToSwitch(f"couldn't resume {node}/{action or '*'}: no halt stopped it{others}")
    for flag in chosen:
        switches.set_flag(replace(flag, is_enabled=True, reason=f"resumed: {reason}"))
    return [f"resumed {flag.node}/{flag.action}, up to AL{flag.max_level}" for flag in chosen]


def _require(node: str | None, action: str | None, reason: str) -> None:
    if action is not None and node is None:
        raise FieldInvalid("--action needs --node")
    if not reason.strip():
        raise FieldInvalid("a halt and its end need a reason")
