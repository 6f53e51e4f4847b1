"""Published policies: a version never changes, and what its file says now is compared with what was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from precedent.db.engine import API, connect
from precedent.errors import LedgerBroken, PolicyInvalid, PolicyVersionExists
from precedent.ledger.entry import Claimed, Draft
from precedent.ledger.idempotency import Claim
from precedent.ledger.store import chain_id_of
from precedent.policy import store
from precedent.policy.change import activate
from precedent.policy.compile import compile_policy
from precedent.policy.document import Document, load_document
from precedent.policy.lint import lint
from precedent.policy.recording import record_step, step_draft
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


@dataclass(frozen=True, slots=True)
class Compared:
    """A file and the version that its name and version mean in the registry; None where none is published."""

    file: str
    ref: str
    digest: str
    published_digest: str | None
    status: str | None

    @property
    def is_mismatch(self) -> bool:
        """Whether the file says something else than what was published under its name and decides."""
        return self.published_digest is not None and self.published_digest != self.digest


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
        known = connection.execute(store.VERSION, (chain_id, document.name, document.version)).fetchone()
        if known is None:
            return _publish_draft(document, principal)
        if known[1] != document.digest_hex:
            raise PolicyVersionExists(f"{document.ref} is published with another content: a changed rule is a new version")
        return None

    answer = record_step(url, settings, next_draft, claim)
    is_replay = isinstance(answer, Claimed)
    return Published(document.ref, document.node, tuple(document.actions), document.digest_hex, answer is not None, is_replay)


def publish_folder(url: str, settings: Settings, folder: Path, principal: str, and_activate: bool = True) -> list[Published]:
    """Publish every policy under `folder` (not the tests beside them), and activate each version that is new; where its node asks
    for a second person, that is proposed.

    A version that an operator superseded or withdrew stays so.

    Raises: PolicyInvalid; PolicyVersionExists where a file has another content than the version of its name that is published.
    """
    published = []
    for path in _documents(folder):
        one = publish(url, settings, path.read_text(), str(path), principal)
        if one.is_new and and_activate:
            activate(url, settings, one.ref, principal)
        published.append(one)
    return published


def check_folder(url: str, settings: Settings, folder: Path) -> list[Compared]:
    """Every policy under `folder` beside the version of its name that is published. Nothing is written.

    Raises: PolicyInvalid, DatabaseUnavailable.
    """
    documents = [load_document(path.read_text(), str(path)) for path in _documents(folder)]
    with connect(url, API) as connection:
        chain_id = chain_id_of(connection, settings.chain)
        rows = [connection.execute(store.VERSION, (chain_id, one.name, one.version)).fetchone() for one in documents]
    return [
        Compared(one.file, one.ref, one.digest_hex, row[1] if row else None, row[0] if row else None)
        for one, row in zip(documents, rows, strict=True)
    ]


def _documents(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*/*.yaml")) if not (path.name.endswith("_test.yaml") or path.parent.name.startswith("_"))]


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


def _publish_draft(document: Document, principal: str) -> Draft:
    core: dict[str, object] = {"op": "publish", "name": document.name, "version": document.version, "node": document.node}
    facts: dict[str, object] = {"source_text": document.source, "document": document.canonical}
    return step_draft(core | {"principal": principal, "digest": document.digest_hex}, facts)
