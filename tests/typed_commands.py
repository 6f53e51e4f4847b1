"""The commands of a page, as a reader types them: found, filled in, run in one shell, and held to what they are to say."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer

WARM = Path(__file__).with_name("warm_precedent.py")
MARK = "=== end of the command, exit code"
SECONDS = 120.0  # for all commands of one shell
PROGRAMS = "precedent|python|make|promtool|curl"
# A fenced block of commands, or a span of one in the text; blocks of other kinds (yaml, json) are passed by.
COMMANDS = re.compile(
    r"^```(?P<kind>\w*)\n(?P<block>.*?)^```$" rf"|(?<!`)`(?P<span>(?:[A-Z_]+=\S+ )*(?:{PROGRAMS}) [^`\n]+)`(?!`)", re.MULTILINE | re.DOTALL
)
COMMENT = re.compile(r"\s+# .*$")


@dataclass(frozen=True, slots=True)
class Run:
    """What a command is to say, as a pattern that is searched for, and its exit code. Named groups become variables of the shell;
    `fill` replaces what stands for something of the reader's own; `answer` is typed when it asks."""

    says: str
    code: int = 0
    fill: Mapping[str, str] = field(default_factory=dict)
    answer: str = ""


def commands_of(text: str) -> list[str]:
    """In the page's order, without the comment at the end: those of blocks as they come, and those in the text that no block has,
    once. What only names a command, being the beginning of another, is none."""
    blocks = [(part.start(), one) for part in COMMANDS.finditer(text) if part["kind"] in {"", "sh"} for one in _split(part["block"])]
    spans = {part["span"]: part.start() for part in reversed(list(COMMANDS.finditer(text))) if part["span"]}
    longer = [one for _, one in blocks] + list(spans)
    alone = [(place, one) for one, place in spans.items() if not any(other == one for _, other in blocks)]
    alone = [(place, one) for place, one in alone if not any(other.startswith(f"{one} ") for other in longer)]
    return [one for _, one in sorted(blocks + alone, key=itemgetter(0))]


def _split(block: str) -> Iterator[str]:
    """The commands of a block: a line, or several where a quote stays open or a backslash ends one."""
    typed = ""
    for line in block.splitlines():
        typed = f"{typed}\n{line}" if typed else line
        if not typed.endswith("\\") and _is_closed(typed):
            command = COMMENT.sub("", typed).strip()
            if command and not command.startswith("#"):
                yield command
            typed = ""
    assert not typed, f"a quote stays open: {typed}"


def _is_closed(typed: str) -> bool:
    try:
        shlex.split(typed, comments=True)
    except ValueError:
        return False
    return True


def unaccounted(commands: Sequence[str], runs: Mapping[str, Run], elsewhere: Mapping[str, str]) -> list[str]:
    """What is neither run nor has a reason, what is both, and what stands in a table and no longer on the page."""
    here = set(commands)
    return sorted((here - runs.keys() - elsewhere.keys()) | (runs.keys() & elsewhere.keys()) | ((runs.keys() | elsewhere.keys()) - here))


class Shell:
    """One bash that is typed into; what it says comes on one stream."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def type(self, command: str, answer: str = "") -> tuple[int, str]:
        """Its exit code and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{{ {command}\n}} <<'END_OF_ANSWER'\n{answer}\nEND_OF_ANSWER\nprintf '\\n{MARK} %s\\n' $?\n")
        self._process.stdin.flush()
        said: list[str] = []
        for line in self._process.stdout:
            if line.startswith(MARK):
                return int(line.removeprefix(MARK)), "".join(said).removesuffix("\n")
            said.append(line)
        raise AssertionError(f"the shell ended in {command!r}: {''.join(said)}")

    def walk(self, commands: Sequence[str], runs: Mapping[str, Run]) -> list[str]:
        """Type those that are to run, in order; what came out otherwise than it is to, told for a reader."""
        otherwise = []
        for command in commands:
            if command not in runs:
                continue
            wanted, typed = runs[command], command
            for placeholder, value in wanted.fill.items():
                assert placeholder in typed, f"{placeholder!r} is not in {typed!r}"
                typed = typed.replace(placeholder, value)
            code, said = self.type(typed, wanted.answer)
            found = re.search(wanted.says, said, re.MULTILINE | re.DOTALL)
            if code != wanted.code or found is None:
                otherwise.append(f"$ {typed}\n--- to say /{wanted.says}/, exit code {wanted.code}\n--- it said, exit code {code}\n{said}")
            for name, value in (found.groupdict() if found else {}).items():
                self.type(f"{name}={shlex.quote(value)}")
        return otherwise


@contextmanager
def shell_in(folder: Path, environment: Mapping[str, str]) -> Iterator[Shell]:
    """A shell in that folder with that environment, where `precedent` is on the path as after an installation."""
    with TemporaryDirectory(prefix="precedent-") as made:
        address, command = Path(made, "socket"), Path(made, "precedent")
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {WARM} ask {address} "$@"\n')
        command.chmod(0o755)
        path = f"{made}:{Path(sys.executable).parent}:{environment['PATH']}"
        server = subprocess.Popen([sys.executable, WARM, "serve", address], env=dict(environment), stdout=subprocess.PIPE, text=True)
        bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**environment, "PATH": path, "COLUMNS": "250"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        late = Timer(SECONDS, bash.kill)
        late.start()
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield Shell(bash)
        finally:
            late.cancel()
            for one in (bash, server):
                one.kill()
                one.communicate()
