"""What a problem still lacks when it is found: the line it stands in with a mark under the place, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from precedent.errors import PolicyInvalid, Problem

EXCERPT_LIMIT_CHARS = 160

HINTS = {
    "ACTION": "name one of the policy's actions, in the case or once as `action` of the suite",
    "ALIAS": "an anchor (&name) stands before its alias (*name) and never inside itself; a document stands alone and names no other",
    "BAD_NAME": "begin with a small letter, then small letters, digits and _; choose a word that CEL does not use itself",
    "BAD_VALUE": "see the key in docs/policies.md, or hover over it in an editor that knows the schema",
    "BANNED_REASON": "say which fact was decisive and which limit it missed, as you would to the person concerned",
    "CONTROL": "delete the character; write a line break as a new line of a | block",
    "DECIMAL": "name the number in `with`, where 0.05 and 5 % are converted exactly, and compare with band.NAME or guard.NAME",
    "DUPLICATE_KEY": "keep one of both, or give the second a name of its own",
    "DUPLICATE_NAME": "give each a name of its own: answers, traces and tests tell them apart by it",
    "EMPTY": "begin with `policy: NAME`, `version: 1.0.0`, `node: NAME`, `owner: NAME` and `actions:`",
    "KEY": "write the key as a plain word, in quotes where it looks like a number",
    "MANY_DOCUMENTS": "put what follows --- into a file of its own",
    "MISSING_KEY": "add the key; docs/policies.md shows a whole document",
    "NOT_ALLOWED": "write a comparison of single facts, joined by && and ||; a list is only looked into by `in`",
    "NOT_ON_GRID": "a ratio has at most 4 decimals, a score 6, money those of its currency, an int none",
    "NOT_UTF8": "save the file as UTF-8",
    "NOT_YAML": "keys of one block start in one column; put text that holds : or #, or begins with ! or *, into quotes",
    "NO_SUITE": "write at least one case; docs/policies.md shows how",
    "NOW": "write an instant with its zone, such as 2026-11-17T12:00:00Z, in the case or once as `now` of the suite",
    "NUMBER": "write fewer digits; money is at most about 90 trillion",
    "OPTIONAL_READ": "write `default: VALUE` beside `optional: true`",
    "OUT_OF_RANGE": "choose a value between the least and the largest of its type",
    "PATTERN": "write a short RE2 pattern as a literal: facts.code.matches('^[A-Z]{2}[0-9]+$')",
    "PERSONAL_IN_RULE": "decide on what is not personal; a pseudonym finds features, which rules may read as memory.ENTITY.NAME",
    "PERSONAL_IN_TEXT": "leave it out of the words: reasons are stored in clear and told to others",
    "SYNTAX": "a condition looks like `facts.amount <= band.max_amount && facts.tier == 'A'`",
    "TAB": "replace it by spaces, two for each level",
    "TAG": "delete the !tag: the schema says what each value is",
    "TOO_DEEP": "split the condition into several rules, or take parentheses away",
    "TOO_LARGE": "split the actions over several policies of the node",
    "TOO_MANY_VALUES": "write less, and let an alias stand for one value, not for a tree of aliases",
    "TYPE": "compare values of one type: numbers with numbers, text in quotes with text, and let the whole be true or false",
    "UNITS": "compare money with money of its currency and ratios with ratios",
    "UNKNOWN_CURRENCY": "write the three letters of ISO 4217: USD, EUR, JPY",
    "UNKNOWN_KEY": "delete it, or see which keys docs/policies.md lists for this place",
    "UNKNOWN_NAME": "declare it where names are declared, or read another",
    "UNKNOWN_ZONE": "write a name of the IANA list such as Europe/Amsterdam, or UTC",
    "UNTESTED_FACT": "add a case that gives it",
    "UNUSED_FACT": "let a rule read it, or leave it out if nobody will look at it afterwards",
    "UNUSED_FEATURE": "let a rule read it, or do not look it up",
    "WRONG_POLICY": "write the policy's name@version, and raise it whenever the policy's version is raised",
    "WRONG_TYPE": "see the key in docs/policies.md for how its value is written",
}


def explain_problems(problems: Iterable[Problem], text: str) -> list[Problem]:
    """The problems, each with the excerpt of `text` that it points at and with a suggestion."""
    lines = text[: 1 << 20].split("\n")
    return [
        replace(
            problem,
            excerpt=problem.excerpt or excerpt(lines[problem.line - 1] if problem.line <= len(lines) else "", problem.column),
            suggestion=problem.suggestion or HINTS.get(problem.code),
        )
        for problem in problems
    ]


@contextmanager
def explaining(text: str) -> Iterator[None]:
    """Completes the problems of a refusal that is raised inside.

    Raises: PolicyInvalid
    """
    try:
        yield
    except PolicyInvalid as refused:
        raise PolicyInvalid(explain_problems(refused.problems, text)) from refused.__cause__


def excerpt(line: str, column: int) -> str:
    """The line, or the part of it around the column, and below it a mark; what can't be seen is shown as a sign."""
    at = min(max(column - 1, 0), len(line))
    start = max(0, at - EXCERPT_LIMIT_CHARS // 2) if len(line) > EXCERPT_LIMIT_CHARS else 0
    shown = "".join(_visible(char) for char in line[start : start + EXCERPT_LIMIT_CHARS])
    return f"{shown.rstrip()}\n{' ' * (at - start)}^"


def _visible(char: str) -> str:
    if char == "\t":
        return "→"
    return char if char.isprintable() else " " if char == "\r" else "·"
