"""The parts of a policy document as frozen values: what the rest of the room reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from precedent.policy.markup import Node


@dataclass(frozen=True, slots=True)
class Fact:
    """One typed value of a request or an outcome; `minimum` and `maximum` in integer units of its type."""

    name: str
    type: str
    currency: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    values: tuple[str, ...] = ()
    entity: str | None = None
    personal: str = "none"
    optional: bool = False
    default: int | bool | str | None = None

    @property
    def is_readable(self) -> bool:
        """Whether rules, templates and encoders may read it."""
        return self.personal == "none"

    @property
    def unit(self) -> str | None:
        """What keeps it from being compared with something else: `ratio`, `money USD`; None for plain numbers."""
        if self.type == "money":
            return f"money {self.currency}"
        return self.type if self.type in {"ratio", "score", "date", "instant"} else None


# What rules may read of the precedents of a case, as memory.precedents.…: name and kind of value.
PRECEDENT_VALUES = {"precedents.count": "int", "precedents.success_rate": "ratio", "precedents.novel": "bool"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A guard, a band or `otherwise`, as written. `numbers` are not converted yet; `path` finds it in the text."""

    kind: str
    name: str
    path: tuple[str | int, ...]
    when: str
    verdict: str
    level: int
    reason: str
    text: str | None
    numbers: Mapping[str, int | Decimal | str]
    to: str | None
    within_seconds: int | None
    on_timeout: str | None
    notify: str | None
    reversible_seconds: int | None
    audit_ppm: int


@dataclass(frozen=True, slots=True)
class Reward:
    """`success` is an expression over outcome.* and band.*; a decision is matured `horizon_seconds` after it was made."""

    success: str
    horizon_seconds: int


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the node may be asked. A feature whose value is None has no `missing` value.

    `precedents_k` and `snapshot` are None where they are not to be looked up.
    """

    name: str
    facts: Mapping[str, Fact]
    features: Mapping[str, int | bool | str | None]
    precedents_k: int | None
    success_rate_missing: int | None
    snapshot: str | None
    guards: tuple[Rule, ...]
    bands: tuple[Rule, ...]
    otherwise: Rule
    outcome: Mapping[str, Fact]
    reward: Reward | None

    @property
    def memory(self) -> dict[str, int | bool | str | None]:
        """Every name under `memory.` that rules may read, with its `missing` value."""
        told = dict.fromkeys(PRECEDENT_VALUES) | {"precedents.success_rate": self.success_rate_missing}
        return {**self.features, **(told if self.precedents_k else {})}


@dataclass(frozen=True, slots=True)
class Document:
    """One version of one policy. `canonical` holds no floats: decimals are strings; `digest_hex` is its SHA-256."""

    name: str
    version: str
    node: str
    owner: str
    time_zone: str
    description: str
    actions: Mapping[str, Action]
    invariants: tuple[Mapping[str, Any], ...]
    default_action: str | None
    coverage_percent: int | None
    source: str
    canonical: Mapping[str, Any]
    digest_hex: str
    file: str
    root: Node

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def is_variant(self) -> bool:
        """Whether the version runs beside another: a letter in its third place."""
        return self.version[-1].isalpha()
