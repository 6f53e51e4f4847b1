"""The flips of a report as a picture: from what to what, as ribbons whose width is their count.

Below it the same by segment: what kind of request flips. Readable in light and dark, on paper and by a screen reader: the
description says in words what the ribbons show, colours differ in lightness, too, and every ribbon stands again as a line of
text. What doesn't flip is a share in the bar on top and no ribbon: beside it nobody would see the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from precedent.learning.flip_report import FlipReport, write_share
from precedent.learning.flips import Moved, Standing
from precedent.learning.flips_svg_segments import segments_panel
from precedent.learning.money import money_words
from precedent.learning.svg_page import LINE, MARGIN, STYLE, WIDTH, write_bar, write_text

FLOW_TOP = 148
FLOW_HEIGHT = 240
NODE_WIDTH = 12
LEFT, RIGHT = 190, WIDTH - 190
GAP = 18
LEAST = 2.0  # a ribbon that one decision makes can be seen still
MAX_LINES = 12

KINDS = {"gained": "acts alone now", "lost": "acts alone no longer", "moved": "another level or verdict"}

Move = tuple[Standing, Standing, Moved]


@dataclass(frozen=True, slots=True)
class _Node:
    """One standing on one side: where it begins, how high it is."""

    standing: Standing
    count: int
    top: float
    height: float


def flips_svg(report: FlipReport) -> str:
    """The picture as one document."""
    moves = report.moves
    lines = _lines(moves)
    at = FLOW_TOP + (FLOW_HEIGHT if moves else 0) + MARGIN + LINE // 2
    panel, bottom = segments_panel(report, at + LINE * len(lines) + MARGIN)
    height = round(bottom + MARGIN) if panel else at + LINE * len(lines) + MARGIN // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(_title(report))}</title>',
        f'<desc id="desc">{escape(_description(report, lines))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        *_header(report),
        *(_flow(report, moves) if moves else ()),
    ]
    for place, (kind, text) in enumerate(lines):
        y = at + LINE * place
        parts.append(write_bar(kind, MARGIN, y - 10, 10, 10) if kind else "")
        parts.append(write_text(MARGIN + 18, y, text))
    return "\n".join([*(part for part in parts if part), *panel, "</svg>", ""])


def _title(report: FlipReport) -> str:
    return f"{report.candidate} beside {report.before or 'what was decided'}"


def _description(report: FlipReport, lines: Sequence[tuple[str | None, str]]) -> str:
    tally = report.tally
    said = f"Of {tally.decided:,} decisions ({report.window}) {tally.flips:,} flip."
    return " ".join([said, *(f"{text}." for _, text in lines)])


def _header(report: FlipReport) -> list[str]:
    tally = report.tally
    undecidable = sum(tally.undecidable.values())
    share = tally.flips / tally.decided if tally.decided else 0.0
    said = f"{tally.flips:,} of {tally.decided:,} decisions flip ({write_share(tally.flips, tally.decided)}), {report.window}"
    said += f"; {undecidable:,} not decidable" if undecidable else ""
    width = WIDTH - 2 * MARGIN
    bar = [f'<rect class="all" x="{MARGIN}" y="72" width="{width}" height="8" rx="2"/>']
    if share:
        bar.append(f'<rect class="node" x="{MARGIN}" y="72" width="{max(width * share, LEAST):.1f}" height="8" rx="2"/>')
    return [write_text(MARGIN, 36, _title(report), "head"), write_text(MARGIN, 60, said, "quiet"), *bar, *_legend(report.moves)]


def _legend(moves: Sequence[Move]) -> list[str]:
    """Of the colours that occur, each with its count."""
    counts = Counter[str]()
    for was, becomes, moved in moves:
        counts[_kind(was, becomes)] += moved.count
    parts, x = [], MARGIN
    for kind, words in KINDS.items():
        if counts[kind]:
            parts += [write_bar(kind, x, 94, 10, 10), write_text(x + 16, 104, f"{words}: {counts[kind]:,}", "quiet")]
            x += 240
    return parts


def _flow(report: FlipReport, moves: Sequence[Move]) -> list[str]:
    scale = _scale(report, moves)
    sides = [_nodes(report, moves, side, scale) for side in (0, 1)]
    parts = [write_text(LEFT - 20, FLOW_TOP - 12, "was", "quiet end"), write_text(RIGHT + 20, FLOW_TOP - 12, "becomes", "quiet")]
    for side, x in ((0, LEFT), (1, RIGHT)):
        for node in sides[side].values():
            left = x if side else x - NODE_WIDTH
            parts.append(f'<rect class="node" x="{left}" y="{node.top:.1f}" width="{NODE_WIDTH}" height="{node.height:.1f}"/>')
            label = f"{node.standing} · {node.count:,}" if side else f"{node.count:,} · {node.standing}"
            middle = node.top + node.height / 2 + 4
            parts.append(write_text(x + 20, middle, label) if side else write_text(x - 20, middle, label, "end"))
    used = [dict.fromkeys(nodes, 0.0) for nodes in sides]
    # In the order of both sides, so that ribbons cross as little as they must.
    order = report.standings
    for was, becomes, moved in sorted(moves, key=lambda one: (order.index(one[0]), order.index(one[1]))):
        width = _width(moved.count, scale)
        start, end = sides[0][was].top + used[0][was], sides[1][becomes].top + used[1][becomes]
        used[0][was] += width
        used[1][becomes] += width
        parts.append(_ribbon(_kind(was, becomes), start, end, width, f"{was} to {becomes}: {moved.count:,}"))
    return parts


def _width(count: int, scale: float) -> float:
    return max(count * scale, LEAST)


def _scale(report: FlipReport, moves: Sequence[Move]) -> float:
    """Pixels a decision, so that the fuller side fits."""
    standings = max(len({move[side] for move in moves}) for side in (0, 1))
    room = FLOW_HEIGHT - GAP * (standings - 1) - LEAST * len(moves)
    return max(room, FLOW_HEIGHT / 4) / report.tally.flips


def _nodes(report: FlipReport, moves: Sequence[Move], side: int, scale: float) -> dict[Standing, _Node]:
    nodes: dict[Standing, _Node] = {}
    top = float(FLOW_TOP)
    for standing in report.standings:
        own = [move[2].count for move in moves if move[side] == standing]
        if own:
            height = sum(_width(count, scale) for count in own)
            nodes[standing] = _Node(standing, sum(own), top, height)
            top += height + GAP
    return nodes


def _ribbon(kind: str, start: float, end: float, width: float, words: str) -> str:
    middle = (LEFT + RIGHT) / 2
    upper = f"M{LEFT} {start:.1f} C{middle} {start:.1f} {middle} {end:.1f} {RIGHT} {end:.1f}"
    lower = f"L{RIGHT} {end + width:.1f} C{middle} {end + width:.1f} {middle} {start + width:.1f} {LEFT} {start + width:.1f} Z"
    return f'<path class="ribbon {kind}" d="{upper} {lower}"><title>{escape(words)}</title></path>'


def _kind(was: Standing, becomes: Standing) -> str:
    if was.acts == becomes.acts:
        return "moved"
    return "gained" if becomes.acts else "lost"


def _lines(moves: Sequence[Move]) -> list[tuple[str | None, str]]:
    if not moves:
        return [(None, "Nothing flips")]
    lines: list[tuple[str | None, str]] = [(_kind(was, becomes), _said(was, becomes, moved)) for was, becomes, moved in moves[:MAX_LINES]]
    if rest := moves[MAX_LINES:]:
        lines.append((None, f"and {sum(moved.count for *_, moved in rest):,} by {len(rest)} other moves"))
    return lines


def _said(was: Standing, becomes: Standing, moved: Moved) -> str:
    money = money_words(moved.money)
    return f"{was} → {becomes}: {moved.count:,}" + (f" ({money})" if money else "")
