"""Words of a snapshot: deterministic text from its structure, and the check that words hold no number which the structure lacks.

The check is about what a reader would take for a number: digits in any script, with their sign of percent, and numbers spelled out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

TEMPLATE = "template@2"
# Some 400 tokens: what fits into a prompt or onto a page beside others.
MAX_CHARACTERS = 1_600

_NUMBER = re.compile(r"\d+(?:[.,']\d+)*")
_PERCENT = re.compile(r"\s*(?:%|percent\b|per cent\b)", re.IGNORECASE)
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_SPELLED = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen"
    r"|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|dozens?|half|halves|halved"
    r"|third|thirds|quarters?|twice|thrice|doubled?|tripled?|triple|double|once|both|single|couple|pair)\b",
    re.IGNORECASE,
)


def words_of(facts: Mapping[str, Any]) -> str:
    """The structure in sentences, the most telling first; what would not fit is left out by whole sentences."""
    text = ""
    for sentence in _sentences(facts):
        if len(text) + 1 + len(sentence) > MAX_CHARACTERS:
            break
        text = f"{text} {sentence}".strip()
    return text


def foreign_numbers(words: str, facts: Mapping[str, Any]) -> list[str]:
    """Numbers of the words that the structure lacks, in order; empty is what may be kept.

    A share counts only with its sign of percent, a count only without; a decision's id only whole.
    """
    text = unicodedata.normalize("NFKC", words)
    counts, shares, ids = set(), set(), set()
    for name, value in _leaves(facts):
        if isinstance(value, str):
            ids |= set(_UUID.findall(value))
            counts |= {_plain(found[0]) for found in _NUMBER.finditer(_UUID.sub(" ", value))}
        elif name.endswith("_bp"):
            shares.add(_plain(percent(abs(value))))
        else:
            counts.add(str(abs(value)))
    foreign = [found for found in _UUID.findall(text) if found not in ids]
    text = _UUID.sub(" ", text)
    for found in _NUMBER.finditer(text):
        number = _plain(found[0])
        if number not in (shares if _PERCENT.match(text, found.end()) else counts):
            foreign.append(found[0])
    # Signs such as ½, ³ and Ⅳ: the structure holds none.
    foreign += [sign for sign in words if unicodedata.category(sign) in {"Nl", "No"}]
    return foreign + _SPELLED.findall(_without_names(text, facts))


def percent(basis_points: int) -> str:
    """`6250` as `62.5`."""
    whole, rest = divmod(abs(basis_points), 100)
    text = f"{whole}.{rest:02}".rstrip("0").rstrip(".")
    return f"-{text}" if basis_points < 0 else text


def _sentences(facts: Mapping[str, Any]) -> Iterator[str]:
    totals, outcomes, answered, change = facts["totals"], facts["outcomes"], facts["answered"], facts["change"]
    yield (
        f"{facts['node']} on {facts['day']}: {totals['decisions_count']} decisions, {totals['approved_count']} approved, "
        f"{totals['denied_count']} denied, {totals['escalated_count']} escalated."
    )
    if outcomes["matured_count"]:
        mean = outcomes["reward_mean_bp"]
        yield f"{outcomes['matured_count']} outcomes became known" + (f", mean reward {percent(mean)} %." if mean is not None else ".")
    yield from _answers(answered)
    if change["decisions_count_before"]:
        yield (
            f"Against {change['against']}: {change['decisions_count_before']} decisions then; "
            f"approved {percent(change['approved_bp'])} % after {percent(change['approved_before_bp'])} %."
        )
    if facts["actions"]:
        yield "By action: " + ", ".join(f"{one['action']} {one['decisions_count']}" for one in facts["actions"]) + "."
    if facts["rules"]:
        yield "By rule: " + ", ".join(f"{one['rule']} {one['decisions_count']}" for one in facts["rules"]) + "."
    for name, title in (("successes", "Came out best"), ("failures", "Came out worst")):
        for one in facts[name]:
            yield f"{title}: {one['action']} {one['decision_id']} ({one['verdict']}, reward {percent(one['reward_bp'])} %)."


def _answers(answered: Mapping[str, Any]) -> Iterator[str]:
    if answered["answered_count"]:
        said = f"People answered {answered['answered_count']}: {answered['approved_count']} approved, {answered['denied_count']} denied"
        advised = f"; of {answered['advised_count']} with a recommendation {answered['against_advice_count']} went against it"
        yield said + (advised if answered["advised_count"] else "") + "."
    if answered["reversed_count"]:
        yield f"Reversed within the window: {answered['reversed_count']}."
    if answered["audited_count"]:
        yield (
            f"Audits answered {answered['audited_count']}: {answered['audit_confirmed_count']} confirmed, "
            f"{answered['audit_reversed_count']} reversed."
        )
    if answered["overridden_count"]:
        yield f"Overridden in all: {answered['overridden_count']}."


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, int | str]]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            # A statement's digest is no number of the day.
            if key != "sources":
                yield from _leaves(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from _leaves(member, name)
    elif isinstance(value, (int, str)) and not isinstance(value, bool):
        yield name, value


def _plain(number: str) -> str:
    """Without marks of thousands, with a point, without zeros that say nothing: `1,200.50` is `1200.5`."""
    grouped = re.fullmatch(r"\d{1,3}(?:[,']\d{3})+(\.\d+)?", number)
    text = re.sub(r"[,']", "", number) if grouped else number.replace(",", ".")
    if text.count(".") == 1:
        text = text.rstrip("0").rstrip(".")
    return text


def _without_names(text: str, facts: Mapping[str, Any]) -> str:
    """The text without names that the structure holds: a rule may be called `double_check`."""
    for name in sorted({value for _, value in _leaves(facts) if isinstance(value, str)}, key=len, reverse=True):
        text = text.replace(name, " ")
    return text
