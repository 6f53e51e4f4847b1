"""`precedent …`: finds the command's module in a table and imports that alone, so that every command starts quickly."""

from __future__ import annotations

import sys
from importlib import import_module

from precedent.errors import PolicyInvalid, PrecedentError

# Command → (module, what it does). Each module has `app`, a typer app; one with a single command is that command.
COMMANDS = {
    "up": ("precedent.cli.up", "start everything on this machine, until Ctrl-C"),
    "down": ("precedent.cli.down", "stop what runs from this home"),
    "status": ("precedent.cli.status", "the addresses, and the state of each process"),
    "doctor": ("precedent.cli.doctor", "find what is wrong with this installation"),
    "policy": ("precedent.cli.policy", "lint, test, publish and activate policies"),
    "explain": ("precedent.cli.explain", "why a decision came out as it did"),
    "flag": ("precedent.cli.flag", "what may be decided at all, and up to which level alone"),
    "halt": ("precedent.cli.halt", "stop deciding, at once and everywhere, or one node"),
    "resume": ("precedent.cli.resume", "decide again what a halt stopped"),
    "drill": ("precedent.cli.drill", "measure how long a halt takes, on a scratch node"),
    "token": ("precedent.cli.token", "who may call the API"),
    "psql": ("precedent.cli.psql", "a shell on the database"),
    "ledger": ("precedent.cli.ledger", "verify the ledger, rebuild what is derived from it, keep its keys"),
    "signer": ("precedent.cli.signer", "sign checkpoints in a process of its own"),
    "replay": ("precedent.cli.replay", "derive recorded decisions again, as they were or by another policy"),
    "import": ("precedent.cli.supply", "load a real log by a mapping"),
    "append": ("precedent.cli.append", "record events, one a line"),
    "simulate": ("precedent.cli.simulate", "make sample data: a deal desk with known truth"),
    "backfill": ("precedent.cli.backfill", "have the pipeline compute a range of days"),
    "embed": ("precedent.cli.embed", "place decided cases for the search for precedents"),
    "calibrate": ("precedent.cli.calibrate", "measure how precedents are searched, and what is novel"),
    "lineage": ("precedent.cli.lineage", "the way back from what was derived to the entries it was made from"),
    "notebooks": ("precedent.cli.notebooks", "serve the analysts' notebooks on this machine, reading only"),
    "variants": ("precedent.cli.variants", "how each live variant does"),
    "review": ("precedent.cli.review", "what waits for a person, and their answers"),
    "webhook": ("precedent.cli.webhook", "signed messages to servers of yours"),
    "costs": ("precedent.cli.costs", "what models used and cost, and what is left of their budgets"),
    "outbox": ("precedent.cli.outbox", "messages that decisions left for people"),
}


def main() -> None:
    """Run the command that the arguments name. Exit 2 for a command that isn't one, 1 for an error that has words."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in {"--help", "-h", "help"}:
        print(usage())
        sys.exit(0 if arguments else 2)
    name, *rest = arguments
    if name not in COMMANDS:
        sys.exit(_refuse(name))
    import typer

    command = typer.main.get_command(import_module(COMMANDS[name][0]).app)
    try:
        command(rest, prog_name=f"precedent {name}")
    except PolicyInvalid as error:
        print(*(problem.quoted() for problem in error.problems), sep="\n", file=sys.stderr)
        sys.exit(1)
    except PrecedentError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def usage() -> str:
    """The list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["usage: precedent COMMAND …    (precedent COMMAND --help)", "", *lines])


def _refuse(name: str) -> int:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    print(f"no command named {name}{hint}\n\n{usage()}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
