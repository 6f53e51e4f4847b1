"""The rules of one action by themselves: those that never decide, those that err, bands that overlap, and what none covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from precedent.policy.analyse.boxes import box_around
from precedent.policy.analyse.findings import Finding
from precedent.policy.analyse.solver import Answer, Reply
from precedent.policy.analyse.subject import Subject
from precedent.policy.analyse.values import Bool, both, either, negate
from precedent.policy.analyse.walk import Way

GAP_LIMIT = 8


def open_parts(subject: Subject) -> Iterator[Finding]:
    """What wasn't translated, each at its place."""
    for part in subject.walk.opened:
        rule = part.rule.rule
        message = f"'{rule.name}': {part.why}: {rule.when[part.term.start : part.term.end]}"
        yield Finding("NOT_ANALYSABLE", "open", subject.action, message, (*rule.path, "when"), part.term.start)


def idle_rules(subject: Subject) -> Iterator[Finding]:
    """Rules that decide no request: because they never hold, or because others always come first."""
    for place, way in enumerate(subject.walk.rules):
        path = (*way.compiled.rule.path, "when")
        holding = subject.ask.ask(way.holds)
        if holding is Answer.NO:
            message = f"'{way.name}' never holds: no request that the facts' bounds admit makes its condition true"
            yield Finding("UNREACHABLE", "error", subject.action, message, path)
            continue
        deciding = subject.ask.ask(way.decides)
        if deciding is Answer.NO and holding is Answer.YES:
            yield _shadowed(subject, way, subject.walk.rules[:place])
        elif deciding is not Answer.YES:
            yield subject.open(path, f"whether '{way.name}' ever decides")


def _shadowed(subject: Subject, way: Way, before: Sequence[Way]) -> Finding:
    """The case is one that a covering rule decides, where there is one; where they only err, any that holds."""
    path = (*way.compiled.rule.path, "when")
    places = subject.ask.core([other.fails for other in before], way.holds)
    blamed = [before[place] for place in places] if places is not None else list(before)
    reply = subject.ask.find(way.holds, either(*(other.decides for other in blamed)))
    if reply.answer is not Answer.YES:
        reply = subject.ask.find(way.holds)
    if reply.answer is not Answer.YES:
        return subject.open(path, f"where '{way.name}' holds")
    earlier = {other.name for other in before}
    trial = subject.trial(reply.model, lambda held: held.result.rule in earlier and held.holds(way.compiled, subject.environment))
    if trial is None:
        return subject.open(path, f"whether '{way.name}' ever decides", is_answered=True)
    names = " and ".join(f"'{other.name}'" for other in blamed)
    cover = "which comes first, covers it" if len(blamed) == 1 else "which come first, cover it"
    return Finding("SHADOWED", "error", subject.action, f"'{way.name}' never decides: {names}, {cover}", path, cases=(trial.witness,))


def erring_rules(subject: Subject) -> Iterator[Finding]:
    """Rules that can err on a request that reaches them: a person decides those."""
    for way in subject.walk.rules:
        if way.errs is False:
            continue
        reckoned = _erring(subject, way, both(way.errs, way.there), "warning", "can err in its arithmetic")
        absent = None
        if way.there is not True:
            absent = _erring(subject, way, negate(way.there), "info", "errs where a feature has no value and no `missing`")
        yield from (finding for finding in (reckoned, absent) if finding is not None)


def _erring(subject: Subject, way: Way, when: Bool, severity: str, how: str) -> Finding | None:
    path = (*way.compiled.rule.path, "when")
    reply = subject.ask.find(way.reached, when)
    if reply.answer is Answer.NO:
        return None
    what = f"'{way.name}' {how}"
    if reply.answer is Answer.OPEN:
        return subject.open(path, f"whether {what}")
    trial = subject.trial(reply.model, lambda held: (held.result.rule, held.result.reasons[0].code) == (way.name, "RULE_ERROR"))
    if trial is None:
        return subject.open(path, f"whether {what}", is_answered=True)
    message = f"{what}, and a person decides: {trial.result.trace[-1].error}"
    return Finding("ERRS", severity, subject.action, message, path, cases=(trial.witness,))


def overlaps(subject: Subject) -> Iterator[Finding]:
    """Bands of different levels that hold together; the first wins. Where that is the wider one, it is a warning."""
    bands = [way for way in subject.walk.rules if way.compiled.rule.kind == "band"]
    for place, way in enumerate(bands):
        level = way.compiled.rule.level
        later = bands[place + 1 :]
        yield from _overlap(subject, way, [other for other in later if other.compiled.rule.level < level], "warning")
        yield from _overlap(subject, way, [other for other in later if other.compiled.rule.level > level], "info")


def _overlap(subject: Subject, way: Way, others: Sequence[Way], severity: str) -> Iterator[Finding]:
    """One finding for the band that wins over all of `others` that it meets; the case is one that also lies in the first of them."""
    path = (*way.compiled.rule.path, "when")
    met: list[Way] = []
    first: Reply | None = None
    while left := [other for other in others if other not in met]:
        reply = subject.ask.find(way.decides, either(*(other.holds for other in left)), like_usual=first is None)
        if reply.answer is Answer.OPEN:
            yield subject.open(path, f"what '{way.name}' overlaps")
        if reply.answer is not Answer.YES:
            break
        first = first or reply
        met += [other for other in left if reply.says(other.holds)] or left
    if first is None:
        return
    trial = subject.trial(first.model, lambda held: held.result.rule == way.name and held.holds(met[0].compiled, subject.environment))
    if trial is None:
        yield subject.open(path, f"what '{way.name}' overlaps", is_answered=True)
        return
    names = ", ".join(f"'{other.name}' (AL{other.compiled.rule.level})" for other in sorted(met, key=others.index))
    how = "comes first and acts with more authority than" if severity == "warning" else "wins, being narrower, over"
    message = f"'{way.name}' (AL{way.compiled.rule.level}) {how} {names}, where they hold too"
    region = subject.region(first.model, both(way.decides, met[0].holds))
    yield Finding("OVERLAP", severity, subject.action, message, path, region=region, cases=(trial.witness,))


def gaps(subject: Subject) -> Iterator[Finding]:
    """Where no guard and no band holds, so that `otherwise` decides: no mistake by itself, but worth seeing."""
    way, excluded = subject.walk.otherwise, list[Bool]()
    path, verdict = way.compiled.rule.path, way.compiled.rule.verdict
    while True:
        reply = subject.ask.find(way.reached, *excluded)
        if reply.answer is Answer.OPEN:
            yield subject.open(path, "where no rule holds")
        if reply.answer is not Answer.YES:
            return
        if len(excluded) == GAP_LIMIT:
            yield Finding("GAP", "info", subject.action, "no rule holds elsewhere either; more regions are not listed", path)
            return
        trial = subject.trial(reply.model, lambda held: held.result.rule == "otherwise")
        box = box_around(reply.model, way.reached, list(subject.atoms), subject.ask)
        if trial is None or box is None:
            yield subject.open(path, "where no rule holds", is_answered=trial is None)
            return
        region = box.words(subject.walk.compiled.scope)
        yield Finding(
            "GAP", "info", subject.action, f"no rule holds: `otherwise` says {verdict}", path, region=region, cases=(trial.witness,)
        )
        excluded.append(negate(box.condition))
