"""Reads a mapping document, checked whole: every problem at once, each with its line and column.

    mapping: loans                          # name; the events' source
    time_zone: Europe/Amsterdam             # of instants that name no zone; without it they are refused
    correlation_id: {template: "loan-{case}"}
    event:    {type: LoanSubmitted, actor: {constant: applicant}, at: submitted_at, payload: {amount: {column: eur, type: decimal}}}
    decision: {node: credit, action: accept_application, at: submitted_at, facts: {amount_requested: {column: eur, type: decimal}}}
    outcome:  {when: {column: outcome, not_in: [open]}, at: closed_at, metrics: {days_to_close: {days_between: [submitted_at, closed_at]}}}

A value is a column's name, or one of `column` (with `type`, `format`, `map`, `optional`), `template`, `constant` and
`days_between`. `at` is the business time; it and what has type `instant` need a date and a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from precedent.cli.importing.fields import Fields, Findings, as_text, fields_of
from precedent.cli.importing.model import TYPES, Condition, DecisionMap, EventMap, Mapping, OutcomeMap, Place, Value
from precedent.policy.markup import Node, read_markup
from precedent.policy.structure import nearest

SOURCES = ("column", "template", "constant", "days_between")
HOLE = re.compile(r"\{([^{}]*)\}")


def read_mapping(text: str, file: str) -> Mapping:
    """The mapping that `text` holds.

    Raises: MappingInvalid with every problem; PolicyInvalid where the text isn't YAML at all.
    """
    findings = Findings(file)
    reader = _Reader(findings)
    mapping = reader.document(fields_of(read_markup(text, file), "the mapping", findings))
    findings.refuse_if_any()
    return mapping


def require_columns(mapping: Mapping, columns: Sequence[str], file: str) -> None:
    """Raises: MappingInvalid for each column that the mapping names and the data doesn't have."""
    findings = Findings(file)
    for place in mapping.places:
        if place.column not in columns:
            hint = nearest(place.column, columns)
            findings.add(
                "NO_SUCH_COLUMN", f"the data has no column '{place.column}'" + (f"; {hint}" if hint else ""), place.line, place.char
            )
    findings.refuse_if_any()


class _Reader:
    """Goes through the document once, noting columns and problems."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.places: list[Place] = []

    def document(self, fields: Fields) -> Mapping:
        name = fields.text("mapping", required=True) or ""
        zone = self.zone(fields)
        correlation = fields.member("correlation_id")
        correlation_id = None if correlation is None else self.value(correlation, "'correlation_id'")
        event, decision, outcome = fields.section("event"), fields.section("decision"), fields.section("outcome")
        if event is None and decision is None and fields.members:
            fields.add("NOTHING_MAPPED", "a mapping has an 'event', a 'decision' or both")
        if outcome is not None and decision is None:
            fields.add("NO_DECISION", "an outcome needs a 'decision' that it came of", outcome.node)
        fields.close()
        return Mapping(
            name,
            zone,
            correlation_id,
            self.event(event) if event else None,
            self.decision(decision) if decision else None,
            self.outcome(outcome) if outcome else None,
            tuple(self.places),
        )

    def zone(self, fields: Fields) -> ZoneInfo | None:
        text = fields.text("time_zone")
        try:
            return ZoneInfo(text) if text else None
        except (ZoneInfoNotFoundError, ValueError):
            fields.add("NO_SUCH_ZONE", f"no time zone is named '{text}'", fields.member("time_zone"))
            return None

    def event(self, fields: Fields) -> EventMap:
        kind = fields.text("type", required=True) or ""
        actor, at, payload = self.required(fields, "actor"), self.instant(fields), self.values(fields, "payload")
        fields.close()
        return EventMap(kind, actor, at, payload)

    def decision(self, fields: Fields) -> DecisionMap:
        node, action = fields.text("node", required=True) or "", fields.text("action")
        at, facts = self.instant(fields), self.values(fields, "facts", required=True)
        fields.close()
        return DecisionMap(node, action, at, facts)

    def outcome(self, fields: Fields) -> OutcomeMap:
        when = fields.section("when")
        condition = self.condition(when) if when else None
        at, metrics = self.instant(fields), self.values(fields, "metrics", required=True)
        fields.close()
        return OutcomeMap(condition, at, metrics)

    def condition(self, fields: Fields) -> Condition:
        column = fields.text("column", required=True) or ""
        self.note(column, fields.members.get("column", fields.node))
        given = [key for key in ("in", "not_in") if fields.member(key) is not None]
        if len(given) != 1 and fields.members:
            fields.add("NOT_ONE_TEST", "'when' tests its column by one of 'in' and 'not_in'; the empty field is \"\"")
        texts = frozenset(as_text(item.plain()) for key in given for item in fields.texts(key))  # type: ignore[arg-type]  # a list of scalars
        fields.close()
        return Condition(column, texts, is_wanted=given == ["in"])

    def values(self, fields: Fields, key: str, *, required: bool = False) -> dict[str, Value]:
        section = fields.section(key, required=required)
        return {name: self.value(node, f"'{name}'") for name, node in section.members.items()} if section else {}

    def required(self, fields: Fields, key: str) -> Value:
        node = fields.member(key, required=True)
        return Value() if node is None else self.value(node, f"'{key}'")

    def instant(self, fields: Fields) -> Value:
        """`at`: what names no type is an instant here."""
        node = fields.member("at", required=True)
        if node is None:
            return Value(type="instant")
        value = self.value(node, "'at'", default="instant")
        if value.type != "instant" or value.column is None or value.optional:
            fields.add("NOT_AN_INSTANT", "'at' is a column that always holds an instant", node)
        return value

    def value(self, node: Node, name: str, default: str = "text") -> Value:
        if isinstance(node.value, str) and node.value:
            self.note(node.value, node)
            return Value(column=node.value, type=default)
        fields = fields_of(node, name, self.findings)
        given = [key for key in SOURCES if fields.member(key) is not None]
        if len(given) != 1:
            if isinstance(node.value, dict):
                fields.add("NOT_ONE_SOURCE", f"{name} comes from one of {', '.join(SOURCES)}")
            return Value()
        value = getattr(self, f"from_{given[0]}")(fields, default)
        fields.close()
        assert isinstance(value, Value)  # noqa: S101  # the four methods below
        return value

    def from_column(self, fields: Fields, default: str) -> Value:
        column = fields.text("column") or ""
        self.note(column, fields.members["column"])
        kind = fields.text("type") or default
        if kind not in TYPES:
            fields.add("NO_SUCH_TYPE", f"a type is one of {', '.join(TYPES)}", fields.member("type"))
        layout = fields.text("format")
        if layout is not None and kind not in {"date", "instant"}:
            fields.add("NO_FORMAT", f"only a date and an instant have a 'format', not {kind}", fields.member("format"))
        return Value(column=column, type=kind, format=layout, translate=self.translation(fields), optional=fields.flag("optional"))

    def translation(self, fields: Fields) -> dict[str, str | int | bool] | None:
        section = fields.section("map")
        if section is None:
            return None
        translated: dict[str, str | int | bool] = {}
        for text, node in section.members.items():
            if isinstance(node.value, str | int | bool):
                translated[text] = node.value
            else:
                section.add("NOT_PLAIN", f"'{text}' is translated to a text, a whole number, true or false", node)
        return translated

    def from_template(self, fields: Fields, default: str) -> Value:
        template, node = fields.text("template") or "", fields.members["template"]
        for column in HOLE.findall(template):
            self.note(column, node)
        if not HOLE.search(template) or set(HOLE.sub("", template)) & set("{}"):
            fields.add("TEMPLATE", 'a template names columns in braces, as in "loan-{case_id}"', node)
        return Value(template=template)

    def from_constant(self, fields: Fields, default: str) -> Value:
        held = fields.members["constant"].value
        if not isinstance(held, str | int | bool):
            fields.add("NOT_PLAIN", "a constant is a text, a whole number, true or false", fields.member("constant"))
            return Value()
        return Value(constant=held)

    def from_days_between(self, fields: Fields, default: str) -> Value:
        nodes = fields.texts("days_between")
        names = [node.value for node in nodes if isinstance(node.value, str)]
        if len(names) != 2:
            fields.add("NOT_TWO", "'days_between' names two columns with instants", fields.member("days_between"))
            return Value()
        for name, node in zip(names, nodes, strict=True):
            self.note(name, node)
        return Value(days_between=(names[0], names[1]), optional=fields.flag("optional"))

    def note(self, column: str, node: Node) -> None:
        self.places.append(Place(column, node.line, node.column))
