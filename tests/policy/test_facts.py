from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.errors import FactsInvalid
from precedent.policy.document import load_document
from precedent.policy.facts import type_facts, type_metrics
from tests.policy.shipped import DEAL, FINANCE, compiled

ACTION = compiled(FINANCE).document.actions["approve_discount"]

EVERY_TYPE = """
policy: types
version: 1.0.0
node: types
owner: nobody
actions:
  ask:
    facts:
      count: {type: int, min: -5, max: 5, optional: true}
      flag: {type: bool, optional: true}
      day: {type: date, min: 2020-01-01, optional: true}
      at: {type: instant, optional: true}
      yen: {type: money, currency: JPY, optional: true}
      dinar: {type: money, currency: KWD, optional: true}
      risk: {type: score, min: 0, max: 1, optional: true}
      code: {type: string, optional: true}
      story: {type: text, optional: true}
      tier: {type: enum, values: [x, y], optional: true, default: y}
      rate: {type: ratio, optional: true, default: 0.25}
      any: {type: int, optional: true}
      unidad: {type: money, currency: UYW, optional: true}
      share: {type: ratio, min: 5 %, max: "80%", optional: true}
    otherwise: {verdict: deny, reason: NEVER_ALLOWED}
"""
TYPES = load_document(EVERY_TYPE).actions["ask"]


def refused(action: Any, raw: dict[str, object], prefix: str = "/facts") -> list[tuple[str, str]]:
    with pytest.raises(FactsInvalid) as error:
        type_facts(action, raw, prefix)
    return [(fault.code, fault.pointer) for fault in error.value.faults]


def test_a_deal_is_typed_into_integers() -> None:
    typed = type_facts(ACTION, {**DEAL, "customer_id": "C-1", "note": "hello"})
    assert typed.rules == {"deal_value": 1_200_000, "base_margin_pct": 3100, "requested_discount_pct": 800, "customer_tier": "A"}
    assert typed.personal == {"customer_id": "C-1", "note": "hello"}
    assert typed.entities == {"customer": "C-1"}
    assert typed.pseudonym == ("customer", "C-1")


def test_every_fault_comes_at_once_with_its_pointer() -> None:
    raw: dict[str, object] = {"base_margin_pct": Decimal("0.08001"), "requested_discount_pct": 2, "customer_tier": "D"}
    raw |= {"note": 5, "dealvalue": 1}
    assert refused(ACTION, raw, "/requests/3/facts") == [
        ("MISSING_FACT", "/requests/3/facts/deal_value"),
        ("NOT_ON_GRID", "/requests/3/facts/base_margin_pct"),
        ("OUT_OF_RANGE", "/requests/3/facts/requested_discount_pct"),
        ("NOT_ALLOWED", "/requests/3/facts/customer_tier"),
        ("WRONG_TYPE", "/requests/3/facts/note"),
        ("UNKNOWN_FACT", "/requests/3/facts/dealvalue"),
    ]


def test_an_unknown_fact_names_the_nearest_and_escapes_its_pointer() -> None:
    with pytest.raises(FactsInvalid) as error:
        type_facts(ACTION, {**DEAL, "customer_teir": "A", "a/b~c\ud800": 1})
    assert [(fault.pointer, fault.message) for fault in error.value.faults] == [
        ("/facts/customer_teir", "no fact is named 'customer_teir'; did you mean 'customer_tier'?"),
        ("/facts/a~1b~0c\\ud800", "no fact is named 'a/b~c\\ud800'"),
    ]


@pytest.mark.parametrize(
    ("name", "raw", "typed"),
    [
        ("count", 5, 5), ("count", Decimal("5.0"), 5), ("count", Decimal("5E+0"), 5), ("flag", True, True),
        ("day", "2020-01-01", 18262), ("at", "1970-01-01T01:00:00.5+01:00", 500_000), ("at", "1970-01-01t00:00:00z", 0),
        ("yen", 500, 500), ("yen", "500", 500), ("dinar", Decimal("1.234"), 1234), ("dinar", "-0.001", -1),
        ("risk", Decimal("0.000001"), 1), ("risk", Decimal("1E-6"), 1), ("risk", Decimal("0E+999999"), 0),
        ("rate", Decimal("0.0800000000000000000"), 800), ("rate", "-1.5", -15000),
        ("rate", "8 %", 800), ("rate", "8%", 800), ("rate", "-0.01 %", -1), ("risk", "0.0001 %", 1), ("risk", "100%", 1_000_000),
        ("share", "5.00 %", 500), ("share", Decimal("0.8"), 8000), ("unidad", "1.2345", 12345),
        ("code", "é" * 256, "é" * 256),
    ],
)  # fmt: skip
def test_a_value_is_typed_exactly(name: str, raw: object, typed: object) -> None:
    held = type_facts(TYPES, {name: raw}).rules[name]
    assert held == typed
    assert type(held) is type(typed)


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("rate", "8.001 %", "NOT_ON_GRID"), ("rate", "8  %", "WRONG_TYPE"), ("rate", "%", "WRONG_TYPE"), ("rate", "8 %%", "WRONG_TYPE"),
        ("yen", "8 %", "WRONG_TYPE"), ("count", "8 %", "WRONG_TYPE"), ("share", "4.99 %", "OUT_OF_RANGE"),
        ("share", "81 %", "OUT_OF_RANGE"),
        ("count", 6, "OUT_OF_RANGE"), ("count", -6, "OUT_OF_RANGE"), ("count", True, "WRONG_TYPE"), ("count", "5", "WRONG_TYPE"),
        ("count", Decimal("0.5"), "NOT_ON_GRID"), ("count", 1.0, "WRONG_TYPE"), ("count", None, "WRONG_TYPE"), ("flag", 1, "WRONG_TYPE"),
        ("any", 2**53, "OUT_OF_RANGE"), ("any", -(2**53), "OUT_OF_RANGE"), ("any", Decimal("1E+999999"), "OUT_OF_RANGE"),
        ("yen", Decimal("0.5"), "NOT_ON_GRID"), ("dinar", Decimal("0.0001"), "NOT_ON_GRID"), ("yen", "NaN", "WRONG_TYPE"),
        ("yen", "Infinity", "WRONG_TYPE"), ("yen", Decimal("NaN"), "WRONG_TYPE"), ("yen", Decimal("Infinity"), "WRONG_TYPE"),
        ("yen", "1e5", "WRONG_TYPE"), ("yen", "٥", "WRONG_TYPE"), ("yen", " 5", "WRONG_TYPE"), ("yen", "5\n", "WRONG_TYPE"),
        ("yen", [], "WRONG_TYPE"),
        ("risk", Decimal("1E-999999"), "NOT_ON_GRID"), ("risk", Decimal("1." + "1" * 10_000), "NOT_ON_GRID"),
        ("risk", 2, "OUT_OF_RANGE"),
        ("day", "2026-02-30", "WRONG_TYPE"), ("day", "20260101", "WRONG_TYPE"), ("day", "2019-12-31", "OUT_OF_RANGE"),
        ("day", 5, "WRONG_TYPE"),
        ("at", "2026-01-01T00:00:00", "WRONG_TYPE"), ("at", "2026-01-01T25:00:00Z", "WRONG_TYPE"),
        ("at", "0001-01-01T00:00:00+23:00", "OUT_OF_RANGE"), ("at", "2300-01-01T00:00:00Z", "OUT_OF_RANGE"),
        ("code", "x" * 257, "OUT_OF_RANGE"), ("story", "x" * 10_001, "OUT_OF_RANGE"), ("code", "\ud800", "WRONG_TYPE"),
        ("code", "a\0b", "WRONG_TYPE"),
        ("tier", "z", "NOT_ALLOWED"), ("tier", 1, "WRONG_TYPE"), ("tier", {}, "WRONG_TYPE"),
    ],
)  # fmt: skip
def test_a_value_that_breaks_its_contract_is_refused_quickly(name: str, raw: object, code: str) -> None:
    start = time.perf_counter()
    assert refused(TYPES, {name: raw}) == [(code, f"/facts/{name}")]
    assert time.perf_counter() - start < 0.1


def test_an_absent_optional_fact_is_left_out_or_takes_its_default() -> None:
    assert type_facts(TYPES, {}).rules == {"tier": "y", "rate": 2500}


def test_an_empty_pseudonym_is_refused() -> None:
    assert refused(ACTION, {**DEAL, "customer_id": ""}) == [("OUT_OF_RANGE", "/facts/customer_id")]


def test_metrics_are_typed_like_facts_and_null_is_refused() -> None:
    typed = type_metrics(ACTION, {"won": True, "margin": Decimal("0.24"), "time_to_close_days": 3})
    assert typed == {"won": True, "margin": 2400, "time_to_close_days": 3}
    with pytest.raises(FactsInvalid) as error:
        type_metrics(ACTION, {"won": None, "margn": 1}, "/metrics")
    assert [(fault.code, fault.pointer) for fault in error.value.faults] == [
        ("WRONG_TYPE", "/metrics/won"), ("MISSING_METRIC", "/metrics/margin"), ("UNKNOWN_METRIC", "/metrics/margn"),
    ]  # fmt: skip


@given(st.integers(0, 10_000), st.sampled_from([Decimal, str]))
def test_every_basis_point_survives_whichever_way_it_is_written(points: int, write: Any) -> None:
    raw = {**DEAL, "requested_discount_pct": write(Decimal(points).scaleb(-4).quantize(Decimal("0.0001")))}
    assert type_facts(ACTION, raw).rules["requested_discount_pct"] == points


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_decimal_is_typed_or_refused_and_never_rounded(raw: Decimal) -> None:
    try:
        typed = type_facts(ACTION, {**DEAL, "requested_discount_pct": raw}).rules["requested_discount_pct"]
    except FactsInvalid:
        return
    assert Decimal(typed) == raw * 10_000


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.decimals()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.none())
)
def test_any_json_value_is_typed_or_refused(raw: Any) -> None:
    for name in TYPES.facts:
        try:
            value = type_facts(TYPES, {name: raw}).rules[name]
        except FactsInvalid:
            continue
        assert type(value) in {int, bool, str}
