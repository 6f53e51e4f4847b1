"""How much of what is personal the redactor finds, and how much of what it takes is personal, by the labelled texts beside this file.

A labelled value counts as found when all of it is replaced; a replacement is right when it touches a labelled value of its kind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from precedent.guard.recognise import Personal, find_personal

TEXTS = Path(__file__).with_name("personal_texts.txt")
LABEL = re.compile(r"\{([a-z-]+)(?:/([A-Z]{2}))?:(.*?)\}")


@dataclass(frozen=True, slots=True)
class Text:
    language: str
    text: str
    labels: tuple[tuple[Personal, str], ...]  # with the country of a national number, else ""


@dataclass(slots=True)
class Figures:
    """Counts by kind, and of national numbers by country too (`id/DE`)."""

    labelled: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def recall(self, kind: str) -> float:
        return self.found[kind] / self.labelled[kind]

    def precision(self, kind: str) -> float:
        return self.right[kind] / self.replaced[kind] if self.replaced[kind] else 1.0


def read_texts() -> Iterator[Text]:
    for line in TEXTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        language, marked = line.split("|", 1)
        text, labels, end = "", [], 0
        for label in LABEL.finditer(marked):
            text += marked[end : label.start()]
            labels.append((Personal(label[1], len(text), len(text) + len(label[3])), label[2] or ""))
            text, end = text + label[3], label.end()
        yield Text(language, text + marked[end:], tuple(labels))


def measure() -> Figures:
    figures = Figures()
    for one in read_texts():
        found = find_personal(one.text)
        for label, country in one.labels:
            is_found = any(piece.start <= label.start and label.end <= piece.end for piece in found)
            for name in {label.kind, f"{label.kind}/{country}" if country else label.kind}:
                figures.labelled[name] += 1
                figures.found[name] += is_found
            if not is_found:
                figures.missed.append(f"{label.kind}: {one.text}")
        for piece in found:
            is_right = any(label.kind == piece.kind and piece.start < label.end and label.start < piece.end for label, _ in one.labels)
            figures.replaced[piece.kind] += 1
            figures.right[piece.kind] += is_right
            if not is_right:
                figures.wrong.append(f"{piece.kind}: {one.text}")
    return figures


def as_table(figures: Figures) -> str:
    """The figures as they stand in docs/privacy.md."""
    lines = ["| kind | labelled | found | recall | replaced | rightly | precision |", "|---|---|---|---|---|---|---|"]
    for kind in sorted(kind for kind in figures.labelled if "/" not in kind):
        precision = f"{figures.precision(kind):.1%}" if figures.replaced[kind] else "–"
        cells = (
            figures.labelled[kind],
            figures.found[kind],
            f"{figures.recall(kind):.1%}",
            figures.replaced[kind],
            figures.right[kind],
            precision,
        )
        lines.append("| " + " | ".join([kind, *map(str, cells)]) + " |")
    return "\n".join(lines)


def share_taken(digit_count: int, trials: int = 2000) -> float:
    """Of bare random numbers of so many digits, as an order has one, those that are taken for a person's."""
    numbers = Random(digit_count)
    return (
        sum(bool(find_personal(f"order {numbers.randrange(10 ** (digit_count - 1), 10**digit_count)} sent")) for _ in range(trials))
        / trials
    )


if __name__ == "__main__":
    measured = measure()
    print(as_table(measured))
    print("\nrandom numbers taken, by digits:", {count: share_taken(count) for count in range(7, 20)})
    print("\nmissed:", *measured.missed, "\nwrong:", *measured.wrong, sep="\n")
