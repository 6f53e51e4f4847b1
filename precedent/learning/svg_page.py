"""What the pictures share: the page's measures, its colours in light and dark, a line of text. SVG 1.1 without scripts or fonts."""

from __future__ import annotations

from xml.sax.saxutils import escape

WIDTH = 760
MARGIN = 24
LINE = 20

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1b1f24 } .end { text-anchor: end } .middle { text-anchor: middle }
.head { font-size: 16px; font-weight: 600 } .quiet { fill: #57606a } .strong { font-weight: 600 }
.number { font-variant-numeric: tabular-nums }
.paper { fill: #ffffff } .node { fill: #57606a } .all { fill: #d0d7de } .gained { fill: #0969da } .lost { fill: #bc4c00 }
.moved { fill: #8250df } .ribbon { fill-opacity: 0.45 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .paper { fill: #0d1117 } .node { fill: #9198a1 } .all { fill: #30363d }
  .gained { fill: #58a6ff } .lost { fill: #f0883e } .moved { fill: #bc8cff } .ribbon { fill-opacity: 0.55 }
}
"""


def write_text(x: float, y: float, words: str, kind: str | None = None) -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:.1f}"{named}>{escape(words)}</text>'


def write_bar(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:g}"/>'
