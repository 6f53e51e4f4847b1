"""Published policies: a version never changes, activation makes it the one that its name means, and each step is an entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from precedent.clock import Clock, SystemClock
from precedent.db.engine import API, transaction
from precedent.errors import Conflict, HeadMoved, LedgerBroken, PolicyInvalid, PolicyNotFound, PolicyVersionExists
from precedent.ledger.entry import MAX_TRIES, Appended, Claimed, Draft, Kind, Section, Stale, draft_entry
from precedent.ledger.idempotency import Claim, claimed_by
from precedent.ledger.store import chain_id_of
from precedent.ledger.writer import append
from precedent.policy import store
from precedent.policy.compile import compile_policy
from precedent.policy.document import Document, load_document
from precedent.policy.lint import lint
from precedent.settings import Settings


@dataclass(frozen=True, slots=True)
class Published:
    """A version in the registry; `is_new` is false where the same bytes were published before, though not by this very request:
    then `is_replay` is true."""

    ref: str
    node: str
    actions: tuple[str, ...]
    digest: str
    is_new: bool
    is_replay: bool = False


def validate(text: str, file: str) -> Document:
    """The document, compiled and linted.

    Raises: PolicyInvalid with every problem.
    """
    document = load_document(text, file)
    compile_policy(document)
    errors = [problem for problem in lint(document) if problem.severity == "error"]
    if errors:
        raise PolicyInvalid(errors)
    return document


def publish(url: str, settings: Settings, text: str, file: str, principal: str, claim: Claim | None = None) -> Published:
    """Store a version for ever. It decides nothing until it is activated.

    Raises: PolicyInvalid; PolicyVersionExists where the version was published with another content; IdempotencyKeyReused;
    DatabaseUnavailable.
    """
    document = validate(text, file)

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        known = _version(connection, chain_id, document.name, document.version)
        if known is None:
            return _publish_draft(SystemClock(), document, principal)
        if known[1] != document.digest_hex:
            raise PolicyVersionExists(f"{document.ref} is published with another content: a changed rule is a new version")
        return None

    answer = _append(url, settings, next_draft, claim)
    is_replay = isinstance(answer, Claimed)
    return Published(document.ref, document.node, tuple(document.actions), document.digest_hex, answer is not None, is_replay)


def activate(url: str, settings: Settings, ref: str, principal: str, claim: Claim | None = None) -> Appended | Claimed | None:
    """Make a published version the one that its name means; None where it already is.

    Under a `claim` that is recorded too: sent again after another version was activated, the request must not undo that.
    `Claimed` where it was recorded before: then nothing was changed again.

    Raises: PolicyNotFound; Conflict where it was withdrawn, or another policy decides one of its actions; IdempotencyKeyReused;
    DatabaseUnavailable.
    """

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        name, version, (status, _, node, source) = _require_version(connection, chain_id, ref)
        if status == "active" and claim is None:
            return None
        if status == "withdrawn":
            raise Conflict(f"{ref} was withdrawn: publish a new version")
        actions = set(load_document(source, ref).actions)
        for other_name, other_version, other_source in connection.execute(store.ACTIVE_ELSEWHERE, (chain_id, node, name)).fetchall():
            shared = actions & set(load_document(other_source, other_name).actions)
            if shared:
                raise Conflict(f"{other_name}@{other_version} decides {', '.join(sorted(shared))} already: two policies for one action")
        return _step_draft(SystemClock(), "activate", name, version, node, principal)

    return _append(url, settings, next_draft, claim)


def withdraw(url: str, settings: Settings, ref: str, principal: str, claim: Claim | None = None) -> Appended | Claimed | None:
    """Take a version out of use for good: it decides nothing any more, and no pin reaches it. None where it was withdrawn already,
    `Claimed` where that was by this very request.

    Raises: PolicyNotFound, IdempotencyKeyReused, DatabaseUnavailable.
    """

    def next_draft(connection: psycopg.Connection, chain_id: UUID) -> Draft | None:
        name, version, (status, _, node, _) = _require_version(connection, chain_id, ref)
        return None if status == "withdrawn" else _step_draft(SystemClock(), "withdraw", name, version, node, principal)

    return _append(url, settings, next_draft, claim)


def publish_folder(url: str, settings: Settings, folder: Path, principal: str, and_activate: bool = True) -> list[Published]:
    """Publish every policy under `folder` (not the tests beside them), and activate each version that is new.

    A version that an operator superseded or withdrew stays so.
    """
    published = []
    for path in sorted(folder.glob("*/*.yaml")):
        if path.name.endswith("_test.yaml") or path.parent.name.startswith("_"):
            continue
        one = publish(url, settings, path.read_text(), str(path), principal)
        if one.is_new and and_activate:
            activate(url, settings, one.ref, principal)
        published.append(one)
    return published


def compile_active(rows: list[list[str]], known: Mapping[str, Any]) -> dict[str, Any]:
    """Compiled policies by reference of (name, version, status, digest, source) rows; `known` ones of the same digest are kept.

    Raises: LedgerBroken where a stored source has not the digest that was recorded.
    """
    compiled = {}
    for name, version, _, digest, source in rows:
        ref = f"{name}@{version}"
        policy = known.get(ref)
        if policy is None or policy.document.digest_hex != digest:
            policy = compile_policy(load_document(source, ref))
            if policy.document.digest_hex != digest:
                raise LedgerBroken(f"the stored text of {ref} has another digest than was recorded")
        compiled[ref] = policy
    return compiled


def _version(connection: psycopg.Connection, chain_id: UUID, name: str, version: str) -> tuple[Any, ...] | None:
    return connection.execute(store.VERSION, (chain_id, name, version)).fetchone()


def _require_version(connection: psycopg.Connection, chain_id: UUID, ref: str) -> tuple[str, str, tuple[Any, ...]]:
    name, _, version = ref.partition("@")
    row = _version(connection, chain_id, name, version)
    if row is None:
        raise PolicyNotFound(f"no policy {ref} is published")
    return name, version, row


def _publish_draft(clock: Clock, document: Document, principal: str) -> Draft:
    core = _step("publish", document.name, document.version, document.node, principal) | {"digest": document.digest_hex}
    facts = {"source_text": document.source, "document": document.canonical}
    return draft_entry(clock, Kind.POLICY, {Section.CORE: core, Section.FACTS: facts})


def _step_draft(clock: Clock, op: str, name: str, version: str, node: str, principal: str) -> Draft:
    return draft_entry(clock, Kind.POLICY, {Section.CORE: _step(op, name, version, node, principal)})


def _step(op: str, name: str, version: str, node: str, principal: str) -> dict[str, str]:
    return {"op": op, "name": name, "version": version, "node": node, "principal": principal}


def _append(
    url: str, settings: Settings, next_draft: Callable[[psycopg.Connection, UUID], Draft | None], claim: Claim | None
) -> Appended | Claimed | None:
    """Append what `next_draft` finds to do, unless `claim` was recorded before; None where that is nothing.

    The epoch is read before all else: where it still holds at the append, nothing of that has changed, and where it does not,
    everything is looked at again.

    Raises: what `next_draft` does; IdempotencyKeyReused, HeadMoved, DatabaseUnavailable.
    """
    for _ in range(MAX_TRIES):
        with transaction(url, API) as connection:
            chain_id = chain_id_of(connection, settings.chain)
            row = connection.execute(store.EPOCH, (chain_id,)).fetchone()
            claimed = claimed_by(connection, chain_id, claim)
            draft = None if claimed else next_draft(connection, chain_id)
            if draft is None:
                return claimed
            draft = replace(draft, epoch=row[0] if row else 0)
            if claim is not None:
                draft = replace(draft, claim=claim.claim, fingerprint=claim.fingerprint)
            (answer,) = append(connection, chain_id, [draft])
        if isinstance(answer, Appended):
            return answer
        if not isinstance(answer, Stale):
            raise LedgerBroken(f"a policy entry was answered with {answer}")
    raise HeadMoved(f"flags or policies changed {MAX_TRIES} times meanwhile")
