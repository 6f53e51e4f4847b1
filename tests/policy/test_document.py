from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from precedent.errors import PolicyInvalid, Problem
from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from precedent.policy.files import find_policies, suite_beside
from precedent.policy.hints import EXCERPT_LIMIT_CHARS, excerpt
from precedent.policy.markup import read_markup
from tests.policy.shipped import CREDIT, FINANCE, GUARD, INSIDE, POLICIES, compile_text, finance_with

BASE = FINANCE.read_text(encoding="utf-8")


def guard(expression: str) -> str:
    return finance_with((GUARD, f'"{expression}"'))


BILLION = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))

BAD: dict[str, tuple[str, str, int, int]] = {
    "a tab between values": (finance_with(("owner: cfo", "owner:\tcfo")), "TAB", 5, 7),
    "a tab as indentation": (finance_with(("  approve_discount:", "\tapprove_discount:")), "TAB", 9, 1),
    "a key given twice": (finance_with(("owner: cfo", "owner: cfo\nowner: cto")), "DUPLICATE_KEY", 6, 1),
    "an unknown key": (finance_with(("description:", "descripton:")), "UNKNOWN_KEY", 7, 1),
    "an unknown key of a rule": (finance_with(("        audit: 0.10", "        audits: 0.10")), "UNKNOWN_KEY", 46, 9),
    "a merge key": (finance_with(("owner: cfo", "owner: cfo\n<<: {}")), "UNKNOWN_KEY", 6, 1),
    "wrong indentation": (finance_with(("    guards:", "   guards:")), "NOT_YAML", 19, 4),
    "ten megabytes": ("a: " + "x" * 10_000_000, "TOO_LARGE", 1, 1),
    "an anchor that holds itself": ("policy: &a [*a]\n", "ALIAS", 1, 13),
    "a mapping that holds itself": ("a: &a\n  b: *a\n", "ALIAS", 2, 6),
    "a policy that names itself": (finance_with(("policy: finance-constitution", "policy: &self [*self]")), "ALIAS", 2, 16),
    "a policy that extends itself": (finance_with(("owner: cfo", "owner: cfo\nextends: finance-constitution")), "UNKNOWN_KEY", 6, 1),
    "a billion laughs": (BILLION, "TOO_MANY_VALUES", 5, 5),
    "a hundred thousand brackets": ("[" * 100_000, "TOO_DEEP", 1, 26),
    "a hundred thousand dashes": ("- " * 100_000, "TOO_DEEP", 1, 51),
    "nested JSON": ('{"a":' * 40_000, "TOO_DEEP", 1, 126),
    "two documents": (f"{BASE}\n---\n{BASE}", "MANY_DOCUMENTS", BASE.count("\n") + 2, 1),
    "a number as key": ("1: 2\n", "KEY", 1, 1),
    "a list as key": ("? [a, b]\n: c\n", "KEY", 1, 3),
    "a tag": ("!!python/object:os.system {}\n", "TAG", 1, 1),
    "half of a surrogate pair": (finance_with(("owner: cfo", 'owner: "\\ud800"')), "NOT_YAML", 5, 11),
    "a NUL": (finance_with(("owner: cfo", 'owner: "a\\0b"')), "CONTROL", 5, 8),
    "nothing": ("", "EMPTY", 1, 1),
    "a word": ("hello", "WRONG_TYPE", 1, 1),
    "a number of 5,000 digits": (finance_with(("max_discount: 0.05", f"max_discount: {'1' * 5000}")), "NUMBER", 28, 30),
    "a share of money": (finance_with((GUARD, '"facts.deal_value > guard.x"\n        with: {x: 5 %}')), "WRONG_TYPE", 22, 19),
    "an audit of more than all": (finance_with(("audit: 0.10", "audit: 101 %")), "OUT_OF_RANGE", 46, 16),
    "no such currency": (finance_with(("currency: USD", "currency: USB")), "UNKNOWN_CURRENCY", 11, 55),
    "an absurd exponent": (finance_with(("max_discount: 0.05", "max_discount: 1e99")), "OUT_OF_RANGE", 28, 30),
    "not a number": (finance_with(("max_discount: 0.05", "max_discount: .nan")), "WRONG_TYPE", 28, 30),
    "off the grid": (finance_with(("max_discount: 0.05", "max_discount: 0.05001")), "NOT_ON_GRID", 28, 30),
    "an idle number": (finance_with(("min_margin: 0.25}", "min_margin: 0.25, spare: 0.5}")), "NOT_ON_GRID", 28, 61),
    "a name with a line feed": (finance_with(("- name: below_cost", '- name: "below_cost\\n"')), "BAD_VALUE", 20, 15),
    "a zone that is a path": (finance_with(("time_zone: UTC", "time_zone: ../../etc/passwd")), "UNKNOWN_ZONE", 6, 12),
    "no otherwise": (BASE[: BASE.index("    otherwise:")] + BASE[BASE.index("    outcome:") :], "MISSING_KEY", 10, 5),
    "two rules of one name": (finance_with(("- name: broad", "- name: tight")), "DUPLICATE_NAME", 32, 15),
    "a reason that says nothing": (finance_with(("reason: BELOW_COST", "reason: INTERNAL_POLICY")), "BANNED_REASON", 23, 17),
    "a denial that asks a person": (finance_with(("verdict: deny", "verdict: deny\n        to: CFO")), "BAD_VALUE", 23, 13),
    "a misspelt fact": (guard("facts.requested_discout_pct > 1"), "UNKNOWN_NAME", 21, 16),
    "a personal entity": (finance_with(("personal: pseudonym", "personal: true")), "BAD_VALUE", 15, 74),
    "a personal metric": (finance_with(("{type: bool}", "{type: bool, personal: true}")), "BAD_VALUE", 56, 50),
    "a metric that finds an entity": (
        finance_with(("{type: bool}", "{type: bool}\n      who: {type: string, entity: customer, personal: pseudonym}")),
        "BAD_VALUE", 57, 35,
    ),
    "a personal fact in a rule": (guard("facts.base_margin_pct > 1 && facts.note == 'x'"), "PERSONAL_IN_RULE", 21, 45),
    "a pseudonym in a rule": (guard("facts.customer_id == 'x'"), "PERSONAL_IN_RULE", 21, 16),
    "a personal fact in a text": (
        finance_with(('text: "{facts.requested_discount_pct} off', 'text: "{facts.note} off')), "PERSONAL_IN_TEXT", 24, 17,
    ),
    "a number against a word": (guard("facts.base_margin_pct > 'x'"), "TYPE", 21, 38),
    "no condition": (guard("facts.base_margin_pct"), "TYPE", 21, 15),
    "a decimal": (guard("facts.base_margin_pct > 0.5"), "DECIMAL", 21, 40),
    "money against a ratio": (guard("facts.deal_value > facts.base_margin_pct"), "UNITS", 21, 16),
    "a value that an enum never has": (guard("facts.customer_tier == 'D'"), "NOT_ALLOWED", 21, 39),
    "a hundred parentheses": (guard("(" * 100 + "facts.base_margin_pct > 1" + ")" * 100), "TOO_DEEP", 21, 40),
    "a hundred negations": (guard("!" * 100 + "true"), "TOO_DEEP", 21, 39),
    "forty sums": (guard("+".join(["facts.base_margin_pct"] * 40) + " > 1"), "TOO_DEEP", 21, 565),
    "nested comprehensions": (guard("[1, 2].all(x, [1, 2].all(y, x > y))"), "NOT_ALLOWED", 21, 23),
    "a comprehension over a product": (guard("['a'].map(a, ['b'].map(b, a + b)).size() > 1"), "NOT_ALLOWED", 21, 22),
    "a comprehension over a map": (guard("{'a': 1}.all(k, true)"), "NOT_ALLOWED", 21, 16),
    "a huge pattern": (guard(f"facts.customer_tier.matches('{'(a+)+' * 300}')"), "PATTERN", 21, 44),
    "a pattern of a billion states": (guard("facts.customer_tier.matches('((a{1000}){1000}){1000}')"), "PATTERN", 21, 44),
    "a named time zone": (guard("timestamp('2020-01-01T00:00:00Z').getHours('Europe/Amsterdam') > 1"), "NOT_ALLOWED", 21, 16),
    "a presence test": (guard("has(facts.note)"), "NOT_ALLOWED", 21, 16),
    "an optional fact without a default": (
        guard("facts.customer_tier == 'A'").replace("values: [A, B, C]}", "values: [A, B, C], optional: true}"), "OPTIONAL_READ", 21, 16,
    ),
    "a misspelt metric in the reward": (finance_with(("outcome.margin >=", "outcome.margn >=")), "UNKNOWN_NAME", 59, 39),
    "a reward by a number that no band has": (
        finance_with(("= band.min_margin\", horizon", "= band.min_margn\", horizon")), "UNKNOWN_NAME", 59, 57,
    ),
    "an invariant about nothing": (finance_with(("effective && facts.requested", "effective && facts.nothing")), "UNKNOWN_NAME", 62, 65),
}  # fmt: skip


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(PolicyInvalid) as refused:
        compile_policy(load_document(text, "policy.yaml"))
    return refused.value.problems


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_refused_quickly_with_line_and_column(name: str) -> None:
    text, code, line, column = BAD[name]
    start = time.perf_counter()
    problems = problems_of(text)
    assert time.perf_counter() - start < 1
    assert (code, line, column) in [(problem.code, problem.line, problem.column) for problem in problems], problems
    for problem in problems:
        assert problem.suggestion
        shown, mark = (problem.excerpt or "").split("\n")
        written = text.split("\n")[problem.line - 1]
        assert mark.strip() == "^"
        assert shown.replace("→", "\t") in written
        if len(written) <= EXCERPT_LIMIT_CHARS:
            assert len(mark) == problem.column


def test_a_misspelt_fact_names_the_nearest() -> None:
    (problem,) = problems_of(guard("facts.requested_discout_pct > 1"))
    assert problem.suggestion == "did you mean 'facts.requested_discount_pct'?"


def test_a_problem_of_an_aliased_condition_stands_where_it_is_used() -> None:
    lacking = ("with: {max_discount: 0.12, min_margin: 0.23}", "with: {max_discount: 0.12}")
    (problem,) = problems_of(finance_with(lacking, (" && outcome.margin >= band.min_margin", "")))
    assert (problem.code, problem.line) == ("UNKNOWN_NAME", 35)


def test_a_place_in_a_block_is_exact() -> None:
    text = finance_with((f"when: {GUARD}", "when: |\n          facts.deal_value > 1 ||\n            facts.nothing > 1"))
    (problem,) = problems_of(text)
    assert (problem.line, problem.column) == (23, 13)


def test_every_problem_of_the_structure_comes_at_once() -> None:
    problems = problems_of(finance_with(("owner: cfo", "ownr: cfo"), ("audit: 0.10", "audit: 2")))
    assert [problem.code for problem in problems] == ["MISSING_KEY", "UNKNOWN_KEY", "BAD_VALUE"]


@pytest.mark.parametrize("file", [FINANCE, CREDIT])
def test_json_and_yaml_of_one_document_have_one_digest(file: Any) -> None:
    document = load_document(file.read_text(encoding="utf-8"))
    plain = read_markup(document.source, "x").plain()
    as_json = load_document(json.dumps(plain, default=float, indent=1))
    assert as_json.digest_hex == document.digest_hex
    assert load_document(document.source.replace("\n", "\r\n")).digest_hex == document.digest_hex
    assert load_document(document.source.replace("0.10}", "0.1}").replace("audit: 0.10", "audit: 1.0e-1")).digest_hex == document.digest_hex


def test_a_number_may_be_written_in_percent() -> None:
    policy = compile_text(finance_with(("max_discount: 0.05, min_margin: 0.25", "max_discount: 5 %, min_margin: '25%'"), ("0.10", "10 %")))
    bands = policy.actions["approve_discount"].bands
    assert (bands[0].numbers, bands[2].rule.audit_ppm) == ({"max_discount": 500, "min_margin": 2500}, 100_000)


def test_one_changed_number_changes_the_digest() -> None:
    assert load_document(BASE).digest_hex != load_document(finance_with(("0.05", "0.0501"))).digest_hex


def test_the_finance_document_says_what_people_wrote() -> None:
    document = load_document(BASE)
    action = document.actions["approve_discount"]
    assert (document.ref, document.node, document.time_zone, document.is_variant) == ("finance-constitution@1.0.0", "finance", "UTC", False)
    assert action.facts["base_margin_pct"].maximum == 10_000
    assert (action.facts["customer_id"].personal, action.facts["note"].personal) == ("pseudonym", "personal")
    assert dict(action.features) == {"customer.discounts_30d": 0, "customer.win_rate_90d": 5000}
    assert [(band.name, band.level, band.audit_ppm, band.reversible_seconds) for band in action.bands] == [
        ("tight", 1, 0, None), ("broad", 2, 0, 172_800), ("full", 3, 100_000, None),
    ]  # fmt: skip
    assert (action.otherwise.to, action.otherwise.within_seconds, action.otherwise.on_timeout) == ("CFO", 86_400, "deny")
    assert action.reward is not None
    assert action.reward.horizon_seconds == 14 * 86_400


def test_a_letter_in_the_third_place_is_a_variant() -> None:
    assert load_document(finance_with(("version: 1.0.0", "version: 1.1.B"))).is_variant
    assert problems_of(finance_with(("version: 1.0.0", "version: 1.1.A")))


def test_numbers_keep_their_written_digits() -> None:
    plain = read_markup("{a: 0.10, b: 12000, c: 1e2, d: '5', e: ~, f: 3.0, g: yes}", "x").plain()
    assert plain == {"a": Decimal("0.10"), "b": 12000, "c": Decimal("1E+2"), "d": "5", "e": None, "f": Decimal("3.0"), "g": "yes"}


def test_an_excerpt_of_a_long_line_is_cut_around_the_place() -> None:
    shown, mark = excerpt("x" * 500 + "!" + "y" * 500, 501).split("\n")
    assert (len(shown), shown[len(mark) - 1]) == (EXCERPT_LIMIT_CHARS, "!")
    assert excerpt("a\tb\x00c\ud800", 99) == "a→b·c·\n      ^"


def test_a_problem_without_a_near_name_says_which_there_are() -> None:
    (problem,) = problems_of(guard("facts.qqqq > 1"))
    assert problem.suggestion is not None
    assert problem.suggestion.startswith("there are facts.base_margin_pct, facts.customer_tier, facts.deal_value, facts.requested")
    assert "facts.note" not in problem.suggestion, "what no rule may read is not offered"


@pytest.mark.parametrize("name", ["policy.v1.json", "suite.v1.json"])
def test_an_editor_finds_title_description_and_example_of_every_key(name: str) -> None:
    schema = json.loads((POLICIES / "_schemas" / name).read_text(encoding="utf-8"))
    for at, part in keys_of(schema, schema, name):
        assert part.get("title"), at
        assert part.get("description", "").endswith("."), at
        assert part.get("examples") or "enum" in part, at
        if part.get("type") == "boolean":
            assert isinstance(part["default"], bool), at
        for example in part.get("examples", ()):
            Draft202012Validator({**part, "$defs": schema.get("$defs", {})}).validate(example)


def keys_of(schema: Any, part: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Every key that a document may hold, its definition folded in."""
    for key, held in part.get("properties", {}).items():
        whole = schema["$defs"][held["$ref"].rpartition("/")[2]] | held if "$ref" in held else held
        yield f"{at}.{key}", {name: value for name, value in whole.items() if name != "$ref"}
        for inner in (held, held.get("items", {}), held.get("additionalProperties", {})):
            if isinstance(inner, dict):
                yield from keys_of(schema, inner, f"{at}.{key}")
    for key, held in part.get("$defs", {}).items():
        yield from keys_of(schema, held, f"{at}#{key}")


@pytest.mark.parametrize("file", [*find_policies([POLICIES]), *map(suite_beside, find_policies([POLICIES]))], ids=lambda file: file.stem)
def test_a_plain_validator_accepts_what_ships(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    name = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert name is not None, "an editor finds the schema by the first line"
    schema = json.loads((file.parent / name[1]).read_text(encoding="utf-8"))
    plain = json.loads(json.dumps(read_markup(text, file.name).plain(), default=float))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(plain)] == []


@pytest.mark.parametrize("name", ["policy.v1.json", "suite.v1.json"])
def test_the_schemas_are_schemas_and_describe_every_key(name: str) -> None:
    schema = json.loads((POLICIES / "_schemas" / name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)

    def undescribed(part: Any, at: str) -> list[str]:
        found = []
        for key, held in part.get("properties", {}).items():
            if "description" not in held and "$ref" not in held:
                found.append(f"{at}.{key}")
            found += undescribed(held, f"{at}.{key}")
        return found + [bad for key, held in part.get("$defs", {}).items() for bad in undescribed(held, key)]

    assert undescribed(schema, name) == []


def test_a_number_that_no_rule_gives_is_asked_for() -> None:
    (problem,) = problems_of(guard("facts.base_margin_pct > guard.most"))
    assert problem.suggestion == "give the number in the rule's `with: {most: …}`"


def test_a_policy_of_fifty_rules_loads_in_a_moment() -> None:
    start_text, rest = BASE.split("      - name: tight", 1)
    band = "      - {{name: b{0}, level: AL1, with: {{max_discount: 0.0{0:03d}, min_margin: 0.25}}, when: {1}, reason: B_{0}}}\n"
    text = start_text + "".join(band.format(i, INSIDE) for i in range(1, 51)) + "      - name: tight" + rest
    compile_text(text)
    start = time.perf_counter()
    compile_text(text)
    assert time.perf_counter() - start < 0.5, "measured 40 ms; the bound only catches a change of kind"


def test_a_document_of_nonsense_is_answered_briefly() -> None:
    start = time.perf_counter()
    problems = problems_of("".join(f"policyx{i}: 1\n" for i in range(9900)))
    assert time.perf_counter() - start < 1
    assert len(problems) == 100
