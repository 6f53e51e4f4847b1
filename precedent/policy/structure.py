"""The JSON Schemas in `policies/_schemas/` as the one structural check, with every error at its line and column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from precedent.errors import Problem
from precedent.policy.markup import Node
from precedent.settings import project_root

PROBLEM_LIMIT = 100
SHOWN_NAMES = 12


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, in words of a suggestion; None where none is near."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean '{found[0]}'?" if found else None


def suggest(name: str, known: Iterable[str]) -> str:
    """The nearest known name, or, where none is near, the names there are."""
    names = sorted(known)
    shown = ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")
    return nearest(name, names) or (f"there are {shown}" if names else "nothing can be named here")


def check_structure(root: Node, schema_name: str, file: str) -> list[Problem]:
    """Every place where the tree breaks the schema, in the order of the text; empty where it holds."""
    errors = sorted(_validator(schema_name).iter_errors(root.plain()), key=lambda error: [str(part) for part in error.absolute_path])
    schema = _validator(schema_name).schema
    problems = [problem for error in errors[:PROBLEM_LIMIT] for problem in _explain(error, root, file, schema)]
    return first_problems(problems)


def first_problems(problems: Iterable[Problem]) -> list[Problem]:
    """The first of them in the order of the text, each said once: a document of nonsense has thousands."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))[:PROBLEM_LIMIT]


@cache
def _validator(schema_name: str) -> Any:
    schema = orjson.loads((project_root() / "policies" / "_schemas" / schema_name).read_bytes())
    make: Any = extend
    return make(Draft202012Validator, validators={"pattern": _whole_pattern})(schema)


def _whole_pattern(_validator: object, pattern: str, value: object, _schema: object) -> Iterator[ValidationError]:
    """`pattern` as ECMA means it: Python's `$` would also accept a line feed after the end."""
    if isinstance(value, str) and (value.endswith("\n") or not re.search(pattern, value)):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _explain(error: Any, root: Node, file: str, schema: Mapping[str, Any]) -> Iterator[Problem]:
    path = tuple(error.absolute_path)
    node = root.at(path)
    line, column = node.line, node.column
    where = ".".join(map(str, path)) or "the document"
    if error.validator == "additionalProperties" and isinstance(node.value, dict):
        yield from _unknown_keys(error, node, where, file)
        return
    if "propertyNames" in list(error.absolute_schema_path) and isinstance(node.value, dict):
        key = str(error.instance)
        line, column = (node.keys or {}).get(key, (line, column))
        yield Problem("BAD_NAME", f"'{_short(key)}' in {where}: a name matches {error.validator_value}", file, line, column)
        return
    suggestion = _example(error, schema)
    if error.validator == "enum" and isinstance(error.instance, str):
        suggestion = nearest(error.instance, [item for item in error.validator_value if isinstance(item, str)]) or suggestion
    code, message = _words(error, where)
    yield Problem(code, message, file, line, column, suggestion=suggestion)


def _unknown_keys(error: Any, node: Node, where: str, file: str) -> Iterator[Problem]:
    known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    unknown = [(key, place) for key, place in (node.keys or {}).items() if key not in known]
    for key, (line, column) in unknown[:PROBLEM_LIMIT]:
        yield Problem("UNKNOWN_KEY", f"'{_short(key)}' is no key of {where}", file, line, column, suggestion=suggest(key, known))


def _example(error: Any, root: Mapping[str, Any]) -> str | None:
    """How the schema itself writes what is wrong, or what is missing."""
    part: Any = error.schema
    key = ""
    if error.validator == "required":
        key = next(name for name in error.validator_value if name not in error.instance)
        part = part.get("properties", {}).get(key, {})
        if "$ref" in part:
            part = root["$defs"][part["$ref"].rpartition("/")[2]] | part
    examples = part.get("examples") if isinstance(part, dict) else None
    if not examples:
        return None
    shown = examples[0] if isinstance(examples[0], str) else orjson.dumps(examples[0]).decode()
    return f"for example `{key}: {shown}`" if key else f"for example {shown}"


def _words(error: Any, where: str) -> tuple[str, str]:
    value = error.validator_value
    if error.validator == "required":
        missing = [key for key in value if key not in error.instance]
        return "MISSING_KEY", f"{where} has no {' and no '.join(missing)}"
    if error.validator == "type":
        expected = value if isinstance(value, str) else " or ".join(value)
        return "WRONG_TYPE", f"{where} must be of type {expected}"
    if error.validator == "enum":
        return "NOT_ALLOWED", f"{where} must be one of {', '.join(_plainly(item) for item in value)}"
    if error.validator == "pattern":
        return "BAD_VALUE", f"{where}: '{_short(str(error.instance))}' is not written as it must be; {error.schema.get('description', '')}"
    description = error.schema.get("description") if isinstance(error.schema, dict) else None
    return "BAD_VALUE", f"{where}: {_short(error.message)}" + (f"; {description}" if description else "")


def _plainly(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
