"""Similar past cases in words: which a decision followed, which it departed from, and what is not known. From the sealed section alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DECIDED = {"approve": "approved", "deny": "denied", "escalate": "left to a person"}
NO_MODEL = "No similar case was looked for: no model serves that this release can make."
NO_CASES = "No past case of this action could be compared: none had an outcome or a person's answer that was known then."
NOT_MEASURED = "Novel: how far usual cases lie had not been measured."
SUCCESS_PPM = 500_000


@dataclass(frozen=True, slots=True)
class ToldPrecedent:
    """One past decision; `relation` is followed or departed, distances are cosine distances from 0 to 2."""

    id: str
    relation: str
    verdict: str
    distance: float
    text: str


@dataclass(frozen=True, slots=True)
class ToldPrecedents:
    """The nearest first; the nearest with another verdict than the first one's stands last where it is not among them."""

    text: str
    novel: bool
    model: str | None
    cases: tuple[ToldPrecedent, ...]


def told_precedents(precedents: Mapping[str, Any], verdict: str) -> ToldPrecedents:
    """What the sealed section says beside a decision of that verdict."""
    nearest, counter = precedents["nearest"], precedents["counter"]
    shown = list(nearest)
    if counter is not None and all(one["id"] != counter["id"] for one in nearest):
        shown.append(counter)
    cases = tuple(_case(one, verdict) for one in shown)
    return ToldPrecedents(_summary(precedents, verdict), precedents["novel"], precedents["model"], cases)


def _summary(precedents: Mapping[str, Any], verdict: str) -> str:
    nearest, novelty_ppm = precedents["nearest"], precedents["novelty_ppm"]
    if not nearest:
        return f"{NO_CASES if precedents['model'] else NO_MODEL} The case counts as novel."
    followed = sum(one["verdict"] == verdict for one in nearest)
    count = f"{len(nearest)} similar past {'case' if len(nearest) == 1 else 'cases'}"
    said = f"{count}: {followed} followed, {len(nearest) - followed} departed from{_success(nearest)}."
    if novelty_ppm is None:
        return f"{said} {NOT_MEASURED}"
    far = f"the nearest lies at {nearest[0]['distance_ppm'] / 1e6:.3f}, usual cases within {novelty_ppm / 1e6:.3f}"
    return f"{said} {'Novel' if precedents['novel'] else 'Not novel'}: {far}."


def _success(nearest: Sequence[Mapping[str, Any]]) -> str:
    rewards = [one["reward_ppm"] for one in nearest if one["reward_ppm"] is not None]
    return f"; of {len(rewards)} with a reward {sum(reward >= SUCCESS_PPM for reward in rewards)} succeeded" if rewards else ""


def _case(one: Mapping[str, Any], verdict: str) -> ToldPrecedent:
    is_followed = one["verdict"] == verdict
    decided = DECIDED[one["verdict"]] + (" by a person" if one["by_person"] else "")
    reward = "no reward known" if one["reward_ppm"] is None else f"reward {one['reward_ppm'] / 1e6:g} of 1"
    distance = one["distance_ppm"] / 1e6
    text = f"{'followed' if is_followed else 'departed from'}: {decided}, {reward}, at distance {distance:.3f}"
    return ToldPrecedent(one["id"], "followed" if is_followed else "departed", one["verdict"], distance, text)
