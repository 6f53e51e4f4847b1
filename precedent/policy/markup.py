"""YAML or JSON text as a tree in which every value knows its line and column; numbers keep their written digits.

Read from the parser's events and not from its nodes, so that an alias has its own place, and its expansion is
counted before it happens: a document of a few hundred bytes can otherwise ask for gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import yaml

from precedent.errors import PolicyInvalid, Problem

TEXT_LIMIT_BYTES = 256 * 1024
NODE_LIMIT = 20_000
DEPTH_LIMIT = 24
NUMBER_LIMIT_CHARS = 40

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?\Z")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Scalar: TypeAlias = bool | int | Decimal | str | None
Plain: TypeAlias = "Scalar | list[Plain] | dict[str, Plain]"


@dataclass(slots=True)
class Node:
    """One value. `line` and `column` are 1-based; `size` counts the values in it, aliases expanded."""

    value: Scalar | list[Node] | dict[str, Node]
    line: int
    column: int
    size: int = 1
    style: str | None = None
    keys: dict[str, tuple[int, int]] | None = None
    is_alias: bool = False

    def plain(self) -> Plain:
        """The values without their places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def at(self, path: tuple[str | int, ...]) -> Node:
        """The value under `path`, or the deepest that exists on the way."""
        node = self
        for part in path:
            held = node.value
            child: Node | None = None
            if isinstance(held, dict) and isinstance(part, str):
                child = held.get(part)
            elif isinstance(held, list) and isinstance(part, int) and part < len(held):
                child = held[part]
            if child is None:
                break
            node = child
        return node


def read_markup(text: str, file: str) -> Node:
    """The tree of one YAML 1.2 or JSON document.

    Raises: PolicyInvalid with the line and column of the first thing that isn't acceptable.
    """
    _refuse_early(text, file)
    reader = _Reader(text, file)
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _invalid("NOT_YAML", f"couldn't read the text: {error.problem or error.context}", file, line, column) from error
    except yaml.YAMLError as error:
        raise _invalid("NOT_YAML", "couldn't read the text: it holds a character that YAML doesn't allow", file, 1, 1) from error


def _invalid(code: str, message: str, file: str, line: int, column: int) -> PolicyInvalid:
    return PolicyInvalid([Problem(code, message, file, line, column)])


def _refuse_early(text: str, file: str) -> None:
    if len(text) > TEXT_LIMIT_BYTES or len(text.encode("utf-8", "surrogatepass")) > TEXT_LIMIT_BYTES:
        raise _invalid("TOO_LARGE", f"a document holds at most {TEXT_LIMIT_BYTES // 1024} KiB", file, 1, 1)
    for number, line in enumerate(text.split("\n"), start=1):
        if (column := line.find("\t")) >= 0:
            raise _invalid("TAB", "a tab: write spaces, tabs have no agreed width", file, number, column + 1)
        if any("\ud800" <= char <= "\udfff" for char in line):
            raise _invalid("NOT_YAML", "half of a surrogate pair", file, number, 1)


class _Reader:
    """Builds the tree from events; the parser is lazy, so a refusal stops it where it is."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self.anchors: dict[str, Node] = {}
        self.seen = 0

    def document(self) -> Node:
        next(self.events)
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            raise _invalid("EMPTY", "the document is empty", self.file, 1, 1)
        root = self.node(next(self.events), 0)
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.refuse(after, "MANY_DOCUMENTS", "one file holds one document")
        return root

    def refuse(self, event: Any, code: str, message: str) -> PolicyInvalid:
        return _invalid(code, message, self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def node(self, event: Any, depth: int) -> Node:
        self.seen += 1
        if depth > DEPTH_LIMIT:
            raise self.refuse(event, "TOO_DEEP", f"nested deeper than {DEPTH_LIMIT} levels")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if event.tag is not None and event.tag != "!":
            raise self.refuse(event, "TAG", f"the tag {event.tag!r}: types come from the schema")
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self.scalar(event), line, column, style=event.style or None)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(line, column, depth)
        else:
            node = self.mapping(line, column, depth)
        if self.seen > NODE_LIMIT or node.size > NODE_LIMIT:
            raise self.refuse(event, "TOO_MANY_VALUES", f"more than {NODE_LIMIT:,} values")
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any) -> Node:
        target = self.anchors.get(event.anchor)
        if target is None:
            raise self.refuse(event, "ALIAS", f"*{event.anchor} names no anchor that is complete here")
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        return Node(target.value, line, column, target.size, target.style, target.keys, is_alias=True)

    def scalar(self, event: Any) -> Scalar:
        text: str = event.value
        if _CONTROL.search(text):
            raise self.refuse(event, "CONTROL", "a control character: no database text and no page can hold it")
        if event.style:  # plain is "" in one parser and None in the other
            return text
        if text in _WORDS:
            return _WORDS[text]
        if not _DECIMAL.match(text):
            return text
        if len(text) > NUMBER_LIMIT_CHARS:
            raise self.refuse(event, "NUMBER", f"a number has at most {NUMBER_LIMIT_CHARS} characters")
        return int(text) if _INTEGER.match(text) else Decimal(text)

    def sequence(self, line: int, column: int, depth: int) -> Node:
        items: list[Node] = []
        size = 1
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            item = self.node(event, depth + 1)
            size += item.size
            items.append(item)
        return Node(items, line, column, size)

    def mapping(self, line: int, column: int, depth: int) -> Node:
        members: dict[str, Node] = {}
        keys: dict[str, tuple[int, int]] = {}
        size = 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.scalar(event) if isinstance(event, yaml.ScalarEvent) else None
            if not isinstance(key, str):
                raise self.refuse(event, "KEY", "a key is text")
            if key in members:
                raise self.refuse(event, "DUPLICATE_KEY", f"'{key}' was given on line {keys[key][0]} already")
            keys[key] = (event.start_mark.line + 1, event.start_mark.column + 1)
            members[key] = self.node(next(self.events), depth + 1)
            size += members[key].size
        return Node(members, line, column, size, keys=keys)
