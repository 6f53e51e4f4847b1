"""Who may put a version to work: activated, rolled back, deactivated, withdrawn, and by how many people. Each step is an entry.

What gives authority needs a second person where the node asks for one: the first proposes, somebody else approves. What takes
authority away never waits. Every check is made under the epoch that the entry is appended under: of two answers to a proposal,
or an answer and a change of what was proposed, one finds the other recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from precedent.errors import Conflict, Fault, FieldInvalid, PolicyNotFound, ProposalNotFound, SamePerson
from precedent.ledger.entry import Draft
from precedent.ledger.idempotency import Claim
from precedent.policy import store
from precedent.policy.document import load_document
from precedent.policy.recording import Recorded, record_step, step_draft
from precedent.settings import Settings

REASON_LIMIT_CHARS = 500
NODE = re.compile(r"[a-z][a-z0-9_]{0,63}")  # as in policies/_schemas/policy.v1.json


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one person asks for and another answers; `op` is `activate`, or `relax` for a node that shall ask for one person alone.

    `replaces` was active when it was proposed. A step of the same policy (or of the node's setting) meanwhile makes it `lapsed`:
    nobody approves what has become another change.
    """

    id: UUID
    node: str
    op: str
    name: str | None
    version: str | None
    replaces: str | None
    status: str
    reason: str | None
    proposed_by: str
    proposed_at: datetime
    closed_by: str | None
    closed_at: datetime | None
    closing_reason: str | None

    @property
    def ref(self) -> str | None:
        return None if self.name is None else f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class _Version:
    """A published version as the registry has it."""

    name: str
    version: str
    status: str
    node: str
    source: str

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


def activate(url: str, settings: Settings, ref: str, principal: str, claim: Claim | None = None, reason: str | None = None) -> Recorded:
    """Make a published version the one that its name means, or propose it where the node asks for a second person; None where it
    is active already.

    Under a `claim` that is recorded too: sent again after another version was activated, the request must not undo that.
    `Claimed` where it was recorded before: then nothing was changed again.

    Raises: PolicyNotFound; Conflict where it was withdrawn, is proposed already, or another policy decides one of its actions;
    IdempotencyKeyReused; DatabaseUnavailable.
    """
    _require_reason(reason)

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        held = _require_version(connection, chain_id, ref)
        if held.status == "active" and claim is None:
            return None
        return _activation(connection, chain_id, held, principal, {"reason": reason})

    return record_step(url, settings, next_draft, claim)


def roll_back(url: str, settings: Settings, name: str, principal: str, claim: Claim | None = None, reason: str | None = None) -> Recorded:
    """Activate the version of `name` that was active before, as `activate` does.

    Raises: Conflict where none was; what `activate` raises.
    """
    _require_reason(reason)

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        row = connection.execute(store.ACTIVE_BEFORE, (chain_id, name)).fetchone()
        if row is None:
            raise Conflict(f"no earlier version of {name} was active and can be again")
        active = connection.execute(store.ACTIVE_VERSION, (chain_id, name)).fetchone()
        held = _require_version(connection, chain_id, f"{name}@{row[0]}")
        return _activation(
            connection, chain_id, held, principal, {"reason": reason, "rolls_back": f"{name}@{active[0]}" if active else None}
        )

    return record_step(url, settings, next_draft, claim)


def deactivate(url: str, settings: Settings, ref: str, principal: str, claim: Claim | None = None, reason: str | None = None) -> Recorded:
    """The policy decides nothing until a version of it is activated again, and no pin reaches this one. None where it is so already.

    Raises: PolicyNotFound; Conflict where the version is not active; IdempotencyKeyReused; DatabaseUnavailable.
    """
    _require_reason(reason)

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        held = _require_version(connection, chain_id, ref)
        if held.status == "deactivated":
            return None
        if held.status != "active":
            raise Conflict(f"{ref} is not active: it is {held.status}")
        return _step("deactivate", held, principal, {"reason": reason})

    return record_step(url, settings, next_draft, claim)


def withdraw(url: str, settings: Settings, ref: str, principal: str, claim: Claim | None = None, reason: str | None = None) -> Recorded:
    """Take a version out of use for good: it decides nothing any more, and no pin reaches it. None where it was withdrawn already,
    `Claimed` where that was by this very request.

    Raises: PolicyNotFound, IdempotencyKeyReused, DatabaseUnavailable.
    """
    _require_reason(reason)

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        held = _require_version(connection, chain_id, ref)
        return None if held.status == "withdrawn" else _step("withdraw", held, principal, {"reason": reason})

    return record_step(url, settings, next_draft, claim)


def set_second_person(
    url: str, settings: Settings, node: str, is_needed: bool, reason: str, principal: str, claim: Claim | None = None
) -> Recorded:
    """Whether activations of the node's policies need a second person. Asking for one takes effect at once; asking for none where
    one is needed is itself a proposal. None where it is so already.

    Raises: FieldInvalid; Conflict where that is proposed already; IdempotencyKeyReused; DatabaseUnavailable.
    """
    if not NODE.fullmatch(node):
        raise _invalid("node", f"'{node[:64]}' names no node: a name has lower-case letters, digits and _")
    if not reason.strip():
        raise _invalid("reason", "a change of the rule needs a reason")
    _require_reason(reason)

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        if _needs_second(connection, chain_id, node) == is_needed:
            return None
        core: dict[str, object] = {"op": "require" if is_needed else "propose", "node": node, "principal": principal, "reason": reason}
        if is_needed:
            return step_draft(core)
        _refuse_open(connection, chain_id, "relax", node, None, None)
        return step_draft(core | {"proposes": "relax"})

    return record_step(url, settings, next_draft, claim)


def approve(url: str, settings: Settings, proposal_id: UUID, principal: str, claim: Claim | None = None) -> Recorded:
    """Do what was proposed, as the second person.

    Raises: ProposalNotFound; SamePerson; Conflict where it was answered or has lapsed, or what `activate` refuses;
    IdempotencyKeyReused; DatabaseUnavailable.
    """

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        proposal = _require_open(connection, chain_id, proposal_id)
        if proposal.proposed_by == principal:
            raise SamePerson(f"{principal} proposed this: somebody else approves it")
        answer: dict[str, object] = {"proposal": str(proposal.id), "proposed_by": proposal.proposed_by}
        if proposal.op == "relax":
            return step_draft({**answer, "op": "relax", "node": proposal.node, "principal": principal, "reason": proposal.reason})
        held = _require_version(connection, chain_id, str(proposal.ref))
        _refuse_activation(connection, chain_id, held)
        return _step("activate", held, principal, {"reason": proposal.reason} | answer)

    return record_step(url, settings, next_draft, claim)


def reject(url: str, settings: Settings, proposal_id: UUID, reason: str, principal: str, claim: Claim | None = None) -> Recorded:
    """Close a proposal without doing it; who made it may take it back so.

    Raises: ProposalNotFound; FieldInvalid; Conflict where it was answered or has lapsed; IdempotencyKeyReused; DatabaseUnavailable.
    """
    if not reason.strip():
        raise _invalid("reason", "a rejection needs a reason")
    _require_reason(reason)

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        proposal = _require_open(connection, chain_id, proposal_id)
        core: dict[str, object] = {
            "op": "reject",
            "node": proposal.node,
            "principal": principal,
            "proposal": str(proposal.id),
            "reason": reason,
        }
        return step_draft(core | {"name": proposal.name, "version": proposal.version})

    return record_step(url, settings, next_draft, claim)


def find_proposal(connection: psycopg.Connection[Any], chain_id: UUID, proposal_id: UUID) -> Proposal | None:
    """Also of the id of any other entry: then there is none."""
    with connection.cursor(row_factory=class_row(Proposal)) as cursor:
        return cursor.execute(store.PROPOSAL, (chain_id, proposal_id)).fetchone()


def _activation(connection: psycopg.Connection, chain_id: UUID, held: _Version, principal: str, more: Mapping[str, object]) -> Draft | None:
    """The entry that activates, or that proposes it; None where there is nothing to propose."""
    _refuse_activation(connection, chain_id, held)
    if not _needs_second(connection, chain_id, held.node):
        return _step("activate", held, principal, more)
    if held.status == "active":
        return None
    _refuse_open(connection, chain_id, "activate", held.node, held.name, held.version)
    active = connection.execute(store.ACTIVE_VERSION, (chain_id, held.name)).fetchone()
    replaces = f"{held.name}@{active[0]}" if active else None
    return _step("propose", held, principal, {**more, "proposes": "activate", "replaces": replaces})


def _refuse_activation(connection: psycopg.Connection, chain_id: UUID, held: _Version) -> None:
    """Raises: Conflict."""
    if held.status == "withdrawn":
        raise Conflict(f"{held.ref} was withdrawn: publish a new version")
    actions = set(load_document(held.source, held.ref).actions)
    for name, version, source in connection.execute(store.ACTIVE_ELSEWHERE, (chain_id, held.node, held.name)).fetchall():
        shared = actions & set(load_document(source, name).actions)
        if shared:
            raise Conflict(f"{name}@{version} decides {', '.join(sorted(shared))} already: two policies for one action")


def _require_version(connection: psycopg.Connection, chain_id: UUID, ref: str) -> _Version:
    name, _, version = ref.partition("@")
    row = connection.execute(store.VERSION, (chain_id, name, version)).fetchone()
    if row is None:
        named = "" if version else "; name its version too: NAME@1.0.0"
        raise PolicyNotFound(f"no policy {ref} is published{named}")
    status, _, node, source = row
    return _Version(name, version, status, node, source)


def _require_open(connection: psycopg.Connection, chain_id: UUID, proposal_id: UUID) -> Proposal:
    proposal = find_proposal(connection, chain_id, proposal_id)
    if proposal is None:
        raise ProposalNotFound(f"no proposal has the id {proposal_id}")
    if proposal.status != "open":
        raise Conflict(f"the proposal {proposal_id} is not open: it is {proposal.status}")
    return proposal


def _refuse_open(connection: psycopg.Connection, chain_id: UUID, op: str, node: str, name: str | None, version: str | None) -> None:
    row = connection.execute(store.OPEN_PROPOSAL, (chain_id, op, node, name, version)).fetchone()
    if row is not None:
        raise Conflict(f"that is proposed already, by {row[1]}: {row[0]}")


def _needs_second(connection: psycopg.Connection, chain_id: UUID, node: str) -> bool:
    row = connection.execute(store.SECOND_PERSON, (chain_id, node)).fetchone()
    return row is not None and bool(row[0])


def _step(op: str, held: _Version, principal: str, more: Mapping[str, object]) -> Draft:
    said = {name: value for name, value in more.items() if value is not None}
    return step_draft({"op": op, "name": held.name, "version": held.version, "node": held.node, "principal": principal} | said)


def _require_reason(reason: str | None) -> None:
    if reason is not None and len(reason) > REASON_LIMIT_CHARS:
        raise _invalid("reason", f"a reason has up to {REASON_LIMIT_CHARS} characters")


def _invalid(member: str, message: str) -> FieldInvalid:
    return FieldInvalid(message, [Fault("FIELD_INVALID", f"/{member}", message)])
