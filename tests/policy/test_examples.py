"""Policies that are shown as examples load, pass their suites, and refuse an entity that would hide what precedents tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from precedent.errors import PolicyInvalid
from precedent.policy.files import find_policies, run_suite_beside
from precedent.settings import project_root
from tests.policy.shipped import compile_text, finance_with

EXAMPLES = find_policies([project_root() / "examples" / "precedents"])


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_passes_its_suite(file: Path) -> None:
    report = run_suite_beside(file)
    assert report.is_passed, report


def test_there_are_examples() -> None:
    assert EXAMPLES


def test_no_entity_is_named_as_what_precedents_tell() -> None:
    with pytest.raises(PolicyInvalid, match="precedents"):
        compile_text(finance_with(("entity: customer", "entity: precedents"), ("customer.discounts_30d", "precedents.discounts_30d"),
                                  ("customer.win_rate_90d", "precedents.win_rate_90d")))  # fmt: skip


def test_a_rule_reads_precedents_only_where_they_are_looked_up() -> None:
    with pytest.raises(PolicyInvalid, match=r"memory\.precedents\.novel"):
        compile_text(finance_with(('"facts.requested_discount_pct > facts.base_margin_pct"', '"memory.precedents.novel"')))
