"""SQL of the rotation of epoch keys."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import psycopg

# Subject id, epoch, wrapped key.
KeyRow = tuple[UUID, str, bytes]

_UNDER_OTHERS = """
select subject_id, epoch_key, wrapped from ledger.subject_key where chain_id = %s and epoch_key <> %s order by subject_id limit %s
"""
_REWRAP = """
update ledger.subject_key k set epoch_key = %(epoch)s, wrapped = x.new
from unnest(%(subjects)s::uuid[], %(old)s::bytea[], %(new)s::bytea[]) x (subject_id, old, new)
where k.chain_id = %(chain)s and k.subject_id = x.subject_id and k.wrapped = x.old
"""


def chains(connection: psycopg.Connection) -> list[UUID]:
    return [chain_id for (chain_id,) in connection.execute("select id from ledger.chain order by name")]


def has_had_subjects(connection: psycopg.Connection) -> bool:
    """Whether any subject's key was ever wrapped here."""
    query = "select exists (select 1 from ledger.subject_key) or exists (select 1 from precedent.erasures)"
    return connection.execute(query).fetchone() == (True,)


def keys_under_others(connection: psycopg.Connection, chain_id: UUID, epoch: str, limit: int) -> list[KeyRow]:
    """Keys of living subjects that are wrapped under another epoch."""
    return connection.execute(_UNDER_OTHERS, (chain_id, epoch, limit)).fetchall()


def destroyed_epochs(connection: psycopg.Connection, chain_id: UUID) -> set[str]:
    """Epochs whose end the chain has recorded."""
    query = "select epoch from precedent.key_epochs where chain_id = %s and destroyed_seq is not null"
    return {epoch for (epoch,) in connection.execute(query, (chain_id,))}


def rewrap(connection: psycopg.Connection, chain_id: UUID, epoch: str, rows: Sequence[KeyRow], wrapped: Sequence[bytes]) -> int:
    """Put `wrapped`, under `epoch`, in the place of what `rows` say; how many were still so."""
    parameters = {
        "chain": chain_id,
        "epoch": epoch,
        "subjects": [subject_id for subject_id, _, _ in rows],
        "old": [old for _, _, old in rows],
        "new": list(wrapped),
    }
    return connection.execute(_REWRAP, parameters).rowcount
