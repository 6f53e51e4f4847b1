"""Tells personal sections that were erased lawfully from those that are missing. Pure.

A scan of entries finds both sides: entries whose personal section is not there though all else fits, and erasures with what they
list. An erasure may stand far behind what it erased, so the two are compared when all was scanned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from precedent.ledger.entry import Section
from precedent.ledger.report import Finding, Tally, Verdict

WHERE = "section personal"


class Absent(NamedTuple):
    """An entry that commits to a personal section which is not there. `is_damaged`: it has other faults, and its verdict by them."""

    seq: int
    entry_id: bytes
    is_damaged: bool


def is_absence(finding: Finding) -> bool:
    """Whether it says that an entry's personal section is not there."""
    return finding.verdict is Verdict.MISSING and finding.where == WHERE


def erased_by(core: bytes) -> list[int]:
    """The seqs whose personal section an entry of kind erasure destroys, by its core; none for one that bars erasures."""
    try:
        said = json.loads(core)
        return [seq for seq, section_id in said["erased"] if section_id == Section.PERSONAL] if said["op"] == "erase" else []
    except (ValueError, KeyError, TypeError):  # whatever else it is, it makes nothing lawful
        return []


def judge_absences(tally: Tally, absent: Iterable[Absent], erasures: Mapping[int, list[int]]) -> dict[int, int]:
    """Give each absence its verdict; `erasures` are intact ones, by their seq. What they list and is not absent is left, with the
    seq of its erasure: such a section was not destroyed, or has come back.
    """
    left = {seq: erasure for erasure, seqs in sorted(erasures.items(), reverse=True) for seq in seqs if seq < erasure}
    for one in absent:
        erasure = left.pop(one.seq, None)
        verdict = Verdict.MISSING if erasure is None else Verdict.ERASED
        words = "it is missing" if erasure is None else f"erased lawfully by entry {erasure}"
        tally.add(Finding(verdict, one.seq, str(UUID(bytes=one.entry_id)), WHERE, words))
        if not one.is_damaged:
            tally.count(verdict)
    return left
