from pathlib import Path

import orjson
import pytest

from precedent.cli.importing.cases import Cases
from precedent.cli.importing.conversions import ValueRefused
from precedent.cli.importing.fields import MappingInvalid
from precedent.cli.importing.mapping import read_mapping, require_columns
from precedent.cli.loading.operation import Kind
from precedent.errors import PolicyInvalid
from precedent.settings import project_root

WHOLE = """\
mapping: loans
time_zone: Europe/Amsterdam
correlation_id: {template: "loan-{case}"}
event:
  type: LoanSubmitted
  actor: {constant: applicant}
  at: asked
  payload: {channel: {column: channel, optional: true}}
decision:
  node: credit
  action: accept_application
  at: asked
  facts:
    amount: {column: eur, type: decimal}
    terms: {column: terms, type: int}
    insured: {column: insured, type: bool}
    born_on: {column: born, type: date, format: "%d.%m.%Y"}
    grade: {column: grade, map: {first: A, second: B}}
outcome:
  when: {column: end, not_in: [open, ""]}
  at: closed
  metrics:
    won: {column: end, map: {yes: true, no: false}}
    days: {days_between: [asked, closed]}
"""
ROW = {
    "case": "7",
    "asked": "2011-10-29T12:00:00",
    "channel": "",
    "eur": "12000.10",
    "terms": "36",
    "insured": "Yes",
    "born": "31.12.1970",
    "grade": "second",
    "end": "yes",
    "closed": "2011-10-31T11:59:59+01:00",
}


def problems_of(text: str) -> list[tuple[int, str]]:
    with pytest.raises(MappingInvalid) as caught:
        read_mapping(text, "mapping.yaml")
    return [(one.line, one.code) for one in caught.value.problems]


def refusal_of(**fields: str) -> str:
    with pytest.raises(ValueRefused) as caught:
        Cases(read_mapping(WHOLE, "m")).operations(2, ROW | fields)
    return caught.value.code


def test_a_row_becomes_event_decision_and_outcome() -> None:
    event, decision, outcome = Cases(read_mapping(WHOLE, "m")).operations(2, ROW)
    assert [event.kind, decision.kind, outcome.kind] == [Kind.EVENT, Kind.DECISION, Kind.OUTCOME]
    assert event.at_us == decision.at_us < outcome.at_us
    assert orjson.loads(event.body) == {
        "type": "LoanSubmitted",
        "actor": "applicant",
        "ts": "2011-10-29T10:00:00.000000Z",
        "as_of": "2011-10-29T10:00:00.000000Z",
        "source": "loans",
        "correlation_id": "loan-7",
        "payload": {},
    }
    assert b'"amount":12000.10,' in decision.body
    assert orjson.loads(decision.body) == {
        "action": "accept_application",
        "facts": {"amount": 12000.1, "terms": 36, "insured": True, "born_on": "1970-12-31", "grade": "B"},
        "as_of": "2011-10-29T10:00:00.000000Z",
        "correlation_id": "loan-7",
    }
    closed = "2011-10-31T10:59:59.000000Z"
    assert orjson.loads(outcome.body) == {"metrics": {"won": True, "days": 2}, "observed_at": closed, "as_of": closed}


@pytest.mark.parametrize("end", ["open", ""])
def test_an_open_case_has_no_outcome(end: str) -> None:
    kinds = [one.kind for one in Cases(read_mapping(WHOLE, "m")).operations(2, ROW | {"end": end, "closed": ""})]
    assert kinds == [Kind.EVENT, Kind.DECISION]


@pytest.mark.parametrize("digits", ["0.1", "100000000000000000.01", "5000.10", "-3"])
def test_money_keeps_its_digits(digits: str) -> None:
    _, decision, _ = Cases(read_mapping(WHOLE, "m")).operations(2, ROW | {"eur": digits})
    assert f'"amount":{digits},'.encode() in decision.body


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"eur": ""}, "EMPTY"),
        ({"eur": "12.000,10"}, "NOT_A_NUMBER"),
        ({"eur": "NaN"}, "NOT_A_NUMBER"),
        ({"eur": "1e3"}, "NOT_A_NUMBER"),
        ({"eur": "5\n"}, "NOT_A_NUMBER"),
        ({"terms": "36.0"}, "NOT_A_NUMBER"),
        ({"insured": "maybe"}, "NOT_BOOL"),
        ({"born": "1970-12-31"}, "NOT_A_DATE"),
        ({"grade": "third"}, "NOT_MAPPED"),
        ({"end": "lost"}, "NOT_MAPPED"),
        ({"asked": "yesterday"}, "NOT_AN_INSTANT"),
        ({"asked": "0001-01-01T00:00:00"}, "NOT_AN_INSTANT"),
        ({"closed": "2011-10-28T00:00:00"}, "BACKWARDS"),
        ({"channel": "caf\ufffd"}, "NOT_UTF8"),
    ],
)
def test_a_field_that_is_not_what_the_mapping_says_refuses_the_row(fields: dict[str, str], code: str) -> None:
    assert refusal_of(**fields) == code


def test_an_instant_without_a_zone_is_refused_where_the_mapping_names_none() -> None:
    mapping = read_mapping(WHOLE.replace("time_zone: Europe/Amsterdam\n", ""), "m")
    with pytest.raises(ValueRefused, match="names no zone"):
        Cases(mapping).operations(2, ROW)


@pytest.mark.parametrize(
    ("old", "new", "line", "code"),
    [
        ("mapping: loans\n", "", 1, "MISSING"),
        ("mapping: loans", "mapping: 3", 1, "NOT_TEXT"),
        ("Europe/Amsterdam", "Europe/Amstredam", 2, "NO_SUCH_ZONE"),
        ('"loan-{case}"', '"loan"', 3, "TEMPLATE"),
        ('"loan-{case}"', '"loan-{case"', 3, "TEMPLATE"),
        ("  type: LoanSubmitted\n", "", 5, "MISSING"),
        ("  type: LoanSubmitted", "  typ: LoanSubmitted", 5, "UNKNOWN_KEY"),
        ("  at: asked\n  payload", "  at: {constant: now}\n  payload", 7, "NOT_AN_INSTANT"),
        ("  at: asked\n  payload", "  at: {column: asked, type: date}\n  payload", 7, "NOT_AN_INSTANT"),
        ("type: decimal", "type: float", 14, "NO_SUCH_TYPE"),
        ("{column: eur, type: decimal}", "{column: eur, constant: 3}", 14, "NOT_ONE_SOURCE"),
        ("{column: eur, type: decimal}", "{type: decimal}", 14, "NOT_ONE_SOURCE"),
        ("{column: eur, type: decimal}", "[eur]", 14, "NOT_A_MAPPING"),
        ("{column: eur, type: decimal}", '{column: eur, format: "%d"}', 14, "NO_FORMAT"),
        ("{first: A, second: B}", "{first: [A]}", 18, "NOT_PLAIN"),
        ('not_in: [open, ""]', "is: open", 20, "NOT_ONE_TEST"),
        ('not_in: [open, ""]', "not_in: open", 20, "NOT_A_LIST"),
        ("[asked, closed]", "[asked]", 24, "NOT_TWO"),
        ("optional: true", "optional: 1", 8, "NOT_BOOL"),
    ],
)
def test_a_mistake_in_the_mapping_is_told_with_its_line(old: str, new: str, line: int, code: str) -> None:
    assert old in WHOLE
    assert (line, code) in problems_of(WHOLE.replace(old, new, 1))


def test_all_mistakes_are_told_at_once() -> None:
    assert (
        len(problems_of(WHOLE.replace("type: decimal", "type: float").replace("[asked, closed]", "[asked]").replace("mapping:", "mappin:")))
        == 4
    )


def test_an_outcome_needs_a_decision_and_a_mapping_something_to_make() -> None:
    assert problems_of("mapping: x\noutcome: {at: t, metrics: {}}\n") == [(1, "NOTHING_MAPPED"), (2, "NO_DECISION")]


def test_text_that_is_no_yaml_is_told_with_its_line() -> None:
    with pytest.raises(PolicyInvalid) as caught:
        read_mapping("mapping: x\nevent: {", "m")
    assert caught.value.problems[0].code == "NOT_YAML"


def test_a_column_that_the_data_lacks_is_told_where_it_is_named() -> None:
    with pytest.raises(MappingInvalid) as caught:
        require_columns(read_mapping(WHOLE, "m"), [name if name != "eur" else "euro" for name in ROW], "mapping.yaml")
    (problem,) = caught.value.problems
    assert str(problem) == "mapping.yaml:14:22: error NO_SUCH_COLUMN: the data has no column 'eur'; did you mean 'euro'?"


def test_the_shipped_mapping_fits_the_shipped_policy() -> None:
    folder = project_root()
    mapping = read_mapping((folder / "examples/bpic2012/mapping.yaml").read_text(), "mapping.yaml")
    policy = (folder / "policies/credit/credit-constitution-1.0.0.yaml").read_text()
    assert mapping.decision is not None
    assert mapping.outcome is not None
    for name in [*mapping.decision.facts, *mapping.outcome.metrics, mapping.decision.action]:
        assert f"{name}:" in policy


def test_an_event_alone_is_a_mapping(tmp_path: Path) -> None:
    mapping = read_mapping("mapping: log\nevent: {type: Step, actor: who, at: when}\n", "m")
    (only,) = Cases(mapping).operations(2, {"who": "u1", "when": "2011-10-01T00:00:00Z"})
    assert orjson.loads(only.body)["actor"] == "u1"
