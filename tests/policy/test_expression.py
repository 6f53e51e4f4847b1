from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.policy.expression import ExpressionRefused, parse_expression, substitute


def test_names_are_found_where_they_stand() -> None:
    text = "facts.a <= band.x && memory.c.d > 3"
    names = [(name.value, text[name.start : name.end]) for name in parse_expression(text).names()]
    assert names == [("facts.a", "facts.a"), ("band.x", "band.x"), ("memory.c.d", "memory.c.d")]


def test_numbers_are_filled_in_everywhere_in_a_term() -> None:
    text = "facts.a <= band.x && (band.y - 1 > facts.b)"
    root = parse_expression(text)
    values = {"band.x": 5, "band.y": -7}
    assert substitute(text, root, values) == "facts.a <= (5) && ((-7) - 1 > facts.b)"
    assert [substitute(text, atom, values) for atom in root.atoms()] == ["facts.a <= (5)", "((-7) - 1 > facts.b)"]


def test_atoms_lie_between_and_or_and_not() -> None:
    text = "a > 1 && (b > 2 || !(c > 3 && d)) ? x : y"
    assert len(parse_expression(text).atoms()) == 1
    text = "a > 1 && (b > 2 || !(c > 3 && d))"
    assert [text[atom.start : atom.end] for atom in parse_expression(text).atoms()] == ["a > 1", "b > 2", "c > 3", "d"]


@pytest.mark.parametrize(
    "text",
    [
        "a in [1, 2]",
        "-a - -5 > 0",
        "s.matches('^a\\\\d$')",
        "size(s) > 2",
        "s.size() > 2",
        "a > 1 ? b : c",
        "!a",
        "s == 'it\\'s'",
        "a\n && b",
    ],
)
def test_what_rules_need_is_accepted(text: str) -> None:
    assert parse_expression(text).end == len(text)


@pytest.mark.parametrize(
    ("text", "code", "offset"),
    [
        ("a >", "SYNTAX", 3), ("a > 1 b", "SYNTAX", 6), ("(a", "SYNTAX", 2), ("", "SYNTAX", 0), ("a = 1", "SYNTAX", 2),
        ("a & b", "SYNTAX", 2),
        ("'open", "SYNTAX", 0), ("'''a'''", "SYNTAX", 0), ("r'a'", "SYNTAX", 0), ("b'a'", "SYNTAX", 0), ("0x1F", "SYNTAX", 0),
        ("1u", "SYNTAX", 0),
        ("a[0]", "NOT_ALLOWED", 1), ("{'a': 1}", "NOT_ALLOWED", 0), ("[a]", "NOT_ALLOWED", 1), ("1.5 > a", "DECIMAL", 0),
        ("a > 1e3", "DECIMAL", 4),
        ("[1].exists(x, x > 1)", "NOT_ALLOWED", 4), ("string(a)", "NOT_ALLOWED", 0), ("a.startsWith", None, 0), ("a . 1", "SYNTAX", 4),
        ("-" * 60 + "a", "TOO_DEEP", 23), ("s.replace('a', 'b')", "NOT_ALLOWED", 2),
    ],
)  # fmt: skip
def test_what_rules_do_not_need_is_refused_at_its_place(text: str, code: str | None, offset: int) -> None:
    if code is None:
        assert parse_expression(text).value == "a.startsWith"
        return
    with pytest.raises(ExpressionRefused) as refused:
        parse_expression(text)
    assert (refused.value.code, refused.value.offset) == (code, offset)


@given(st.text(alphabet="ab.()[]{}!&|<>=+-*/%?:,'\"1 in", max_size=60))
def test_any_text_is_parsed_or_refused_within_itself(text: str) -> None:
    try:
        term = parse_expression(text)
        places = [(part.start, part.end) for part in term.walk()]
    except ExpressionRefused as refused:
        places = [(refused.offset, refused.offset)]
    assert all(0 <= start <= end <= len(text) for start, end in places)
