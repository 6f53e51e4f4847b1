"""What the bench says: one Markdown text, the same on the terminal and in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.analysis import RULES
from tests.bench.appends import PRODUCERS, ROW_LOCK, AppendRow
from tests.bench.endpoint import NOOP, PLAIN, WITH_KEY, EndpointRow
from tests.bench.exports import ExportFigures
from tests.bench.records import DECISIONS, EVENTS
from tests.bench.replay import Replayed
from tests.bench.singles import LOG_CASES, Verified
from tests.bench.tree import TreeFigures

BUSY = (
    "**The machine was not quiet when this began: others used its cores. Rates are lower than they would be alone, and so are ratios "
    "of what needs several processes at once, such as the decision endpoint. Processor times are the steadiest figures here.**"
)
NOTES = f"""\
- *Endpoint*: `POST /decisions/finance`, 8 % off at 31 % margin, each answer a durable decision of its own; PostgreSQL is the embedded \
one with its durable settings. The no-op takes and gives the same models in the same uvicorn and records nothing. With a customer: \
50 of them in turn, whose personal facts are encrypted and whose features are looked up; with a key: each request has an Idempotency-Key \
of its own. CPU is by request, of the API's process and \
of all of PostgreSQL's; the client takes its share of the same cores.
- *Appends*: the Writer with {PRODUCERS} producers a process, each waiting for its answer; a record has 1.5 KB in all its sections and \
gets its projection. The row lock keeps one row a record and counts in its best number of connections. Both start from bytes that are \
made; drafting is told apart. p50 and p99 are of a commit; CPU is by entry.
- *Export*: of records of 1.5 KB in two or three sections, half of them decisions, planted with their hashes and integrated. \
Verification is by second of processor time of one process, sections included, start included for verify.py.
- *Rounds*: each thing once, then each once more. Figures are medians over the rounds, a ratio is the median of each round's own.
- *Policies*: 20 rules over 30 facts from a dict of raw facts to verdict, trace, reasons and nearest change, every rule asked, the \
dearer of an approval and an escalation; 50 rules from text to type-checked rules. Both are the best of 9 rounds.
- *Replay*: of the endpoint's newest decisions, by one process: planned, read, derived and compared. By core is by second \
of that process's own time; by the clock it waits for its backend, too.
- *Tree*: entries are put there past the append, integrated in one go, and proofs asked for one after the other, each at a place of its \
own; then an event is appended every 5 ms while the integrator runs, and timed from its answer to its proof.
- *Import*: of the first cases of the log, the command's own start included, and from that to all of them."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A number to reach; `at_least` says from which side."""

    what: str
    found: float
    wanted: float
    unit: str = ""
    at_least: bool = True

    @property
    def is_met(self) -> bool:
        """Never of NaN."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted

    def cells(self) -> list[str]:
        sign = "≥" if self.at_least else "≤"
        return [
            self.what,
            f"{sign} {_number(self.wanted)}{self.unit}",
            f"{_number(self.found)}{self.unit}",
            "yes" if self.is_met else "**no**",
        ]


@dataclass(frozen=True, slots=True)
class Part:
    """What one measurement adds: numbers to reach, rows of (what, found), and how it was measured, as one item of a list."""

    goals: Sequence[Goal]
    rows: Sequence[list[str]]
    note: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was measured; `import_per_second` is None where the real log is absent."""

    machine: dict[str, str]
    is_quiet: bool
    rounds: str
    endpoints: Sequence[EndpointRow]
    appends: Sequence[AppendRow]
    verified: Verified
    exported: ExportFigures
    api_start_mb: float
    api_mb: float
    approve_us: float
    escalate_us: float
    twenty_rules_us: float
    fifty_rules_ms: float
    import_per_second: float | None
    analysis_seconds: float
    replayed: Replayed
    tree: TreeFigures
    parts: Sequence[Part] = ()


def goals_of(findings: Findings) -> list[Goal]:
    """The numbers to reach, beside what was found; the ledger's appends in their better number of processes."""
    decision = {row.connections: row for row in findings.endpoints if row.endpoint == PLAIN}
    with_key = {row.connections: row for row in findings.endpoints if row.endpoint == WITH_KEY}
    goals = [
        Goal("decision endpoint of the no-op, 64 connections", decision[64].of_noop, 0.45),
        Goal("the same with customer, features and key", with_key[64].of_noop, 0.45),
        Goal("decision endpoint, p50 at one connection", decision[1].p50_ms, 3, " ms", at_least=False),
    ]
    for kind in (DECISIONS, EVENTS):
        rows = [row for row in findings.appends if row.what == kind]
        goals.append(Goal(f"appends of {kind}, of the row lock's", max(row.of_row_lock for row in rows), 12, " ×"))
        goals.append(Goal(f"appends of {kind}", max(row.per_second for row in rows), 20_000, "/s"))
    exported = findings.exported
    goals.append(Goal("verification of an export, a second and core", exported.verify_per_second, 70_000, " entries"))
    goals.append(Goal("verification by verify.py, a second and core", exported.standalone_per_second, 40_000, " entries"))
    goals.append(Goal(f"memory of an export of {exported.entries:,} entries", exported.export_peak_mb, 300, " MB", at_least=False))
    goals.append(Goal("memory of the API after the load", findings.api_mb, 200, " MB", at_least=False))
    goals.append(Goal("20 rules over 30 facts, dict to verdict with trace", findings.twenty_rules_us, 80, " µs", at_least=False))
    goals.append(Goal("load and type-check of a policy of 50 rules", findings.fifty_rules_ms, 50, " ms", at_least=False))
    if findings.import_per_second is not None:
        goals.append(
            Goal(f"import of {LOG_CASES:,} cases, from a part of them", LOG_CASES / findings.import_per_second, 90, " s", at_least=False)
        )
    replayed = findings.replayed
    goals.append(Goal("decisions derived again, a second and core", replayed.verified_per_cpu_second, 15_000, "/s"))
    goals.append(Goal("decisions by another policy, a second and core", replayed.compared_per_cpu_second, 15_000, "/s"))
    tree = findings.tree
    goals.append(Goal("entries into the tree, a second", tree.leaves_per_second, 500_000, "/s"))
    goals.append(Goal(f"proof among {tree.entries:,} entries, p99", tree.proof_p99_ms, 5, " ms", at_least=False))
    goals.append(Goal("until a checkpoint covers an entry, p99", tree.cover_p99_ms, 1000, " ms", at_least=False))
    goals.append(Goal(f"analysis of a policy of {RULES} rules", findings.analysis_seconds, 10, " s", at_least=False))
    return [*goals, *(goal for part in findings.parts for goal in part.goals)]


def render(findings: Findings) -> str:
    goals = goals_of(findings)
    missed = sum(not goal.is_met for goal in goals)
    verdict = "Every number wanted was reached." if not missed else f"**{missed} of {len(goals)} numbers wanted were not reached.**"
    parts = [
        "# Benchmarks",
        f"Written by `make bench` on one machine in one run: {findings.rounds}.",
        *([] if findings.is_quiet else [BUSY]),
        table(["machine", ""], [list(pair) for pair in findings.machine.items()]),
        "## Wanted and found",
        verdict,
        table(["number", "wanted", "found", "reached"], [goal.cells() for goal in goals]),
        "## Decision endpoint",
        _endpoints(findings.endpoints),
        "## Durable appends",
        _appends(findings.appends),
        "## Single numbers",
        _singles(findings),
        "## How it was measured",
        "\n".join([NOTES, *(f"- {part.note}" for part in findings.parts)]),
    ]
    return "\n\n".join(parts) + "\n"


def _endpoints(rows: Sequence[EndpointRow]) -> str:
    head = ["endpoint", "connections", "requests/s", "of the no-op", "p50 ms", "p95 ms", "p99 ms", "API CPU µs", "PostgreSQL CPU µs"]
    return table(
        head,
        [
            [
                row.endpoint,
                str(row.connections),
                _number(row.per_second),
                "1" if row.endpoint == NOOP else f"{row.of_noop:.2f}",
                *(f"{value:.2f}" for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
                f"{row.api_cpu_us:.0f}",
                "" if row.endpoint == NOOP else f"{row.postgres_cpu_us:.0f}",
            ]
            for row in rows
        ],
    )


def _appends(rows: Sequence[AppendRow]) -> str:
    head = ["what", "at once", "entries/s", "× row lock", "entries a commit", "p50 ms", "p99 ms", "Python CPU µs", "PostgreSQL CPU µs"]
    return table(
        head,
        [
            [
                row.what,
                _count(row.at_once, "connection" if row.what == ROW_LOCK else "process"),
                _number(row.per_second),
                f"{row.of_row_lock:.1f}",
                f"{row.step_entries:.0f}",
                f"{row.step_p50_ms:.2f}",
                f"{row.step_p99_ms:.2f}",
                f"{row.python_cpu_us:.0f}",
                f"{row.postgres_cpu_us:.0f}",
            ]
            for row in rows
        ],
    )


def _singles(findings: Findings) -> str:
    verified, exported = findings.verified, findings.exported
    state = "intact" if verified.is_intact else "**NOT INTACT**"
    rows = [
        ["verification of entries by their bytes, one process", f"{_number(verified.entries_per_second)} entries/s"],
        ["verification of projections, one process", f"{_number(verified.projections_per_second)} rows/s"],
        ["the chain that was verified", f"{verified.entries:,} entries, {state}"],
        ["export, one process", f"{_number(exported.export_per_second)} entries/s, {exported.folder_mb:.0f} MB"],
        ["the export that was verified", f"{exported.entries:,} entries, {'intact' if exported.is_intact else '**NOT INTACT**'}"],
        ["memory of its verification", f"{exported.verify_peak_mb:.0f} MB"],
        *([f"drafting one of the {kind}, CPU", f"{_draft_us(findings.appends, kind):.0f} µs"] for kind in (DECISIONS, EVENTS)),
        ["memory of the API, before and after the load", f"{findings.api_start_mb:.0f} MB, {findings.api_mb:.0f} MB"],
        ["one evaluation of the finance policy, an approval", f"{findings.approve_us:.0f} µs"],
        ["one evaluation of the finance policy, an escalation", f"{findings.escalate_us:.0f} µs"],
    ]
    rows += _replays(findings.replayed)
    rows += _tree(findings.tree)
    if findings.import_per_second is not None:
        rows.append(["import of loan applications, start included", f"{_number(findings.import_per_second)} cases/s"])
    return table(["what", "found"], [*rows, *(row for part in findings.parts for row in part.rows)])


def _replays(replayed: Replayed) -> list[list[str]]:
    state = "each byte for byte" if replayed.is_equal else "**NOT ALL EQUAL**"
    return [
        ["decisions derived again, one process", f"{_number(replayed.verified_per_second)}/s by the clock"],
        ["decisions by another policy, one process", f"{_number(replayed.compared_per_second)}/s by the clock"],
        ["the decisions that were derived again", f"{replayed.decisions:,}, {state}"],
    ]


def _tree(tree: TreeFigures) -> list[list[str]]:
    return [
        ["entries into the tree, one process, a second of its processor time", f"{_number(tree.leaves_per_cpu_second)}/s"],
        [f"the tree of {tree.entries:,} entries taken up again at a start", f"{_number(tree.restart_ms)} ms"],
        ["a proof, p50", f"{_number(tree.proof_p50_ms)} ms"],
        ["from the answer to the proof, p50", f"{_number(tree.cover_p50_ms)} ms"],
    ]


def _draft_us(rows: Sequence[AppendRow], kind: str) -> float:
    return min(row.draft_us for row in rows if row.what == kind)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand under each other in a terminal too."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines)


def _count(number: int, noun: str) -> str:
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{ending}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
