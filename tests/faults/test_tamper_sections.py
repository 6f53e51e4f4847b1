"""The tamper gym on bytes: in an entry of each kind each field of each section is changed, dropped, doubled, put in another order;
each salt and each field of the envelope is changed; and the hashes above are made to fit as far as a forger would go.

The fields are those that stand in the stored JSON: a new one is tried without being listed here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from every_kind import fill_with_every_kind, first_of_each
from gym import Gym, Stored, open_gym, putting_back

from precedent.ledger.canonical import canonical_bytes
from precedent.ledger.entry import ENVELOPE, ENVELOPE_BYTES, Kind, Section
from precedent.ledger.report import Report, Verdict

Sections: TypeAlias = dict[int, tuple[bytes, bytes]]
TOUCHED = ("ledger.entry", "ledger.section", "precedent.decisions")


@dataclass(frozen=True, slots=True)
class Ground:
    """The gym, where an entry of each kind stands, and the entry that lost a section to the erasure among them."""

    gym: Gym
    seqs: dict[Kind, int]
    size: int
    erased: int


@pytest.fixture(scope="module")
def ground(module_database_url: str) -> Ground:
    fill_with_every_kind(module_database_url)
    gym = open_gym(module_database_url)
    found = first_of_each(module_database_url)
    assert set(found) == set(Kind), "an entry of every kind"
    assert set(gym.read(found[Kind.DECISION]).sections) == {int(section) for section in Section}, "and one with every section"
    ((erased, _),) = json.loads(gym.read(found[Kind.ERASURE]).sections[Section.CORE][1])["erased"]
    return Ground(gym, found, gym.size(), erased)


# ── what can be done to a section ───────────────────────────────────────────────────────────────────────────────────────


def walk(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside, the outermost left out."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        yield (*path, key)
        yield from walk(inner, (*path, key))


def other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
        case None:
            return False
        case list():
            return [*value, 0]
        case dict():
            return {**value, "zz": 0}
    raise AssertionError(value)


def bent(value: Any, path: tuple[str | int, ...], bend: Callable[[Any, str | int], None]) -> bytes:
    copied = deepcopy(value)
    inside = copied
    for key in path[:-1]:
        inside = inside[key]
    bend(inside, path[-1])
    return canonical_bytes(copied)


def change(inside: Any, key: str | int) -> None:
    inside[key] = other(inside[key])


def delete(inside: Any, key: str | int) -> None:
    del inside[key]


def insert(inside: Any, key: str | int) -> None:
    if isinstance(inside, dict):
        inside[f"{key}_"] = inside[key]
    else:
        inside.insert(int(key), inside[key])


def reorder(inside: Any, key: str | int) -> None:
    if isinstance(inside[key], list):
        inside[key].reverse()


OPERATORS = (change, delete, insert, reorder)


def fields_bent(stored: bytes, operators: tuple[Callable[[Any, str | int], None], ...] = OPERATORS) -> Iterator[tuple[str, bytes]]:
    """(what was done, the bytes) for every field and operator that makes a difference."""
    value = json.loads(stored)
    for path in walk(value):
        for operator in operators:
            if (made := bent(value, path, operator)) != stored:
                yield f"{operator.__name__} {'.'.join(map(str, path))}", made


def bytes_bent(stored: bytes) -> Iterator[tuple[str, bytes]]:
    """What no JSON is needed for; the same words in other bytes are other bytes."""
    for at in sorted({0, 1, 31, 32, 43, 44, len(stored) // 2, len(stored) - 16, len(stored) - 1}):
        if 0 <= at < len(stored):
            yield f"byte {at}", stored[:at] + bytes((stored[at] ^ 1,)) + stored[at + 1 :]
    yield "cut", stored[:-1]
    yield "longer", stored + b" "
    yield "empty", b""
    yield "doubled", stored * 2
    if stored.startswith(b"{"):
        value = json.loads(stored)
        for made in (json.dumps(value).encode(), json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode()):
            if made != stored:
                yield "the same JSON in other bytes", made


def sections_bent(sections: Sections) -> Iterator[tuple[str, Sections]]:
    """Every change of one section's bytes, and of salts."""
    for number, (salt, stored) in sections.items():
        name = Section(number).name.lower()
        made = [*bytes_bent(stored), *(fields_bent(stored) if number != Section.PERSONAL else ())]
        for words, text in made:
            yield f"{name}: {words}", sections | {number: (salt, text)}
        for at in (0, 15, 31):
            bent_salt = salt[:at] + bytes((salt[at] ^ 1,)) + salt[at + 1 :]
            yield f"{name}: byte {at} of its salt", sections | {number: (bent_salt, stored)}
        yield f"{name}: a shorter salt", sections | {number: (salt[:-1], stored)}
        for second, (other_salt, other_stored) in sections.items():
            if second > number:
                yield f"{name}: salts swapped with {second}", sections | {number: (other_salt, stored), second: (salt, other_stored)}
                yield f"{name}: bytes swapped with {second}", sections | {number: (salt, other_stored), second: (other_salt, stored)}
                yield f"{name}: changed places with {second}", sections | {number: (other_salt, other_stored), second: (salt, stored)}


# ── what must come of it ────────────────────────────────────────────────────────────────────────────────────────────────


def is_named(report: Report, ground: Ground, seq: int, verdict: Verdict) -> bool:
    """Whether exactly this entry has exactly this verdict, and a finding says so; what was derived from it is left aside.

    An erasure that doesn't hold makes nothing lawful: what it erased is missing then.
    """
    entries = {(one.seq, one.verdict) for one in report.findings if not one.verdict.startswith("projection")}
    unlawful = {(ground.erased, Verdict.MISSING)} if seq == ground.seqs[Kind.ERASURE] else set()
    whole = report.counts["intact"] + report.counts["erased"]
    return entries == {(seq, verdict)} | unlawful and whole == ground.size - len(entries)


def is_forked_behind(report: Report, ground: Ground, seq: int) -> bool:
    return report.counts["forked"] == 1 and any((one.seq, one.verdict) == (seq + 1, Verdict.FORKED) for one in report.findings)


def try_stored(ground: Ground, stored: Stored, sections: Sections, verdict: Verdict = Verdict.MUTATED) -> bool:
    """Only the bytes are changed."""
    with putting_back(ground.gym, "ledger.section") as gym:
        gym.write_sections(stored.seq, sections)
        return is_named(gym.verify(), ground, stored.seq, verdict)


def try_commits(ground: Ground, stored: Stored, sections: Sections) -> bool:
    """The commitments fit; the body root does not."""
    with putting_back(ground.gym, *TOUCHED[:2]) as gym:
        gym.write_sections(stored.seq, sections)
        gym.write_commits(stored.seq, sections)
        return is_named(gym.verify(), ground, stored.seq, Verdict.MUTATED)


def try_leaf(ground: Ground, stored: Stored, sections: Sections) -> bool:
    """Everything in the entry fits; the next entry knows better."""
    with putting_back(ground.gym, *TOUCHED[:2]) as gym:
        gym.write_sections(stored.seq, sections)
        gym.write_commits(stored.seq, sections)
        gym.write_body_root(stored, sections)
        return is_forked_behind(gym.verify(), ground, stored.seq)


def unnamed(ground: Ground, kind: Kind) -> list[str]:
    """What was done to an entry of a kind and not named."""
    stored = ground.gym.read(ground.seqs[kind])
    missed = [words for words, sections in sections_bent(stored.sections) if not try_stored(ground, stored, sections)]
    for number in stored.sections:
        without = {one: part for one, part in stored.sections.items() if one != number}
        if not try_stored(ground, stored, without, Verdict.MISSING):
            missed.append(f"section {number} is deleted")
        for free in sorted({int(section) for section in Section} - set(stored.sections)):
            added = dict(sorted((stored.sections | {free: stored.sections[number]}).items()))
            if not try_stored(ground, stored, added):
                missed.append(f"section {number} is inserted as {free}")
            relabelled = dict(sorted((without | {free: stored.sections[number]}).items()))
            if not try_stored(ground, stored, relabelled):
                missed.append(f"section {number} is called {free}")
    return missed


@pytest.mark.long
@pytest.mark.parametrize("kind", list(Kind))
def test_every_change_of_every_field_of_every_section_is_named(ground: Ground, kind: Kind) -> None:
    assert unnamed(ground, kind) == []


def rewritten(ground: Ground, kind: Kind, attempt: Callable[[Ground, Stored, Sections], bool]) -> list[str]:
    """The fields of an entry that can be changed, with the hashes above, and not be named."""
    stored = ground.gym.read(ground.seqs[kind])
    missed = []
    for number, (salt, text) in stored.sections.items():
        if number == Section.PERSONAL:
            variants = [("a byte", text[:-1] + bytes((text[-1] ^ 1,)))]
        else:
            variants = list(fields_bent(text, (change,)))
        missed += [
            f"{number}: {words}" for words, made in variants if not attempt(ground, stored, stored.sections | {number: (salt, made)})
        ]
    return missed


@pytest.mark.long
@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("attempt", [try_commits, try_leaf])
def test_a_field_rewritten_with_the_hashes_above_it_is_named(
    ground: Ground, kind: Kind, attempt: Callable[[Ground, Stored, Sections], bool]
) -> None:
    assert rewritten(ground, kind, attempt) == []


# ── one case an operator, for the quick tests ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_changed_field_is_named(ground: Ground, operator: Callable[[Any, str | int], None]) -> None:
    stored = ground.gym.read(ground.seqs[Kind.DECISION])
    salt, text = stored.sections[Section.FACTS]
    made = [one for words, one in fields_bent(text, (operator,)) if "tags" in words]
    assert made
    assert try_stored(ground, stored, stored.sections | {2: (salt, made[0])})


@pytest.mark.parametrize("words", ["salts swapped", "bytes swapped", "byte 0 of its salt", "the same JSON", "cut", "empty"])
def test_changed_bytes_are_named(ground: Ground, words: str) -> None:
    stored = ground.gym.read(ground.seqs[Kind.DECISION])
    sections = next(sections for said, sections in sections_bent(stored.sections) if words in said)
    assert try_stored(ground, stored, sections)


@pytest.mark.parametrize("attempt", [try_commits, try_leaf])
def test_a_verdict_rewritten_with_the_hashes_above_it_is_named(ground: Ground, attempt: Callable[[Ground, Stored, Sections], bool]) -> None:
    """The very field that a well-known log left out of its hash."""
    stored = ground.gym.read(ground.seqs[Kind.DECISION])
    salt, text = stored.sections[Section.CORE]
    made = next(one for words, one in fields_bent(text, (change,)) if words == "change result.verdict")
    assert attempt(ground, stored, stored.sections | {1: (salt, made)})


@pytest.mark.parametrize("seq_of_other", [1, -1])
def test_sections_of_two_entries_that_changed_places_are_named(ground: Ground, seq_of_other: int) -> None:
    """As rows, salts and all: each is whole, and stands under the wrong entry."""
    seq = ground.seqs[Kind.EVENT]
    with putting_back(ground.gym, "ledger.section") as gym:
        gym.run(
            f"update ledger.section set seq = -1 where seq = {seq}",
            f"update ledger.section set seq = {seq} where seq = {seq + seq_of_other}",
            f"update ledger.section set seq = {seq + seq_of_other} where seq = -1",
        )
        report = gym.verify()
    assert report.counts["mutated"] == 2
    assert {one.seq for one in report.findings if one.verdict is Verdict.MUTATED} == {seq, seq + seq_of_other}


# ── the envelope ────────────────────────────────────────────────────────────────────────────────────────────────────────

# Field of the envelope: a byte of it, and what is said once its leaf fits.
FIELDS = {
    "version": (0, "mutated", 0),
    "kind": (1, "forked", 1),
    "chain": (5, "mutated", 0),
    "seq": (25, "reordered", 0),
    "recorded_at_us": (33, "forked", 1),
    "entry_id": (40, "mutated", 0),
    "prev_leaf": (60, "forked", 0),
    "body_root": (100, "mutated", 0),
}


def test_the_fields_of_the_envelope_are_all_here() -> None:
    fields = ENVELOPE.unpack(bytes(range(ENVELOPE_BYTES)))
    assert len(FIELDS) == len(fields)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("kind", [Kind.EVENT, *(pytest.param(kind, marks=pytest.mark.long) for kind in Kind if kind is not Kind.EVENT)])
def test_a_changed_field_of_the_envelope_is_named(ground: Ground, kind: Kind, name: str) -> None:
    at, verdict, behind = FIELDS[name]
    stored = ground.gym.read(ground.seqs[kind] or 1)
    made = stored.envelope[:at] + bytes((stored.envelope[at] ^ 1,)) + stored.envelope[at + 1 :]
    with putting_back(ground.gym, "ledger.entry") as gym:
        gym.run(f"update ledger.entry set envelope = '\\x{made.hex()}' where seq = {stored.seq}")
        report = gym.verify()
        assert is_named(report, ground, stored.seq, Verdict.MUTATED), str(report)
        gym.write_envelope(stored.seq, made)
        report = gym.verify()
    assert any((one.seq, one.verdict) == (stored.seq + behind, Verdict(verdict)) for one in report.findings), str(report)
