"""The shipped policies, compiled, and small variations of the finance one."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path

from precedent.policy.compile import CompiledPolicy, compile_policy
from precedent.policy.document import load_document
from precedent.policy.evaluate import Control, Moment, Result, evaluate
from precedent.policy.facts import type_facts
from precedent.settings import project_root

POLICIES = project_root() / "policies"
FINANCE = POLICIES / "finance" / "finance-constitution-1.0.0.yaml"
CREDIT = POLICIES / "credit" / "credit-constitution-1.0.0.yaml"
GUARD = '"facts.requested_discount_pct > facts.base_margin_pct"'
INSIDE = '"facts.requested_discount_pct <= band.max_discount && facts.base_margin_pct >= band.min_margin"'

NOON = Moment(1_763_380_800_000_000, 1, 720)
ENABLED = Control(halted=False, enabled=True, max_level=3)
DEAL: dict[str, object] = {
    "deal_value": 12000,
    "base_margin_pct": Decimal("0.31"),
    "requested_discount_pct": Decimal("0.08"),
    "customer_tier": "A",
}


def finance_with(*changes: tuple[str, str]) -> str:
    """The finance policy's text with pieces replaced; each must occur."""
    text = FINANCE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def compile_text(text: str) -> CompiledPolicy:
    return compile_policy(load_document(text, "policy.yaml"))


@cache
def compiled(file: Path) -> CompiledPolicy:
    return compile_text(file.read_text(encoding="utf-8"))


def decide(policy: CompiledPolicy, control: Control = ENABLED, moment: Moment = NOON, **changes: object) -> Result:
    """The decision on the usual deal with some facts changed; None leaves a fact out."""
    raw = {name: value for name, value in {**DEAL, **changes}.items() if value is not None}
    typed = type_facts(policy.document.actions["approve_discount"], raw)
    return evaluate(policy, "approve_discount", typed.rules, {}, moment, control)
