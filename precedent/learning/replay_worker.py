"""One process's worth of a replay: its job, the policies it compiled once, and the spans of entries it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from precedent.clock import to_instant
from precedent.db.engine import API, connect, with_options
from precedent.errors import LedgerBroken, PolicyInvalid
from precedent.learning import replay_store as store
from precedent.learning.candidate import Candidate, NotDecidable
from precedent.learning.flips import Tally
from precedent.learning.replay import Fault, Finding, Recorded, check, read_recorded, result_bytes
from precedent.policy.compile import CompiledPolicy, compile_policy
from precedent.policy.document import load_document

MAX_FINDINGS = 100
ALWAYS = (0, 2**53 - 1)


def reading(url: str) -> psycopg.Connection:
    """A connection that can't write, under the role of the API: a replay appends nothing, whatever it runs into."""
    return connect(with_options(url, default_transaction_read_only="on"), API)


@dataclass(frozen=True, slots=True)
class Window:
    """Which decisions: the last so many, or those of a time, from `from_us` to before `to_us` as they were decided; else all."""

    last: int | None = None
    from_us: int | None = None
    to_us: int | None = None

    @property
    def bounds_us(self) -> tuple[int, int]:
        first, last = ALWAYS
        return (first if self.from_us is None else self.from_us, last if self.to_us is None else self.to_us)

    def __str__(self) -> str:
        if self.last is not None:
            return f"the last {self.last:,}"
        if self.from_us is None and self.to_us is None:
            return "all"
        first = "" if self.from_us is None else f"from {to_instant(self.from_us)[:19]}Z "
        return f"{first}{'' if self.to_us is None else f'to {to_instant(self.to_us)[:19]}Z'}".strip()


@dataclass(frozen=True, slots=True)
class Source:
    """A policy's text and where it is from."""

    text: str
    name: str

    def compile(self) -> CompiledPolicy:
        """Raises: PolicyInvalid."""
        return compile_policy(load_document(self.text, self.name))


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs to know. Without a candidate, decisions are derived under their own policies and compared.

    With one, each is decided by it, and compared with what was recorded or, where there is one, with what `baseline` decides.
    """

    url: str
    chain_id: UUID
    candidate: Source | None
    baseline: Source | None
    window: Window
    limit: int


@dataclass(slots=True)
class Verified:
    """What came of deriving: counts by evaluator, and the first findings in order of seq."""

    read: int = 0
    equal: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    evaluators: dict[str, list[int]] = field(default_factory=dict)  # [compared, equal]
    findings: list[Finding] = field(default_factory=list)

    def note(self, evaluator: str | None, finding: Finding | None) -> None:
        self.read += 1
        self.equal += finding is None
        if evaluator is not None:
            counts = self.evaluators.setdefault(evaluator, [0, 0])
            counts[0] += 1
            counts[1] += finding is None
        if finding is not None:
            self.faults[finding.fault] = self.faults.get(finding.fault, 0) + 1
            if len(self.findings) < MAX_FINDINGS:
                self.findings.append(finding)

    def merge(self, other: Verified) -> None:
        self.read += other.read
        self.equal += other.equal
        for fault, count in other.faults.items():
            self.faults[fault] = self.faults.get(fault, 0) + count
        for evaluator, (compared, equal) in other.evaluators.items():
            counts = self.evaluators.setdefault(evaluator, [0, 0])
            counts[0] += compared
            counts[1] += equal
        self.findings = sorted(self.findings + other.findings, key=lambda one: one.seq)[:MAX_FINDINGS]


class Worker:
    """Verifies or compares spans; one a process."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.candidate = Candidate(job.candidate.compile()) if job.candidate else None
        self.baseline = Candidate(job.baseline.compile()) if job.baseline else None
        self._policies: dict[tuple[str, str], CompiledPolicy | str] = {}

    def policy_of(self, connection: psycopg.Connection, recorded: Recorded) -> CompiledPolicy | str:
        """The policy that the decision names, by its digest; else what is wrong with it."""
        key = (recorded.policy_ref, recorded.policy_digest)
        found = self._policies.get(key)
        if found is None:
            found = self._policies[key] = self._load(connection, *key)
        return found

    def _load(self, connection: psycopg.Connection, ref: str, digest: str) -> CompiledPolicy | str:
        sources = {name: text for name, _, text in store.read_sources(connection, self.job.chain_id, [digest])}
        if ref not in sources:
            return f"{ref} with the digest {digest[:12]}… is not published here"
        try:
            policy = Source(sources[ref], ref).compile()
        except PolicyInvalid as error:
            return f"{ref} can't be loaded any more: {error}"
        if policy.document.digest_hex != digest:
            return f"the stored text of {ref} has the digest {policy.document.digest_hex[:12]}…, the decision names {digest[:12]}…"
        return policy

    def verify_span(self, first: int, last: int) -> Verified:
        """Derive the decisions among entries `first` … `last` under their own policies."""
        found = Verified()
        window_from, window_to = map(to_instant, self.job.window.bounds_us)
        with reading(self.job.url) as connection, reading(self.job.url) as beside:
            for row in store.read_decisions(connection, self.job.chain_id, first, last):
                try:
                    recorded = read_recorded(*row)
                except LedgerBroken as broken:
                    found.note(None, Finding(row[0], str(UUID(bytes=row[1])), Fault.NOT_DERIVABLE, str(broken)))
                    continue
                if not window_from <= recorded.decided_at < window_to:
                    continue
                policy = self.policy_of(beside, recorded)
                if isinstance(policy, str):
                    found.note(recorded.evaluator, Finding(recorded.seq, recorded.entry_id, Fault.NOT_DERIVABLE, policy))
                else:
                    found.note(recorded.evaluator, check(policy, recorded))
        return found

    def compare_span(self, first: int, last: int) -> Tally:
        """Decide by the candidate what is among entries `first` … `last` and concerns it.

        Raises: LedgerBroken.
        """
        tally = Tally(self.job.limit)
        window_from, window_to = map(to_instant, self.job.window.bounds_us)
        with reading(self.job.url) as connection, reading(self.job.url) as beside:
            for row in store.read_decisions(connection, self.job.chain_id, first, last):
                recorded = read_recorded(*row)
                if self.candidate and self.candidate.concerns(recorded) and window_from <= recorded.decided_at < window_to:
                    _compare_one(tally, self.candidate, self.baseline, self.policy_of(beside, recorded), recorded)
        tally.trim()
        return tally


def _compare_one(tally: Tally, candidate: Candidate, baseline: Candidate | None, asked: CompiledPolicy | str, recorded: Recorded) -> None:
    tally.read += 1
    tally.evaluators[recorded.evaluator] += 1
    if isinstance(asked, str):
        tally.undecidable[asked] += 1
        return
    if baseline is not None and not baseline.concerns(recorded):
        tally.undecidable[f"{baseline.policy.document.ref} has no action {recorded.action}"] += 1
        return
    try:
        before = recorded.result if baseline is None else baseline.decide(asked, recorded)
        after = candidate.decide(asked, recorded)
    except NotDecidable as reason:
        tally.undecidable[str(reason)] += 1
        return
    is_same = result_bytes(before) == result_bytes(after)
    tally.compare(recorded, candidate.policy.document.actions[recorded.action], before, after, is_same)
