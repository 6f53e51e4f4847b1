"""The answers of what was changed by hand: flags, the kill switch, steps of policies. Each is told from its own entry, so that a
request that is sent again is told what it did, whatever came after."""

from __future__ import annotations

from typing import Any

from api.answers import receipt_of
from api.services import Services
from precedent.clock import to_instant
from precedent.errors import LedgerBroken
from precedent.ledger.entry import Appended, Claimed
from precedent.ledger.store import StoredEntry

STATUS = {"activate": "active", "deactivate": "deactivated", "withdraw": "withdrawn"}
NOTHING_RECORDED = dict.fromkeys(("reason", "updated_at", "updated_by", "hash", "prev_hash", "receipt"))


async def entry_of(services: Services, recorded: Appended | Claimed) -> StoredEntry:
    """Raises: DatabaseUnavailable; LedgerBroken."""
    entry = await services.entries.find(recorded.entry_id)
    if entry is None:
        raise LedgerBroken(f"an answer names {recorded.entry_id}, which no entry has")
    return entry


def flag_answer(entry: StoredEntry, chain: str) -> dict[str, Any]:
    names = ("node", "action", "enabled", "max_level", "reason")
    return {name: entry.core[name] for name in names} | _updated(entry) | receipt_of(entry.place, chain)


def switch_answer(entry: StoredEntry, chain: str) -> dict[str, Any]:
    core = entry.core
    return {"halted": not core["enabled"], "reason": core["reason"]} | _updated(entry) | receipt_of(entry.place, chain)


def control_answer(entry: StoredEntry, chain: str) -> dict[str, Any]:
    core = entry.core
    told = {"node": core["node"], "second_person": core["op"] == "require", "reason": core["reason"]}
    return told | _updated(entry) | receipt_of(entry.place, chain)


def step_answer(entry: StoredEntry, chain: str) -> dict[str, Any]:
    """Of an activation, a deactivation or a withdrawal."""
    core = entry.core
    told = {
        "ref": f"{core['name']}@{core['version']}",
        "name": core["name"],
        "version": core["version"],
        "node": core["node"],
        "status": STATUS[core["op"]],
        "reason": core.get("reason"),
    }
    return told | _updated(entry) | receipt_of(entry.place, chain)


def unchanged_answer(row: dict[str, Any]) -> dict[str, Any]:
    """The same where the version was so already and nothing was recorded."""
    told = {name: row[name] for name in ("name", "version", "node", "status")}
    return {"ref": f"{row['name']}@{row['version']}"} | told | NOTHING_RECORDED


def _updated(entry: StoredEntry) -> dict[str, Any]:
    return {"updated_at": to_instant(entry.place.recorded_at_us), "updated_by": entry.core["principal"]}
