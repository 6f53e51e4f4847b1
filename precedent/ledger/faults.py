"""What is wrong with the sections of one entry: which column is at fault, by what the others say of it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from precedent.ledger.canonical import is_canonical
from precedent.ledger.entry import Section, body_root_of, commit_of
from precedent.ledger.report import Finding, Verdict
from precedent.ledger.rows import EntryRow, Sections

COMMIT_BYTES = 33
OUT_OF_ORDER = "they are not in ascending order, or one stands twice"
SECTION_NAMES = {int(section): section.name.lower() for section in Section}


def section_faults(row: EntryRow, body_root: bytes) -> Iterator[Finding]:
    """What is wrong with an entry's sections and commitments."""
    sections, faults = _gather(row)
    if faults:
        yield from faults
        return
    for section_id, _, stored in sections:
        if section_id != Section.PERSONAL and not is_canonical(stored):
            yield finding_of(Verdict.MUTATED, row, f"section {SECTION_NAMES[section_id]}", "its bytes are not canonical JSON")
    own = {section_id: commit_of(section_id, salt, stored) for section_id, salt, stored in sections}
    if len(row.commits) % COMMIT_BYTES:
        yield finding_of(Verdict.MUTATED, row, "entry.commits", f"{len(row.commits)} bytes are no list of commitments")
        return
    said = {row.commits[n]: row.commits[n + 1 : n + COMMIT_BYTES] for n in range(0, len(row.commits), COMMIT_BYTES)}
    if own == said:
        if body_root_of(list(own.values())) != body_root:
            yield finding_of(Verdict.MUTATED, row, "entry.envelope", "its body root is not that of the commitments")
        elif _packed(own) != row.commits:
            yield finding_of(Verdict.MUTATED, row, "entry.commits", OUT_OF_ORDER)
    elif body_root_of(list(own.values())) == body_root:
        yield finding_of(Verdict.MUTATED, row, "entry.commits", "they are not those of the sections and of the body root")
    else:
        yield from _differences(row, sections, own, said)
        if body_root_of(list(said.values())) != body_root:
            yield finding_of(Verdict.MUTATED, row, "entry.commits", "they don't add up to the body root")
        elif _packed(said) != row.commits:
            yield finding_of(Verdict.MUTATED, row, "entry.commits", OUT_OF_ORDER)


def _packed(commits: dict[int, bytes]) -> bytes:
    return b"".join(bytes((number,)) + commit for number, commit in sorted(commits.items()))


def _gather(row: EntryRow) -> tuple[Sections, list[Finding]]:
    """An entry's sections, or why its rows can't be read."""
    faults = []
    if row.plain is None:
        faults.append(finding_of(Verdict.MISSING, row, "section", "the row of its sections is missing"))
        return [], faults
    sections: Sections = []
    for part, is_personal in ((row.plain, False), (row.personal, True)):
        if part is None:
            continue
        ids, salts, stored = part
        if not len(ids) == len(salts) == len(stored):
            words = f"{len(ids)} ids, {len(salts)} salts, {len(stored)} sections"
            faults.append(finding_of(Verdict.MUTATED, row, "section.section_ids", words))
            continue
        if list(ids) != sorted(set(ids)):
            faults.append(finding_of(Verdict.MUTATED, row, "section.section_ids", f"sections {ids} are not in ascending order"))
        if any((number == Section.PERSONAL) != is_personal or number not in SECTION_NAMES for number in ids):
            words = f"sections {ids} in a row with is_personal = {is_personal}"
            faults.append(finding_of(Verdict.MUTATED, row, "section.section_ids", words))
        if any(len(salt) != 32 for salt in salts):
            faults.append(finding_of(Verdict.MUTATED, row, "section.salts", "a salt has other than 32 bytes"))
        sections += zip(ids, salts, stored, strict=True)
    return sorted(sections), faults


def _differences(row: EntryRow, sections: Sections, own: dict[int, bytes], said: dict[int, bytes]) -> Iterator[Finding]:
    absent = [number for number in said if number not in own]
    relabelled = {number for number, salt, stored in sections if any(commit_of(other, salt, stored) == said[other] for other in absent)}
    for number in sorted(own.keys() | said.keys()):
        name = SECTION_NAMES.get(number, str(number))
        if number in relabelled:
            yield finding_of(Verdict.MUTATED, row, "section.section_ids", f"what is called {name} was recorded as another section")
        elif number not in said:
            yield finding_of(Verdict.MUTATED, row, f"section {name}", "the entry commits to no such section")
        elif number not in own and not relabelled:
            yield finding_of(Verdict.MISSING, row, f"section {name}", "it is missing")
        elif number in own and own[number] != said[number]:
            yield finding_of(Verdict.MUTATED, row, f"section {name}", "its bytes or their salt were changed")


def finding_of(verdict: Verdict, row: EntryRow, where: str, words: str) -> Finding:
    return Finding(verdict, row.seq, str(UUID(bytes=row.entry_id)), where, words)
