"""The picture of flips: valid, told in words too, and true to the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree as ET

from precedent.learning.flip_report import FlipReport, write_share
from precedent.learning.flips import Cell, Moved, Standing, Tally
from precedent.learning.flips_svg import LEAST, flips_svg
from precedent.learning.flips_svg_segments import BAR_LEFT, BAR_WIDTH, MAX_FACTS
from precedent.policy.model import Action
from tests.policy.shipped import FINANCE, compile_text, compiled, finance_with

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


FINANCE_ACTIONS = compiled(FINANCE).document.actions


def by_tier(cells: dict[str, Cell], actions: Mapping[str, Action] = FINANCE_ACTIONS) -> FlipReport:
    """Flips of two kinds; of the segments only those of the customer's tier."""
    told = report({(FULL, FULL): 80, (FULL, ASK): 15, (ASK, FULL): 5})
    told.tally.segments = {("approve_discount", "customer_tier", tier): cell for tier, cell in cells.items()}
    return replace(told, actions=actions)


def bars_of(root: ET.Element, kind: str) -> list[float]:
    """Widths of the bars of segments, in pixels."""
    found = [rect for rect in root.findall(f"{SVG}rect") if rect.get("class") == kind and float(str(rect.get("x", 0))) >= BAR_LEFT]
    return [float(str(rect.get("width"))) for rect in found if rect.get("height") == "10" and rect.get("y") != "94.0"]


def test_each_segment_has_a_bar_of_its_share_cut_by_who_acts() -> None:
    money = Counter({("deal_value", "USD"): 123_456})
    root = drawn(by_tier({"A": Cell(40, 20, gained=5, lost=15, money=money), "B": Cell(40, 0), "C": Cell(20, 2, lost=1)}))
    assert bars_of(root, "gained") == [BAR_WIDTH / 4]
    assert bars_of(root, "lost") == [BAR_WIDTH * 3 / 4, BAR_WIDTH / 10]
    assert bars_of(root, "moved") == [BAR_WIDTH / 10]
    words = [text.text for text in root.findall(f"{SVG}text")]
    assert words[words.index("A") :][:4] == ["A", "50.0 %", "20 of 40", "1,234.56 USD"]
    assert words[words.index("B") :][:4] == ["B", "0 %", "0 of 40", "C"]
    assert {"customer_tier", "all: 20.0 %", "acts alone now: 5", "acts alone no longer: 15"} <= set(words)
    assert "another level or verdict: 0" not in words


def test_facts_beyond_a_page_are_counted() -> None:
    many = "\n".join(f"      extra_{number}: {{type: bool}}" for number in range(MAX_FACTS))
    actions = compile_text(finance_with(("      customer_tier:", f"{many}\n      customer_tier:"))).document.actions
    told = by_tier({"A": Cell(40, 20)}, actions)
    assert "more fact" not in "".join(drawn(told).itertext())
    for number in range(MAX_FACTS):
        told.tally.segments["approve_discount", f"extra_{number}", True] = Cell(40, 20)
    assert "and by 1 more fact" in "".join(drawn(told).itertext())


def test_a_share_is_never_rounded_to_nothing_or_to_all() -> None:
    assert [write_share(*pair) for pair in ((0, 0), (0, 9), (9, 9), (1, 9999), (9998, 9999), (1, 3))] == [
        "0 %",
        "0 %",
        "100 %",
        "under 0.1 %",
        "over 99.9 %",
        "33.3 %",
    ]
