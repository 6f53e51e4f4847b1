"""The rotation of epoch keys: living subjects' keys come under a new one, the old one is destroyed, and backups go dark.

The order is the argument. A new key is durable before anything is wrapped under it. Each page of keys is wrapped anew in one
transaction with a `key` entry that says how many. Once the first such entry stands, the append takes no subject's key under an
older epoch, from a process that has not heard of the new one either; so the rest only shrinks. The last entry names the epochs
that nothing living needs, and only after its commit their keys are destroyed.

If we crash after the key was made, or between two pages: both keys are there, everything can be unwrapped, and the next run goes on.
If we crash after the last commit: nothing needs the old key, and the next run destroys it. It is never destroyed before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

import psycopg

from precedent.clock import Clock, to_instant
from precedent.db.engine import ERASER, OWNER, connect
from precedent.errors import LedgerBroken, SettingsInvalid
from precedent.ledger import rotate_epoch_store
from precedent.ledger.entry import Appended, Kind, Section, draft_entry
from precedent.ledger.epoch_keys import EpochKeys
from precedent.ledger.projection_store import lock_chain
from precedent.ledger.writer import append

# Appends wait while a page is wrapped: some 0.5 s.
PAGE_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: how many keys came under `epoch`, and which epochs were destroyed."""

    epoch: str
    rewrapped: int
    destroyed: tuple[str, ...]


def is_due(url: str, epochs: EpochKeys, clock: Clock) -> bool:
    """Whether a rotation would do something: the month is another than the newest key's, or a rotation was interrupted.

    Raises: DatabaseUnavailable, SettingsInvalid.
    """
    epochs.refresh()
    names = epochs.names()
    if len(names) == 1 and _target(names, to_instant(clock.now_us())[:7], again=False) == names[0]:
        return False
    with connect(url, ERASER, autocommit=True) as connection:
        return rotate_epoch_store.has_had_subjects(connection)


def rotate_epoch(url: str, epochs: EpochKeys, principal: str, clock: Clock, *, again: bool = False) -> Rotated:
    """Have all living subjects' keys, of every chain, under the epoch of this month, and no older key left.

    Where that is so already, nothing happens, unless `again` asks for another epoch within the month. An interrupted rotation is
    finished first, and counts as this one. Where nothing was ever wrapped, in a database that is not the one these keys belong to
    for example, no key is destroyed.

    Raises: DatabaseUnavailable; SettingsInvalid where keys are neither made nor destroyed here (what had to be wrapped is);
    LedgerBroken where a key can't be unwrapped: nothing is destroyed then.
    """
    epochs.refresh()
    is_interrupted = len(epochs.names()) > 1
    target = _target(epochs.names(), to_instant(clock.now_us())[:7], again=again and not is_interrupted)
    with connect(url, OWNER, autocommit=True) as connection:
        if not rotate_epoch_store.has_had_subjects(connection):
            return Rotated(epochs.names()[-1], 0, ())
        if target not in epochs.names():
            epochs.create(target)
        old = tuple(name for name in epochs.names() if name != target)
        chains = rotate_epoch_store.chains(connection)
        rewrapped = sum(_rotate_chain(connection, chain_id, epochs, target, old, principal, clock) for chain_id in chains)
        _require_none_left(connection, target, old)
    for name in old:
        epochs.destroy(name)
    return Rotated(target, rewrapped, old)


def _require_none_left(connection: psycopg.Connection, target: str, old: tuple[str, ...]) -> None:
    for chain_id in rotate_epoch_store.chains(connection):
        if rotate_epoch_store.keys_under_others(connection, chain_id, target, 1):
            raise LedgerBroken(f"couldn't end {', '.join(old)}: keys are still wrapped under it in chain {chain_id}; nothing was destroyed")


def _target(names: list[str], month: str, *, again: bool) -> str:
    """The newest epoch where it is of this month, or later by another's clock; else this month's."""
    newest, wanted = names[-1], f"epoch-{month}"
    if newest < wanted:
        return wanted
    if not again:
        return newest
    base, number = re.fullmatch(r"(epoch-\d{4}-\d{2})(?:-(\d{2}))?", newest).groups()  # type: ignore[union-attr]
    if number == "99":
        raise SettingsInvalid(f"couldn't make another epoch in {base}: it has a hundred")
    return f"{base}-{int(number or 0) + 1:02d}"


def _rotate_chain(
    connection: psycopg.Connection, chain_id: UUID, epochs: EpochKeys, target: str, old: tuple[str, ...], principal: str, clock: Clock
) -> int:
    total = 0
    while True:
        with connection.transaction():
            lock_chain(connection, chain_id)
            rows = rotate_epoch_store.keys_under_others(connection, chain_id, target, PAGE_KEYS)
            is_last = len(rows) < PAGE_KEYS
            ended = sorted(set(old) - rotate_epoch_store.destroyed_epochs(connection, chain_id)) if is_last else []
            if not rows and not ended:
                return total
            core = {"op": "rotate_epoch", "epoch": target, "destroyed": ended, "rewrapped": len(rows), "principal": principal}
            (answer,) = append(connection, chain_id, [draft_entry(clock, Kind.KEY, {Section.CORE: core})])
            wrapped = [epochs.wrap(target, epochs.unwrap(epoch, key)) for _, epoch, key in rows]
            done = rotate_epoch_store.rewrap(connection, chain_id, target, rows, wrapped) if rows else 0
            if not isinstance(answer, Appended) or done != len(rows):
                raise LedgerBroken(f"couldn't wrap {len(rows)} keys anew: {done} were as they had been read")
            total += done
