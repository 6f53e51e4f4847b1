"""The picture of flips: valid, told in words too, and true to the counts."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

from precedent.learning.flip_report import FlipReport, write_share
from precedent.learning.flips import Moved, Standing, Tally
from precedent.learning.flips_svg import LEAST, flips_svg

SVG = "{http://www.w3.org/2000/svg}"
FULL, BROAD, ASK, DENY = Standing("approve", 3), Standing("approve", 2), Standing("escalate", 0), Standing("deny", 0)


def report(moves: dict[tuple[Standing, Standing], int], candidate: str = "finance-constitution@1.1.0") -> FlipReport:
    tally = Tally(5)
    tally.moves = {move: Moved(count, Counter({("deal_value", "USD"): 100 * count})) for move, count in moves.items()}
    return FlipReport(candidate, "ab", None, "the last 1,000", 7, tally, {})


def drawn(told: FlipReport) -> ET.Element:
    return ET.fromstring(flips_svg(told))


def heights(path: str) -> float:
    """Of a ribbon, where it begins."""
    numbers = path.replace("M", "").replace("L", "").replace("C", "").replace("Z", "").split()
    return float(numbers[-1]) - float(numbers[1])


def test_it_is_told_to_a_screen_reader() -> None:
    root = drawn(report({(FULL, FULL): 90, (FULL, ASK): 9, (ASK, FULL): 1}))
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", "title desc")
    assert root.findtext(f"{SVG}title") == "finance-constitution@1.1.0 beside what was decided"
    told = str(root.findtext(f"{SVG}desc"))
    assert "Of 100 decisions (the last 1,000) 10 flip." in told
    assert "approve AL3 → escalate: 9 (9 USD)." in told


def test_a_ribbon_is_as_wide_as_its_count_and_never_invisible() -> None:
    root = drawn(report({(FULL, ASK): 600, (BROAD, DENY): 200, (ASK, FULL): 200, (FULL, FULL): 5}))
    paths = root.findall(f"{SVG}path")
    widths = {str(path.findtext(f"{SVG}title")): heights(str(path.get("d"))) for path in paths}
    assert len(paths) == 3
    assert abs(widths["approve AL3 to escalate: 600"] / widths["approve AL2 to deny: 200"] - 3) < 0.05
    lone = drawn(report({(FULL, ASK): 100_000, (ASK, DENY): 1}))
    assert min(heights(str(path.get("d"))) for path in lone.findall(f"{SVG}path")) >= LEAST
    assert {str(path.get("class")) for path in paths} == {"ribbon lost", "ribbon gained"}


def test_nothing_that_flips_is_said_and_names_are_escaped() -> None:
    root = drawn(report({(FULL, FULL): 3}, candidate="a<b>&@1.0.0"))
    assert root.findall(f"{SVG}path") == []
    assert "Nothing flips" in "".join(root.itertext())
    assert root.findtext(f"{SVG}title") == "a<b>&@1.0.0 beside what was decided"
    assert "0 of 0 decisions flip" in "".join(drawn(report({})).itertext())


def test_many_moves_fit() -> None:
    standings = [Standing("approve", level) for level in range(4)] + [ASK, DENY]
    moves = {(was, becomes): 1 + was.level for was in standings for becomes in standings if was != becomes}
    root = drawn(report(moves))
    height = float(str(root.get("height")))
    bottoms = [float(str(rect.get("y", 0))) + float(str(rect.get("height"))) for rect in root.findall(f"{SVG}rect")]
    assert max(bottoms) <= height
    assert "other moves" in "".join(root.itertext())


def test_a_share_is_never_rounded_to_nothing_or_to_all() -> None:
    assert [write_share(*pair) for pair in ((0, 0), (0, 9), (9, 9), (1, 9999), (9998, 9999), (1, 3))] == [
        "0 %",
        "0 %",
        "100 %",
        "under 0.1 %",
        "over 99.9 %",
        "33.3 %",
    ]
