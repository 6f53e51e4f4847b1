"""Every error the core raises; each subclass is a fact with fields, and none knows a status code.

PrecedentError
├── SettingsInvalid            the process was configured in a way that can't work
├── InputRefused               the caller's text breaks its contract; nothing was written
│   ├── NotStrictJson          broken JSON, duplicate keys, NaN, too deep
│   ├── NotCanonical           a value outside the profile that the ledger stores
│   ├── PolicyInvalid          a document with problems, each with line and column
│   ├── FactsInvalid           facts or metrics that break the policy's contract
│   └── FieldInvalid           any other field of a request
├── NotFound                   what was named does not exist
│   ├── NodeNotFound, ActionNotFound, PolicyNotFound, ProposalNotFound, DecisionNotFound
│   ├── SubjectNotFound        nobody is known by that pseudonym or id, or was erased
│   └── HoldNotFound           no such legal hold stands
├── Forbidden                  known caller, missing right
│   ├── TokenUnknown           no token, or one that is unknown, expired or revoked
│   ├── ScopeMissing           the token lacks a scope or a node
│   └── SamePerson             who proposed a change, or asked for a decision, is not its second person
├── Conflict                   well-formed, but not now
│   ├── IdempotencyKeyReused   the key was used for another body
│   ├── EventIdReused          another event has the CloudEvent's source and id
│   ├── PolicyVersionExists    a published version never changes
│   ├── HeadMoved              decided under flags or policies that changed meanwhile, too often
│   ├── RequestErased          what was recorded under this Idempotency-Key was erased
│   ├── ErasureBarred          a legal hold or a rule of retention keeps the subject's data
│   ├── DigestMismatch         the answer is bound to another decision than the one it names
│   ├── NothingToReview        the decision asks nobody
│   ├── ReviewClosed           it was answered, or its deadline denied it
│   ├── ReviewOverdue          the time for this answer is over
│   ├── NothingToRecover       the database continues all that was signed and anchored
│   ├── JobRunning             the same partition is being computed
│   ├── ExportRefused          the folder, the range or the ledger is not fit for an export
│   └── ReplayRunning          one of the same token runs already
├── RateExceeded               more requests than the token may make; `after_seconds` says when there is room again
├── Unavailable                try again later; what was written is found again by the same Idempotency-Key
│   ├── DatabaseUnavailable
│   ├── DatabaseRefused        the database answers, and refuses what this version asks: rights or tables are missing
│   ├── QueueFull              the bounded append queue is full
│   ├── ProofPending           recorded, but no signed checkpoint covers it yet
│   ├── SignerUnavailable      the signer, a process of its own, does not answer
│   ├── PipelineUnavailable    Dagster, or a server of models, does not answer
│   └── BudgetSpent            a daily budget of model calls has no room for this one; what needed it goes on without
├── EmbeddingRefused           a vector of a wrong dimension, or one that is no point: NaN, infinite, all zero
├── SolverMissing              analysis needs the extra `analyse`
└── LedgerBroken               what is stored contradicts itself; never continue
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class PrecedentError(Exception):
    """Root of the tree. `code` is stable and part of the API."""

    code = "INTERNAL"


class SettingsInvalid(PrecedentError):
    code = "SETTINGS_INVALID"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: a stable code, a JSON pointer into what was sent, and words."""

    code: str
    pointer: str
    message: str


class InputRefused(PrecedentError):
    code = "INPUT_REFUSED"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class NotStrictJson(InputRefused):
    code = "NOT_JSON"


class NotCanonical(InputRefused):
    code = "NOT_CANONICAL"


class FieldInvalid(InputRefused):
    code = "FIELD_INVALID"


class FactsInvalid(InputRefused):
    code = "FACTS_INVALID"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a policy document. `line` and `column` are 1-based; `severity` is `error` or `warning`.

    `excerpt` is the line it stands in, and below it a mark under the column; `suggestion` says what to do.
    """

    code: str
    message: str
    file: str
    line: int
    column: int
    severity: str = "error"
    suggestion: str | None = None
    excerpt: str | None = None

    def __str__(self) -> str:
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code}: {self.message}{hint}"

    def quoted(self) -> str:
        """The problem as a line, and below it its excerpt, indented: how a terminal shows it."""
        return "\n    ".join([str(self), *(self.excerpt or "").split("\n")]).rstrip()


class PolicyInvalid(InputRefused):
    code = "POLICY_INVALID"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("couldn't accept the policy: " + "; ".join(str(problem) for problem in problems[:5]))
        self.problems = tuple(problems)


class NotFound(PrecedentError):
    code = "NOT_FOUND"


class NodeNotFound(NotFound):
    code = "NODE_NOT_FOUND"


class ActionNotFound(NotFound):
    code = "ACTION_NOT_FOUND"


class PolicyNotFound(NotFound):
    code = "POLICY_NOT_FOUND"


class ProposalNotFound(NotFound):
    code = "PROPOSAL_NOT_FOUND"


class DecisionNotFound(NotFound):
    code = "DECISION_NOT_FOUND"


class SubjectNotFound(NotFound):
    code = "SUBJECT_NOT_FOUND"


class HoldNotFound(NotFound):
    code = "HOLD_NOT_FOUND"


class Forbidden(PrecedentError):
    code = "FORBIDDEN"


class TokenUnknown(Forbidden):
    code = "TOKEN_UNKNOWN"


class ScopeMissing(Forbidden):
    code = "SCOPE_MISSING"


class SamePerson(Forbidden):
    code = "SAME_PERSON"


class Conflict(PrecedentError):
    code = "CONFLICT"


class IdempotencyKeyReused(Conflict):
    code = "IDEMPOTENCY_KEY_REUSED"


class EventIdReused(Conflict):
    code = "EVENT_ID_REUSED"


class PolicyVersionExists(Conflict):
    code = "POLICY_VERSION_EXISTS"


class HeadMoved(Conflict):
    code = "HEAD_MOVED"


class RequestErased(Conflict):
    code = "REQUEST_ERASED"


class ErasureBarred(Conflict):
    code = "ERASURE_BARRED"


class DigestMismatch(Conflict):
    code = "DIGEST_MISMATCH"


class NothingToReview(Conflict):
    code = "NOTHING_TO_REVIEW"


class ReviewClosed(Conflict):
    code = "REVIEW_CLOSED"


class ReviewOverdue(Conflict):
    code = "REVIEW_OVERDUE"


class NothingToRecover(Conflict):
    code = "NOTHING_TO_RECOVER"


class JobRunning(Conflict):
    """`run_id` and `page` are of the run that computes what was asked for, where it is known."""

    code = "JOB_RUNNING"

    def __init__(self, message: str, run_id: str | None = None, page: str | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.page = page


class ReplayRunning(Conflict):
    code = "REPLAY_RUNNING"


class ExportRefused(Conflict):
    code = "EXPORT_REFUSED"


class RateExceeded(PrecedentError):
    code = "RATE_EXCEEDED"

    def __init__(self, message: str, after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Unavailable(PrecedentError):
    code = "UNAVAILABLE"


class DatabaseUnavailable(Unavailable):
    code = "DATABASE_UNAVAILABLE"


class DatabaseRefused(Unavailable):
    code = "DATABASE_REFUSED"


class QueueFull(Unavailable):
    code = "QUEUE_FULL"


class ProofPending(Unavailable):
    code = "PROOF_PENDING"


class SignerUnavailable(Unavailable):
    code = "SIGNER_UNAVAILABLE"


class PipelineUnavailable(Unavailable):
    code = "PIPELINE_UNAVAILABLE"


class BudgetSpent(Unavailable):
    code = "BUDGET_SPENT"


class EmbeddingRefused(PrecedentError):
    code = "EMBEDDING_REFUSED"


class LedgerBroken(PrecedentError):
    code = "LEDGER_BROKEN"


class SolverMissing(PrecedentError):
    code = "SOLVER_MISSING"
