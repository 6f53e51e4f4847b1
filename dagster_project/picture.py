"""The asset graph as a picture: `python -m dagster_project.picture > docs/lineage.svg`. Columns go from the record to what is derived."""

from __future__ import annotations

import html
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping

import dagster as dg

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, HEAD = 250, 26, 52, 10, 16, 34
COLOURS = {"ledger": "#1f4e79", "warehouse": "#2a7f62", "memory": "#8a5a9e", "learning": "#a65f1e"}
OTHER = "#66707a"
STYLE = "text{font:12px ui-monospace,monospace;fill:#fff}.head{font-weight:600}path{fill:none;stroke:#9aa5ad;stroke-width:1.2}"


def draw(definitions: dg.Definitions) -> str:
    """An SVG of every asset that others derive from or that is derived, by its distance from the record."""
    graph = definitions.resolve_asset_graph()
    parents = {
        key.to_user_string(): sorted(one.to_user_string() for one in graph.get(key).parent_keys) for key in graph.get_all_asset_keys()
    }
    groups = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    linked = {name for name, above in parents.items() if above} | {one for above in parents.values() for one in above}
    places = _places({name: above for name, above in parents.items() if name in linked}, groups)
    width = max(x for x, _ in places.values()) + WIDTH + MARGIN
    height = max(y for _, y in places.values()) + HEIGHT + MARGIN
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">', f"<style>{STYLE}</style>"]
    lines += ["<title>What is derived from what</title>", f'<rect width="{width}" height="{height}" fill="#fff"/>']
    lines += _legend(sorted({groups[name] for name in places}))
    for name, (x, y) in places.items():
        lines += [_line(places[above], (x, y)) for above in parents[name]]
    for name, (x, y) in places.items():
        colour = COLOURS.get(groups[name], OTHER)
        lines.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="{colour}"/>')
        lines.append(f'<text x="{x + 8}" y="{y + 17}">{html.escape(name)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _places(parents: Mapping[str, list[str]], groups: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """The corner of each box: its column is its longest way from a root, its row as near to its parents' as there is room."""
    depths: dict[str, int] = {}

    def depth_of(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max((depth_of(above) for above in parents[name]), default=-1)
        return depths[name]

    columns = defaultdict[int, list[str]](list)
    for name in sorted(parents, key=lambda name: (groups[name], name)):
        columns[depth_of(name)].append(name)
    rows: dict[str, float] = {}
    for depth in sorted(columns):
        wanted = {name: sum(rows[one] for one in parents[name]) / max(1, len(parents[name])) for name in columns[depth]}
        for row, name in enumerate(sorted(columns[depth], key=lambda name: (wanted[name], groups[name], name))):
            rows[name] = row
    return {
        name: (MARGIN + depths[name] * (WIDTH + GAP_X), HEAD + MARGIN + int(row) * (HEIGHT + GAP_Y))
        for name, row in sorted(rows.items(), key=lambda one: (depths[one[0]], one[1]))
    }


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = (start[0] + WIDTH, start[1] + HEIGHT // 2), (end[0], end[1] + HEIGHT // 2)
    bend = GAP_X // 2
    return f'<path d="M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"/>'


def _legend(groups: list[str]) -> Iterator[str]:
    for place, group in enumerate(groups):
        x = MARGIN + place * 120
        yield f'<rect x="{x}" y="{MARGIN - 6}" width="12" height="12" rx="2" fill="{COLOURS.get(group, OTHER)}"/>'
        yield f'<text x="{x + 18}" y="{MARGIN + 4}" class="head" style="fill:#222">{html.escape(group)}</text>'


if __name__ == "__main__":
    from dagster_project.definitions import defs

    sys.stdout.write(draw(defs))
