"""The bytes of canonical JSON against an independent implementation, and what the strict reader refuses."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from precedent.errors import NotCanonical, NotStrictJson
from precedent.ledger.canonical import MAX_SAFE_INTEGER, are_canonical, canonical_bytes, is_canonical, parse_strict

keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20)


@given(values)
def test_our_bytes_are_those_of_rfc_8785(value: Any) -> None:
    written = canonical_bytes(value)
    assert written == rfc8785.dumps(value)
    assert is_canonical(written)
    assert parse_strict(written) == value


@given(st.dictionaries(keys, values, min_size=1, max_size=4))
def test_another_spelling_of_the_same_value_is_not_canonical(value: dict[str, Any]) -> None:
    written = canonical_bytes(value)
    assert not is_canonical(written + b" ")
    assert not is_canonical(b"{" + written[1:-1] + b"," + written[1:])  # each key twice


FLOATS = [b"1.5", b'{"a":1.5}', b'{"a":[1,2.5]}', b'{"a":-0.0}', b'{"a":1e16}', b'{"a":[1e-7]}', b'{"a":{"b":[0,3e22]}}', b"[0.1]"]
INTEGERS = [b'{"a":9007199254740992}', b'{"a":18446744073709551616}', b'{"a":-0}', b'{"a":01}', b'{"a":+1}']
KEYS = [b'{"b":1,"a":2}', '{"é":1}'.encode(), b'{"a\\n":1}', b'{"\x7f":1}', b'{"a":"\\u0041"}', b'{"a":"\\/"}', b'{"a": 1}']


@pytest.mark.parametrize("stored", [*FLOATS, *INTEGERS, *KEYS, b"", b"\xff", b"{", b"[" * 2000])
def test_bytes_outside_the_profile_are_not_canonical(stored: bytes) -> None:
    assert not is_canonical(stored)


@pytest.mark.parametrize("stored", [b'{"a":"1.5,2.5:3e7"}', b'{"a":"at 12:30.5"}', '{"a":"é\\n"}'.encode(), b'[1,"x",null,true]', b"7"])
def test_text_that_looks_like_a_float_is_no_float(stored: bytes) -> None:
    assert is_canonical(stored)


BEYOND = [1.5, float("nan"), MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER - 1, 10**400, "\ud800", (1,), b"", Decimal(1)]


@pytest.mark.parametrize("value", [*BEYOND, {"é": 1}, {"\x7f": 1}, {1: 1}])
def test_a_value_outside_the_profile_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical_bytes(value)
    with pytest.raises(NotCanonical):
        canonical_bytes({"a": [value]})


# Of the foreign vectors two stay within our profile whole; the others hold floats or keys outside printable ASCII.
OURS = {"arrays", "unicode"}


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_foreign_vectors_come_out_as_they_say_or_are_refused(shared: Path, name: str) -> None:
    value = parse_strict((shared / "vectors/jcs/input" / f"{name}.json").read_bytes())
    if name in OURS:
        assert canonical_bytes(value) == (shared / "vectors/jcs/output" / f"{name}.json").read_bytes()
    else:
        with pytest.raises(NotCanonical):
            canonical_bytes(value)


@pytest.mark.parametrize("depth", [32, 199, 200, 201, 254])
def test_what_can_be_written_is_canonical_however_deep(depth: int) -> None:
    value: object = 1
    for _ in range(depth):
        value = {"a": value}
    written = canonical_bytes(value)
    assert is_canonical(written)
    assert are_canonical([written] * 3)
    assert not is_canonical(written.replace(b"1", b"1.5"))
    assert not are_canonical([written, written.replace(b"1", b"1.5")])


@pytest.mark.parametrize(
    "texts", [[b'{"a":1},{"b":[{}', b'{"c":3}]}'], [b'{"a":1},{"b":2}'], [b'{"a":1}', b""], [b"1"], [b'{"a":1}', b'{"b":"\\n","a":1}']]
)
def test_texts_that_only_together_are_objects_are_not_canonical(texts: list[bytes]) -> None:
    assert not are_canonical(texts)
    assert not are_canonical([b"{}"] * 126 + texts)


@pytest.mark.parametrize("text", ["[" * 32 + "]" * 32, '{"a":' * 32 + "1" + "}" * 32, "[" + "[{}]," * 40 + "1]"])
def test_thirty_two_levels_are_read_however_many_there_are_side_by_side(text: str) -> None:
    assert parse_strict(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":1,"a":2}', "the key 'a' stands twice"),
        ('{"x":{"a":1,"b":2,"a":3}}', "the key 'a' stands twice"),
        ("NaN", "NaN is not JSON"),
        ('{"a":-Infinity}', "-Infinity is not JSON"),
        ("[" * 33 + "]" * 33, "deeper than 32"),
        ('{"a":' * 33 + "1" + "}" * 33, "deeper than 32"),
        ("[" * 100_000, "deeper than 32"),
        ('"\\u0000"', "NUL"),
        ('{"a\\u0000":1}', "NUL"),
        ('"\x00"', "not JSON"),
        ('["\\ud800"]', "surrogate"),
        ('{"\\udfff":1}', "surrogate"),
        ("1e401", "beyond 1e400"),
        ("1e-401", "beyond 1e400"),
        ("[1e999999999999999999999]", "number"),
        ("9" * 5000, "digits"),
        ("", "not JSON"),
        ("{} {}", "not JSON"),
        ("{'a':1}", "not JSON"),
        ('{"a":1,}', "not JSON"),
        ("01", "not JSON"),
        (".5", "not JSON"),
        ("\ufeff{}", "not JSON"),
    ],
)
def test_the_strict_reader_refuses(text: str, reason: str) -> None:
    with pytest.raises(NotStrictJson, match=reason):
        parse_strict(text)


@pytest.mark.parametrize("raw", [b"\xff", b'"\xed\xa0\x80"', b'"\xc0\x80"'])
def test_the_strict_reader_refuses_what_is_not_utf_8(raw: bytes) -> None:
    with pytest.raises(NotStrictJson, match="not UTF-8"):
        parse_strict(raw)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.30", Decimal("0.30")),
        ("1e400", Decimal("1e400")),
        ("12000", 12000),
        ("9" * 4000, int("9" * 4000)),
        ("[" * 32 + "]" * 32, None),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('{"a":[{},{},[],[]]}', {"a": [{}, {}, [], []]}),
    ],
)
def test_the_strict_reader_keeps_what_was_written(text: str, value: object) -> None:
    found = parse_strict(text)
    assert value is None or (found == value and str(found) == str(value))
