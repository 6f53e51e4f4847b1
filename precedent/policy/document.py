"""The policy document: what people wrote, read whole and checked, before anything is compiled."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import orjson

from precedent.errors import PolicyInvalid
from precedent.policy.contract import read_actions, read_names
from precedent.policy.hints import explaining
from precedent.policy.markup import Plain, read_markup
from precedent.policy.model import Action, Document, Fact, Reward, Rule
from precedent.policy.quantity import LARGEST
from precedent.policy.structure import check_structure

__all__ = ["Action", "Document", "Fact", "Reward", "Rule", "load_document"]


def load_document(text: str, file: str = "<policy>") -> Document:
    """The document that `text` (YAML or JSON) writes out; its structure and its contract are checked, its rules not yet.

    Raises: PolicyInvalid with every problem's line and column.
    """
    with explaining(text):
        return _load(text, file)


def _load(text: str, file: str) -> Document:
    root = read_markup(text, file)
    if problems := check_structure(root, "policy.v1.json", file):
        raise PolicyInvalid(problems)
    actions, problems = read_actions(root, file)
    problems += read_names(root, actions, file)
    if problems:
        raise PolicyInvalid(problems)
    plain: Any = root.plain()
    canonical = canonicalise(plain)
    return Document(
        name=plain["policy"],
        version=plain["version"],
        node=plain["node"],
        owner=plain["owner"],
        time_zone=plain.get("time_zone", "UTC"),
        description=plain.get("description", ""),
        actions=MappingProxyType(actions),
        invariants=tuple(plain.get("invariants", ())),
        default_action=plain.get("default_action"),
        coverage_percent=plain.get("coverage"),
        source=text,
        canonical=canonical,
        digest_hex=digest_hex(canonical),
        file=file,
        root=root,
    )


def canonicalise(value: Plain) -> Any:
    """`value` with decimals as their shortest strings, whole ones as integers, so that 0.10 and 0.1 are the same."""
    if isinstance(value, dict):
        return {key: canonicalise(child) for key, child in value.items()}
    if isinstance(value, list):
        return [canonicalise(child) for child in value]
    if isinstance(value, Decimal):
        if value != value.to_integral_value():
            return f"{value.normalize():f}"
        value = int(value)
    if isinstance(value, int) and abs(value) > LARGEST:
        return str(value)  # beyond canonical JSON; compiling refuses it with its place
    return value


def digest_hex(canonical: Any) -> str:
    """SHA-256 of the canonical JSON, hex."""
    return hashlib.sha256(orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)).hexdigest()
