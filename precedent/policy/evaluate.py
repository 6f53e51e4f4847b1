"""The evaluator: a pure function of compiled policy, facts, features, moment and control.

Order: halted, not enabled, guards, bands, otherwise. A rule holds only where its value `is True`: the library returns
errors as values, and an error's value is a non-empty, hence truthy, string. A rule that errs escalates at once: neither
a later guard nor a wider band is asked, so that an error never ends in an approval. (`error && false` is false and
`error || true` is true in CEL, whichever way round: what the erring part would have said doesn't matter.) Every rule that was asked is in
the trace; those after the deciding one were not.

Authority: an approval uses the level of its band. Whatever doesn't approve uses none, level 0: a guard's denial, a
band above the grant (its level stands in the recommendation), an escalation.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from zoneinfo import ZoneInfo

from precedent.errors import ActionNotFound
from precedent.policy.compile import CompiledAction, CompiledPolicy, CompiledRule
from precedent.policy.nearest import Counterfactual, Landing, find_nearest
from precedent.policy.result import Control, Moment, Reason, Recommendation, Result, Step
from precedent.policy.thresholds import Value

EVALUATOR = f"precedent/2 cel-expr-python/{version('cel-expr-python')}"
ERROR_LIMIT_CHARS = 200
REASON_LIMIT = 6

__all__ = ["EVALUATOR", "Control", "Moment", "Reason", "Recommendation", "Result", "Step", "evaluate", "moment_of"]


def moment_of(at_us: int, time_zone: str) -> Moment:
    """The moment of an instant in a zone; derived once and recorded, so that replay needs no zone data.

    Raises: ZoneInfoNotFoundError
    """
    return Moment(at_us, *_local_minute(at_us // 1_000_000, time_zone))


@lru_cache(maxsize=1024)
def _local_minute(at_seconds: int, time_zone: str) -> tuple[int, int]:
    at = datetime.fromtimestamp(at_seconds, UTC).astimezone(ZoneInfo(time_zone))
    return at.isoweekday(), at.hour * 60 + at.minute


def evaluate(
    policy: CompiledPolicy,
    action: str,
    facts: Mapping[str, Value],
    features: Mapping[str, Value],
    moment: Moment,
    control: Control,
) -> Result:
    """The decision on typed, non-personal facts. Same arguments, same result, in every process.

    Raises: ActionNotFound
    """
    compiled = policy.actions.get(action)
    if compiled is None:
        raise ActionNotFound(f"policy {policy.document.ref} has no action '{action}'")
    if control.halted:
        return _ask(compiled, "halted", (Reason("HALTED", "decisions are halted: a person decides"),), ())
    if not control.enabled:
        return _refuse("not_enabled", (Reason("NOT_ENABLED", f"{action} is not enabled"),), (), None)
    values, fault = _bind(compiled, facts, features, moment)
    if fault is not None:
        return _ask(compiled, "facts", (Reason("RULE_ERROR", fault),), ())
    trace: list[Step] = []
    decider, error = _walk(compiled, values, trace)
    if error is not None:
        text = f"the rule '{decider.rule.name}' could not be evaluated: a person decides"
        return _ask(compiled, decider.rule.name, (Reason("RULE_ERROR", text),), tuple(trace))
    return _conclude(compiled, decider, values, tuple(trace), control)


def _bind(
    compiled: CompiledAction, facts: Mapping[str, Value], features: Mapping[str, Value], moment: Moment
) -> tuple[dict[str, Value], str | None]:
    """Every readable name with its value, or what is wrong with the facts.

    Types are checked here because the library takes True for the integer 1, and because a fact that no rule reads
    would otherwise go unnoticed. A feature of the wrong type counts as absent without its `missing`: reading it is an error.
    """
    values: dict[str, Value] = {"weekday": moment.weekday, "local_minute": moment.local_minute}
    taken = 0
    for name, full_name, kind, is_optional in compiled.inputs:
        value = facts.get(name)
        if type(value) is kind:
            values[full_name] = value  # type: ignore[assignment]
            taken += 1
        elif value is not None or not is_optional:
            return values, f"the fact {name} is {'missing' if value is None else 'of the wrong type'}: a person decides"
    if taken != len(facts):
        return values, "there is a fact that the policy doesn't name: a person decides"
    for name, full_name, kind, missing in compiled.features:
        held = features.get(name)
        if held is None:
            held = missing
        if type(held) is kind:
            values[full_name] = held  # type: ignore[assignment]
    return values, None


def _walk(compiled: CompiledAction, values: Mapping[str, Value], trace: list[Step]) -> tuple[CompiledRule, str | None]:
    """The rule that decides, and its error where it erred; every rule that was asked is in `trace` afterwards."""
    first = _first(compiled, values)
    if first is None:
        return _walk_singly(compiled, values, trace)
    read_by: dict[tuple[str, ...], dict[str, Value]] = {}
    for rule in compiled.rules[: first + 1]:
        if (read := read_by.get(rule.reads)) is None:
            read = read_by[rule.reads] = {name: values[name] for name in rule.reads}
        trace.append(Step(rule.rule.name, "not", read))
    if first == len(compiled.rules):
        return compiled.otherwise, None
    trace[-1] = trace[-1]._replace(held="held")
    return compiled.rules[first], None


def _first(compiled: CompiledAction, values: Mapping[str, Value]) -> int | None:
    """The place of the first rule that holds; None where one has no value to read, or errs."""
    try:
        read = {name: values[name] for name in compiled.reads}
    except KeyError:
        return None
    return compiled.chain.first(compiled.environment.Activation(read))


def _walk_singly(compiled: CompiledAction, values: Mapping[str, Value], trace: list[Step]) -> tuple[CompiledRule, str | None]:
    """As `_walk`, asking one rule at a time, which tells where an error is. One activation serves all: it costs more than a rule does."""
    activation = compiled.environment.Activation(values)
    for rule in compiled.rules:
        try:
            read = {name: values[name] for name in rule.reads}
            answer = rule.expression.eval(activation).value()
        except KeyError as missing:
            read, answer = {name: values[name] for name in rule.reads if name in values}, f"no value for {missing.args[0]}"
        except RuntimeError as error:
            answer = str(error)
        if answer is True or answer is False:
            trace.append(Step(rule.rule.name, "held" if answer else "not", read))
            if answer:
                return rule, None
            continue
        text = str(answer).encode("ascii", "backslashreplace").decode()[:ERROR_LIMIT_CHARS]
        trace.append(Step(rule.rule.name, "error", read, text))
        return rule, text
    return compiled.otherwise, None


def _conclude(
    compiled: CompiledAction, decider: CompiledRule, values: dict[str, Value], trace: tuple[Step, ...], control: Control
) -> Result:
    rule = decider.rule
    reason = Reason(decider.words.code, decider.words.fill(values, compiled.scope))
    if rule.kind != "band":
        change = _change(compiled, values, control, control.max_level)
        also = _shortfalls(compiled, compiled.bands, values) if rule.kind == "otherwise" else ()
        if rule.verdict == "deny":
            return _refuse(rule.name, (reason, *also), trace, change)
        return _ask(compiled, rule.name, (reason, *also), trace, decider, change)
    also = _shortfalls(compiled, compiled.bands[: len(trace) - len(compiled.guards) - 1], values)
    if rule.level > control.max_level:
        above = Reason("ABOVE_GRANT", f"AL{rule.level} is above the grant AL{control.max_level}: a person decides")
        advice = Recommendation("approve", rule.level, rule.name)
        change = _change(compiled, values, control, control.max_level)
        return _ask(compiled, rule.name, (above, reason, *also), trace, decider, change, advice)
    return _approve(compiled, decider, (reason, *also), trace, control, values)


def _approve(
    compiled: CompiledAction,
    decider: CompiledRule,
    reasons: tuple[Reason, ...],
    trace: tuple[Step, ...],
    control: Control,
    values: dict[str, Value],
) -> Result:
    """An approval at the band's level; at AL0 it is a recommendation, and a person must approve."""
    rule, fallback = decider.rule, compiled.otherwise.rule
    acts = rule.level >= 1
    return Result(
        verdict="approve",
        level=rule.level,
        rule=rule.name,
        reasons=reasons,
        trace=trace,
        effective=acts,
        requires_human=not acts,
        counterfactual=_change(compiled, values, control, rule.level - 1 if acts else control.max_level),
        recommendation=None if acts else Recommendation("approve", rule.level, rule.name),
        notify=rule.notify,
        reversible_seconds=rule.reversible_seconds,
        audit_ppm=rule.audit_ppm,
        review_to=None if acts else rule.to or fallback.to,
        within_seconds=None if acts else rule.within_seconds or fallback.within_seconds,
        on_timeout=None if acts else rule.on_timeout or fallback.on_timeout,
        band_numbers=decider.numbers,
    )


def _ask(
    compiled: CompiledAction,
    name: str,
    reasons: tuple[Reason, ...],
    trace: tuple[Step, ...],
    decider: CompiledRule | None = None,
    change: Counterfactual | None = None,
    advice: Recommendation | None = None,
) -> Result:
    """An escalation: to whom the deciding rule says, else to whom `otherwise` does."""
    rule, fallback = (decider or compiled.otherwise).rule, compiled.otherwise.rule
    return Result(
        verdict="escalate",
        level=0,
        rule=name,
        reasons=reasons,
        trace=trace,
        effective=False,
        requires_human=True,
        counterfactual=change,
        recommendation=advice,
        review_to=rule.to or fallback.to,
        within_seconds=rule.within_seconds or fallback.within_seconds,
        on_timeout=rule.on_timeout or fallback.on_timeout,
        band_numbers=decider.numbers if decider is not None and rule.kind == "band" else {},
    )


def _refuse(name: str, reasons: tuple[Reason, ...], trace: tuple[Step, ...], change: Counterfactual | None) -> Result:
    return Result("deny", 0, name, reasons, trace, effective=True, requires_human=False, counterfactual=change, band_numbers={})


def _shortfalls(compiled: CompiledAction, bands: tuple[CompiledRule, ...], values: Mapping[str, Value]) -> tuple[Reason, ...]:
    """Why narrower bands did not hold, the nearest (widest) first; a policy of 50 bands doesn't give 50 reasons."""
    return tuple(Reason(f"NOT_{band.rule.name.upper()}", band.shortfall.tell(values, compiled.scope)) for band in bands[:-REASON_LIMIT:-1])


def _change(compiled: CompiledAction, values: dict[str, Value], control: Control, top_level: int) -> Counterfactual | None:
    if top_level < 1 or not compiled.aims.aims:
        return None

    def land(changed: Mapping[str, Value]) -> Landing | None:
        return _land(compiled, changed, control.max_level)

    return find_nearest(compiled.aims, compiled.scope, values, top_level, land)


def _land(compiled: CompiledAction, values: Mapping[str, Value], max_level: int) -> Landing | None:
    """The band that would act on these values; as `_walk` decides, without the trace."""
    first = _first(compiled, values)
    if first is None or first == len(compiled.rules):
        return None
    rule = compiled.rules[first].rule
    return Landing(rule.name, rule.level) if rule.kind == "band" and 1 <= rule.level <= max_level else None
