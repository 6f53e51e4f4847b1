"""The solver's model of an expression against the library that decides: whatever the one says of an input, the other says."""

from __future__ import annotations

from typing import Any

import pytest
import z3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from precedent.policy.analyse.inputs import Inputs
from precedent.policy.analyse.translate import Translation
from precedent.policy.analyse.values import Truth, text_of, text_value
from precedent.policy.compile import CompiledPolicy
from precedent.policy.expression import parse_expression
from precedent.policy.thresholds import Value
from tests.policy.shipped import compile_text

POLICY = """
policy: every-kind
version: 1.0.0
node: trial
owner: me
actions:
  try:
    facts:
      n: {type: int}
      m: {type: int, min: -50, max: 50}
      yes: {type: bool}
      no: {type: bool}
      tier: {type: enum, values: [A, B, Ab]}
      other: {type: enum, values: [c, b, A, "😀"]}
      word: {type: string}
    otherwise: {verdict: deny, reason: NOTHING}
"""
WORDS = ["", "A", "b", "Ab", "a\\b", "😀", "\\u{41}", "ä"]
NUMBERS = [0, 1, -1, 7, -7, 2**31, 2**53 - 1, -(2**53) + 1, 10**17, -(10**17)]


def quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\") + '"'


def grown(depth: int) -> tuple[st.SearchStrategy[str], st.SearchStrategy[str], st.SearchStrategy[str]]:
    """Numbers, truths and texts as expressions of at most that depth."""
    numbers = st.sampled_from(["facts.n", "facts.m", "weekday", *map(str, NUMBERS)])
    truths = st.sampled_from(["facts.yes", "facts.no", "true", "false"])
    texts = st.sampled_from(["facts.tier", "facts.other", "facts.word", *map(quoted, WORDS)])
    if depth == 0:
        return numbers, truths, texts
    less = grown(depth - 1)
    same = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    literals = {
        0: st.lists(st.sampled_from([*map(str, NUMBERS)]), max_size=3),
        2: st.lists(st.sampled_from([*map(quoted, WORDS)]), max_size=3),
    }

    def between(kind: int, operators: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.builds(lambda one, op, two: f"({one} {op} {two})", less[kind], operators, less[kind])

    def chosen(kind: int) -> st.SearchStrategy[str]:
        return st.builds(lambda asked, yes, no: f"({asked} ? {yes} : {no})", less[1], less[kind], less[kind])

    def listed(kind: int) -> st.SearchStrategy[str]:
        return st.builds(lambda one, held: f"({one} in [{', '.join(held)}])", less[kind], literals[kind])

    asked = st.builds(
        lambda text, name, part: f"{text}.{name}({part})", less[2], st.sampled_from(["startsWith", "endsWith", "contains"]), less[2]
    )
    matched = st.builds(
        lambda name, part: f"facts.{name}.matches('{part}')", st.sampled_from(["tier", "other"]), st.sampled_from(["^A", "b$", "."])
    )
    return (
        numbers | between(0, st.sampled_from("+-*/%")) | chosen(0)
        | st.builds("-({})".format, less[0]) | st.builds("size({})".format, less[2]),
        truths
        | between(0, same) | between(1, st.sampled_from(["&&", "||", "==", "!=", "<"])) | between(2, same)
        | st.builds("!({})".format, less[1]) | chosen(1) | listed(0) | listed(2) | asked | matched,
        texts | between(2, st.just("+")) | chosen(2),
    )  # fmt: skip


# no NUL: the library cuts a string there, and no fact may hold one
characters = st.characters(exclude_categories=["Cs"], min_codepoint=1, max_codepoint=0x2FF00)
inputs = st.fixed_dictionaries(
    {
        "facts.n": st.sampled_from(NUMBERS) | st.integers(-(2**53) + 1, 2**53 - 1),
        "facts.m": st.integers(-50, 50),
        "facts.yes": st.booleans(),
        "facts.no": st.booleans(),
        "facts.tier": st.sampled_from(["A", "B", "Ab"]),
        "facts.other": st.sampled_from(["c", "b", "A", "😀"]),
        "facts.word": st.sampled_from(WORDS) | st.text(characters, max_size=4),
        "weekday": st.integers(1, 7),
    }
)
COMPILED = compile_text(POLICY)


def modelled(text: str, values: dict[str, Value], policy: CompiledPolicy = COMPILED) -> bool | None:
    """What the model says: true, false, or None for an error."""
    held = Inputs()
    translation = Translation(text, held.names(policy.actions["try"]), {}, {})
    truth = translation.condition(parse_expression(text))
    assert translation.open == []
    pairs = [(held.unknowns[name].variable, constant(held, name, value)) for name, value in values.items()]
    yes, no, fault = (known(z3.substitute(z3.And(part, True), *pairs)) for part in (truth.yes, truth.no, truth.fault))
    assert [yes, no, fault].count(True) == 1
    return None if fault else yes


def known(closed: Any) -> bool:
    """The truth of a condition without unknowns; the simplifier leaves some comparisons of strings to the solver."""
    simple = z3.simplify(closed)
    if z3.is_true(simple) or z3.is_false(simple):
        return bool(z3.is_true(simple))
    solver = z3.Solver()
    solver.add(simple)
    return bool(solver.check() == z3.sat)


def constant(held: Inputs, name: str, value: Value) -> Any:
    places = held.unknowns[name].values
    if places:
        return z3.IntVal(places.index(str(value)))
    if isinstance(value, bool):
        return z3.BoolVal(value)
    return z3.IntVal(value) if isinstance(value, int) else text_value(value)


def evaluated(text: str, values: dict[str, Value]) -> bool | None:
    environment = COMPILED.actions["try"].environment
    answer = environment.compile(text).eval(environment.Activation({**values, "local_minute": 0}))
    held = answer.value()
    return held if isinstance(held, bool) else None


EXAMPLES: dict[str, Value] = {
    "facts.n": 2**53 - 1, "facts.m": -7, "facts.yes": True, "facts.no": False, "facts.tier": "A", "facts.other": "😀",
    "facts.word": "a\\b", "weekday": 3,
}  # fmt: skip


@settings(deadline=None)
@given(grown(3)[1], inputs)
@example("facts.m / 2 == -3 && facts.m % 2 == -1", EXAMPLES)
@example("facts.n * facts.n == 0 || true", EXAMPLES)
@example("facts.n * facts.n == 0 && facts.yes", EXAMPLES)
@example("facts.n / facts.n == 1 ? facts.m / 0 == 1 : true", EXAMPLES)
@example("-(0 - 9007199254740991 * 1024 - 1024) > 0", EXAMPLES)
@example("facts.yes == (1 / 0 == 1)", EXAMPLES)
@example("facts.word == 'a\\\\b' && size(facts.other) == 1", EXAMPLES)
def test_the_model_answers_every_expression_as_the_evaluator_does(text: str, values: dict[str, Value]) -> None:
    assert modelled(text, values) == evaluated(text, values)


@pytest.mark.long
def test_the_model_answers_many_more_expressions_as_the_evaluator_does() -> None:
    settings(max_examples=20_000, deadline=None)(given(grown(4)[1], inputs)(_agree))()


def _agree(text: str, values: dict[str, Value]) -> None:
    assert modelled(text, values) == evaluated(text, values), text


@given(st.text(characters, max_size=8))
def test_a_string_comes_back_from_the_solver_as_it_went_in(text: str) -> None:
    assert text_of(z3.simplify(text_value(text))) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("facts.word.matches('^a')", "matches a pattern with text of any kind"),
        ("[1] == [1]", "compares lists"),
    ],
)
def test_what_is_not_translated_is_named_and_free(text: str, why: str) -> None:
    free: dict[str, Truth] = {}
    whole = f"facts.yes && {text}"
    translation = Translation(whole, Inputs().names(COMPILED.actions["try"]), {}, free)
    truth = translation.condition(parse_expression(whole))
    assert [(part.why, whole[part.term.start : part.term.end]) for part in translation.open] == [(why, text)]
    for part in (truth.yes, truth.no, truth.fault):
        solver = z3.Solver()
        solver.add(part, z3.Bool("facts.yes"))
        assert solver.check() == z3.sat
