"""The part of CEL that policies may use, parsed with positions; CEL itself type-checks and evaluates.

This tree exists for what the library doesn't tell: which names an expression reads and where, which numbers are
compared with which facts, and the atoms of a condition. What isn't parsed here isn't accepted: no comprehensions,
maps, decimals, time zones, or functions beyond a short list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

DEPTH_LIMIT = 24
"""Below the 32 of CEL's own parser, so that every refusal has a place."""

METHODS = frozenset({"contains", "endsWith", "matches", "size", "startsWith"})
_BANNED = {
    **dict.fromkeys(("all", "exists", "exists_one", "filter", "map"), "rules hold no comprehensions"),
    **dict.fromkeys(("timestamp", "duration"), "rules know no clocks and no time zones, only weekday and local_minute"),
    "has": "rules don't ask for presence: give the optional fact a default",
    "double": "rules hold whole numbers only",
    "dyn": "rules hold no untyped values",
}
_TOKEN = re.compile(
    r"""\s*(?:(?P<float>[0-9]*\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)|(?P<int>[0-9]+)(?![A-Za-z0-9_])
    |(?P<string>"(?:[^"\\\n]|\\["'\\nrt])*"|'(?:[^'\\\n]|\\["'\\nrt])*')(?!["'])|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?!["'])
    |(?P<op>&&|\|\||==|!=|<=|>=|[<>+\-*/%!?:.,()\[\]{}]))""",
    re.VERBOSE,
)
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"<", "<=", ">", ">=", "==", "!=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class ExpressionRefused(Exception):
    """Text that isn't an acceptable expression; `offset` is its place, 0-based."""

    def __init__(self, code: str, message: str, offset: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Term:
    """One part of an expression. `op` is `name`, `int`, `string`, `bool`, `list`, `?:`, `()` or an operator.

    `value` holds the dotted name, the literal, or the function; `start` and `end` are offsets into the text.
    """

    op: str
    start: int
    end: int
    value: str | int | bool = ""
    parts: tuple[Term, ...] = field(default=())

    def walk(self) -> Iterator[Term]:
        """This term and all below it, in the order of the text."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def names(self) -> list[Term]:
        """Every name that is read, in the order of the text."""
        return [term for term in self.walk() if term.op == "name"]

    def atoms(self) -> list[Term]:
        """The conditions between && and ||; a negation is split too."""
        if self.op in {"&&", "||"} or (self.op == "!" and self.parts[0].op in {"&&", "||", "!"}):
            return [atom for part in self.parts for atom in part.atoms()]
        return [self]

    def conjuncts(self) -> list[Term]:
        """The conditions that must all hold; a term that is no conjunction is its own only one."""
        if self.op == "&&":
            return [conjunct for part in self.parts for conjunct in part.conjuncts()]
        return [self]


def parse_expression(text: str) -> Term:
    """The tree of `text`.

    Raises: ExpressionRefused
    """
    return _Parser(text).whole()


def substitute(text: str, term: Term, values: dict[str, int]) -> str:
    """The text of `term` with each name in `values` replaced by its number."""
    out, at = [], term.start
    for name in term.names():
        if name.value in values:
            out += [text[at : name.start], f"({values[str(name.value)]})"]
            at = name.end
    return "".join(out) + text[at : term.end]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def _tokens(text: str) -> list[_Token]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionRefused("SYNTAX", f"can't read {text[start : start + 12]!r}", start)
        kind = match.lastgroup
        found.append(_Token(kind, match.group(kind), match.start(kind), match.end(kind)))
        at = match.end()
    return [*found, _Token("end", "", end, end)]


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self, text: str | None = None) -> _Token:
        token = self.token
        if text is not None and token.text != text:
            raise ExpressionRefused("SYNTAX", f"expected '{text}'" + (f", found '{token.text}'" if token.text else ""), token.start)
        self.at += 1
        return token

    def whole(self) -> Term:
        term = self.choice()
        if self.token.kind != "end":
            raise ExpressionRefused("SYNTAX", f"didn't expect '{self.token.text}'", self.token.start)
        return term

    def choice(self) -> Term:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise ExpressionRefused("TOO_DEEP", f"nested deeper than {DEPTH_LIMIT} levels", self.token.start)
        term = self.binary(0)
        if self.token.text == "?" and self.token.kind == "op":
            self.take()
            yes = self.binary(0)
            self.take(":")
            no = self.choice()
            term = Term("?:", term.start, no.end, parts=(term, yes, no))
        self.depth -= 1
        return term

    def binary(self, level: int) -> Term:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        chained = 0
        while self.token.kind in {"op", "name"} and self.token.text in _LEVELS[level]:
            chained += level >= 2
            if chained > DEPTH_LIMIT:
                raise ExpressionRefused("TOO_DEEP", f"more than {DEPTH_LIMIT} operators in a row", self.token.start)
            op = self.take().text
            right = self.binary(level + 1)
            left = Term(op, left.start, right.end, parts=(left, right))
        return left

    def unary(self) -> Term:
        if self.token.kind == "op" and self.token.text in {"!", "-"}:
            self.depth += 1
            if self.depth > DEPTH_LIMIT:
                raise ExpressionRefused("TOO_DEEP", f"nested deeper than {DEPTH_LIMIT} levels", self.token.start)
            sign = self.take()
            part = self.unary()
            self.depth -= 1
            if sign.text == "-" and part.op == "int":
                return Term("int", sign.start, part.end, -int(part.value))
            return Term(sign.text if sign.text == "!" else "neg", sign.start, part.end, parts=(part,))
        return self.member()

    def member(self) -> Term:
        term = self.primary()
        while self.token.kind == "op" and self.token.text in {".", "["}:
            if self.take().text == "[":
                raise ExpressionRefused("NOT_ALLOWED", "facts have no elements: no [ ] after a value", self.token.start - 1)
            name = self.take()
            if name.kind != "name":
                raise ExpressionRefused("SYNTAX", "expected a name after '.'", name.start)
            if self.token.text == "(":
                term = self.call(name, (term,), term.start)
            elif term.op == "name":
                term = Term("name", term.start, name.end, f"{term.value}.{name.text}")
            else:
                raise ExpressionRefused("NOT_ALLOWED", "a value has no members", name.start)
        return term

    def primary(self) -> Term:
        token = self.take()
        if token.kind == "int":
            if len(token.text) > 18:
                raise ExpressionRefused("SYNTAX", "an integer has at most 18 digits", token.start)
            return Term("int", token.start, token.end, int(token.text))
        if token.kind == "float":
            message = "rules hold whole numbers only: write basis points or minor units, or name the number in `with`"
            raise ExpressionRefused("DECIMAL", message, token.start)
        if token.kind == "string":
            body = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), token.text[1:-1])
            return Term("string", token.start, token.end, body)
        if token.kind == "name":
            if token.text in {"true", "false"}:
                return Term("bool", token.start, token.end, token.text == "true")
            return self.call(token, (), token.start) if self.token.text == "(" else Term("name", token.start, token.end, token.text)
        if token.text == "(":
            inner = self.choice()
            return Term(inner.op, token.start, self.take(")").end, inner.value, inner.parts)
        if token.text == "[":
            return self.items(token.start)
        if token.text == "{":
            raise ExpressionRefused("NOT_ALLOWED", "maps are not allowed: their order differs from process to process", token.start)
        what = f"didn't expect '{token.text}'" if token.text else "it ends too early"
        raise ExpressionRefused("SYNTAX", what, token.start)

    def call(self, name: _Token, target: tuple[Term, ...], start: int) -> Term:
        if name.text in _BANNED:
            raise ExpressionRefused("NOT_ALLOWED", f"'{name.text}': {_BANNED[name.text]}", name.start)
        if name.text not in METHODS or (not target and name.text != "size"):
            raise ExpressionRefused("NOT_ALLOWED", f"'{name.text}' is no function of rules: {', '.join(sorted(METHODS))} are", name.start)
        self.take("(")
        arguments = self.until(")")
        return Term("()", start, self.tokens[self.at - 1].end, name.text, (*target, *arguments))

    def items(self, start: int) -> Term:
        parts = self.until("]")
        for part in parts:
            if part.op not in {"int", "string", "bool"}:
                raise ExpressionRefused("NOT_ALLOWED", "a list holds literals only", part.start)
        return Term("list", start, self.tokens[self.at - 1].end, parts=parts)

    def until(self, closing: str) -> tuple[Term, ...]:
        parts: list[Term] = []
        while self.token.text != closing or self.token.kind != "op":
            if parts:
                self.take(",")
            parts.append(self.choice())
        self.take(closing)
        return tuple(parts)
