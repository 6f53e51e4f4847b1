"""An expression as the solver sees it. What can't be said there becomes a free boolean, and its place is noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import z3
from cel_expr_python import cel

from precedent.policy.analyse.values import COMPARE, Bool, Number, Text, Truth, both, either
from precedent.policy.expression import Term, substitute
from precedent.policy.values import TEXT_LIMIT_CHARS

Symbol = Truth | Number | Text
HIGHEST_CHARACTER = 0x2FF00
"""The solver's characters end soon after; a string that holds a later one isn't translated."""

_ARITHMETIC: dict[str, Callable[[Number, Number], Number]] = {
    "+": Number.plus, "-": Number.minus, "*": Number.times, "/": Number.divided, "%": Number.remainder,
}  # fmt: skip
_BOOLEAN = frozenset({"!", "&&", "||", "in", *COMPARE})
_KNOWN: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith, "endsWith": str.endswith, "contains": str.__contains__,
}  # fmt: skip
_FREE: dict[str, Callable[[Any, Any], Any]] = {
    "startsWith": lambda text, part: z3.PrefixOf(part, text),
    "endsWith": lambda text, part: z3.SuffixOf(part, text),
    "contains": z3.Contains,
}


class Untranslatable(Exception):
    """A part that can't be said to the solver; `why` in words."""

    def __init__(self, term: Term, why: str) -> None:
        super().__init__(why)
        self.term = term
        self.why = why


@dataclass(slots=True)
class Translation:
    """Terms over `names` and a rule's `numbers`; `text` is what they were parsed from.

    `free` holds a stand-in for each boolean part that couldn't be translated: the same words and numbers stand for the same value.
    """

    text: str
    names: Mapping[str, Symbol]
    numbers: Mapping[str, int]
    free: dict[str, Truth]
    open: list[Untranslatable] = field(default_factory=list)

    def condition(self, term: Term) -> Truth:
        """The boolean `term`; where it or its smallest boolean part isn't translatable, that part is free."""
        try:
            return self.boolean(term)
        except Untranslatable as refused:
            self.open.append(refused)
            written = substitute(self.text, term, dict(self.numbers))
            if written not in self.free:
                yes, no = z3.Bool(f"open {written} is true"), z3.Bool(f"open {written} is false")
                self.free[written] = Truth(yes, z3.And(z3.Not(yes), no))
            return self.free[written]

    def boolean(self, term: Term) -> Truth:
        if term.op == "!":
            return self.condition(term.parts[0]).negated()
        if term.op in {"&&", "||"}:
            left, right = (self.condition(part) for part in term.parts)
            return left.and_also(right) if term.op == "&&" else left.or_else(right)
        if term.op == "?:":
            asked, yes, no = (self.condition(part) for part in term.parts)
            return asked.choose(yes, no)
        if term.op in COMPARE:
            return self.comparison(term)
        if term.op == "in":
            return self.membership(term)
        if term.op == "()" and term.value != "size":
            return self.question(term)
        held = self.value(term)
        if not isinstance(held, Truth):
            raise Untranslatable(term, "isn't a truth value")
        return held

    def comparison(self, term: Term) -> Truth:
        left, right = term.parts
        if "list" in {left.op, right.op}:
            raise Untranslatable(term, "compares lists")
        return _compared(term, self.value(left), self.value(right))

    def membership(self, term: Term) -> Truth:
        wanted, listed = self.value(term.parts[0]), term.parts[1]
        if listed.op != "list":
            raise Untranslatable(term, "asks for a place in something other than a written list")
        found = Truth.known(False)
        for part in listed.parts:
            held = self.value(part)
            if type(held) is type(wanted):  # 1 is not in [true]
                found = found.or_else(_compared(term, wanted, held))
        return Truth.where(found.yes, wanted.fault)

    def question(self, term: Term) -> Truth:
        if term.value not in {*_KNOWN, "matches"} or len(term.parts) != 2:
            raise Untranslatable(term, f"'{term.value}' is unknown to the solver")
        text, part = (self.value(part) for part in term.parts)
        if not isinstance(text, Text) or not isinstance(part, Text):
            raise Untranslatable(term, f"'{term.value}' of something other than text")
        if term.value != "matches":
            return text.asked(part, _KNOWN[str(term.value)], _FREE[str(term.value)])
        if text.free is not None or part.free is not None:
            raise Untranslatable(term, "matches a pattern with text of any kind")
        return text.asked(part, _is_match, z3.Contains)

    def value(self, term: Term) -> Symbol:
        if term.op in {"int", "string", "bool"}:
            return _literal(term)
        if term.op == "name":
            name = str(term.value)
            if name in self.numbers:
                return Number.known(self.numbers[name])
            held = self.names.get(name)
            if held is None:
                raise Untranslatable(term, f"the value of {term.value} is unknown to the solver")
            return held
        if term.op in _ARITHMETIC:
            return self.arithmetic(term)
        if term.op == "neg":
            return self.number(term.parts[0]).negated()
        if term.op == "()" and term.value == "size" and len(term.parts) == 1:
            return self.size(term)
        if term.op == "?:":
            return self.choice(term)
        if term.op in _BOOLEAN or (term.op == "()" and term.value != "size"):
            return self.boolean(term)
        raise Untranslatable(term, "isn't a single value")

    def number(self, term: Term) -> Number:
        held = self.value(term)
        if not isinstance(held, Number):
            raise Untranslatable(term, "isn't a number")
        return held

    def arithmetic(self, term: Term) -> Number | Text:
        left, right = (self.value(part) for part in term.parts)
        if isinstance(left, Number) and isinstance(right, Number):
            return _ARITHMETIC[term.op](left, right)
        if term.op == "+" and isinstance(left, Text) and isinstance(right, Text):
            return left.joined(right)
        raise Untranslatable(term, f"'{term.op}' of these")

    def size(self, term: Term) -> Number:
        part = term.parts[0]
        if part.op == "list":
            return Number.known(len(part.parts))
        held = self.value(part)
        if not isinstance(held, Text):
            raise Untranslatable(term, "the size of something other than text or a list")
        # even joined many times over, since an expression is short
        return held.size(TEXT_LIMIT_CHARS * 1000)

    def choice(self, term: Term) -> Symbol:
        asked = self.condition(term.parts[0])
        yes, no = (self.value(part) for part in term.parts[1:])
        if isinstance(yes, Truth) and isinstance(no, Truth):
            return asked.choose(yes, no)
        if isinstance(yes, Number) and isinstance(no, Number):
            return yes.chosen(asked, no)
        if isinstance(yes, Text) and isinstance(no, Text):
            return yes.chosen(asked, no)
        raise Untranslatable(term, "is one kind of value or another")


def _compared(term: Term, left: Symbol, right: Symbol) -> Truth:
    if isinstance(left, Number) and isinstance(right, Number):
        return left.compared(term.op if term.op in COMPARE else "==", right)
    if isinstance(left, Text) and isinstance(right, Text):
        return left.compared(term.op if term.op in COMPARE else "==", right)
    if isinstance(left, Truth) and isinstance(right, Truth):
        return _of_truths(term.op if term.op in COMPARE else "==", left, right)
    raise Untranslatable(term, "compares values of two kinds")


def _of_truths(op: str, left: Truth, right: Truth) -> Truth:
    """false is less than true."""
    holding: list[Bool] = []
    failing: list[Bool] = []
    for one, is_one in ((left.yes, True), (left.no, False)):
        for two, is_two in ((right.yes, True), (right.no, False)):
            (holding if COMPARE[op](is_one, is_two) else failing).append(both(one, two))
    return Truth(either(*holding), either(*failing), left.sure and right.sure)


def _literal(term: Term) -> Symbol:
    if term.op == "int":
        return Number.known(int(term.value))
    if term.op == "bool":
        return Truth.known(bool(term.value))
    text = str(term.value)
    if any(ord(character) > HIGHEST_CHARACTER for character in text):
        raise Untranslatable(term, "holds a character that the solver has no number for")
    return Text.known(text)


def _is_match(text: str, pattern: str) -> bool:
    """By the library itself, so that its patterns mean here what they mean in a decision."""
    environment = cel.NewEnv(variables={"text": cel.Type.STRING, "pattern": cel.Type.STRING})
    program = environment.compile("text.matches(pattern)")
    return program.eval(environment.Activation({"text": text, "pattern": pattern})).value() is True
