"""Where the flips are, as bars: of each segment the share that flips, cut by what it means for who acts. Pure.

Bars are as long as their share, all on one scale, with a line at the share of all: what stands out is seen to. Counts and money
stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from precedent.learning.flip_report import FlipReport, write_share
from precedent.learning.flips import Cell
from precedent.learning.money import money_words
from precedent.learning.segments import SegmentRow
from precedent.learning.svg_page import LINE, MARGIN, WIDTH, write_bar, write_text

BAR_LEFT, BAR_WIDTH, BAR_HEIGHT = 258, 170, 10
SHARE_RIGHT, COUNT_RIGHT, MONEY_RIGHT = 492, 588, WIDTH - MARGIN
HEADING = 28  # pixels from a fact's name to the row before it
MAX_FACTS = 12
MAX_CHARS = 32
LEAST = 1.5  # pixels of one decision


def segments_panel(report: FlipReport, top: float) -> tuple[list[str], float]:
    """The elements, and where the panel ends; nothing where nothing flips."""
    rows = [row for row in report.segments if row.cell.decided]
    if not report.tally.flips or not rows:
        return [], top
    facts = [(key, list(own)) for key, own in groupby(rows, key=lambda row: (row.action, row.fact))]
    scale = BAR_WIDTH / max(row.cell.flips / row.cell.decided for row in rows)
    usual = BAR_LEFT + report.tally.flips / report.tally.decided * scale
    parts, y = _heads(report, top, usual), top
    for (action, fact), own in facts[:MAX_FACTS]:
        y += HEADING
        parts.append(write_text(MARGIN, y, fact if len(report.actions) == 1 else f"{action}: {fact}", "strong"))
        parts.append(write_bar("node", usual, y + LINE - BAR_HEIGHT - 4, 1, LINE * (len(own) - 1) + BAR_HEIGHT + 8))
        for row in own:
            y += LINE
            parts += _row(row, y, scale)
    if more := max(len(facts) - MAX_FACTS, 0):
        y += HEADING
        parts.append(write_text(MARGIN, y, f"and by {more} more {'fact' if more == 1 else 'facts'}", "quiet"))
    return parts, y


def _heads(report: FlipReport, y: float, usual: float) -> list[str]:
    heads = ((SHARE_RIGHT, "flip"), (COUNT_RIGHT, "of decided"), (MONEY_RIGHT, "money that flips"))
    share = f"all: {write_share(report.tally.flips, report.tally.decided)}"
    return [
        write_text(MARGIN, y, "Where", "head"),
        write_text(usual, y, share, "quiet middle"),
        *(write_text(x, y, words, "quiet end") for x, words in heads),
    ]


def _row(row: SegmentRow, y: float, scale: float) -> list[str]:
    cell = row.cell
    words = row.words if len(row.words) <= MAX_CHARS else f"{row.words[: MAX_CHARS - 1]}…"
    numbers: Sequence[tuple[int, str]] = (
        (SHARE_RIGHT, write_share(cell.flips, cell.decided)),
        (COUNT_RIGHT, f"{cell.flips:,} of {cell.decided:,}"),
        (MONEY_RIGHT, money_words(cell.money) if cell.flips and len(cell.money) == 1 else ""),
    )
    return [
        write_text(MARGIN, y, words, "quiet"),
        *_stack(cell, y - BAR_HEIGHT, scale),
        *(write_text(x, y, number, "number end") for x, number in numbers if number),
    ]


def _stack(cell: Cell, y: float, scale: float) -> list[str]:
    parts, x = [], float(BAR_LEFT)
    for kind, count in (("gained", cell.gained), ("lost", cell.lost), ("moved", cell.flips - cell.gained - cell.lost)):
        if count:
            width = max(count / cell.decided * scale, LEAST)
            parts.append(write_bar(kind, x, y, width, BAR_HEIGHT))
            x += width
    return parts
