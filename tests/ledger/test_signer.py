"""The signer signs what continues its last head and nothing else, across processes and restarts."""

from __future__ import annotations

import threading
from hashlib import sha256
from pathlib import Path

import pytest

from precedent.errors import LedgerBroken, SettingsInvalid
from precedent.ledger.key_files import replace_text
from precedent.ledger.merkle import CompactRange, Node, levels_of, plan_consistency, prove, root_at
from precedent.ledger.note import Checkpoint, open_checkpoint
from precedent.ledger.signer import Signer
from precedent.ledger.signer_keys import Seeds, create_following_key, create_signer_key, promote_following_key, seed_source

ORIGIN = "precedent/test"
SEED = bytes(range(32))
LEAVES = [sha256(b"\x00" + bytes((n,))).digest() for n in range(40)]


def hash_at(node: Node) -> bytes:
    return list(levels_of(LEAVES[node.place << node.level : (node.place + 1) << node.level]))[-1][0]


def head(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, root_at(size, hash_at))


def proof(first: int, second: int) -> list[bytes]:
    return prove(plan_consistency(first, second), hash_at)


def test_heads_that_continue_each_other_are_signed_and_the_last_is_remembered(tmp_path: Path) -> None:
    signer = Signer(ORIGIN, SEED, tmp_path / "memory")
    assert signer.last() is None
    for first, second in ((0, 1), (1, 7), (7, 7), (7, 40)):
        note = signer.sign(head(second), proof(first, second))
        assert open_checkpoint(note, signer.verifier) == head(second) == Signer(ORIGIN, SEED, tmp_path / "memory").last()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "memory").iterdir()} == {0o600}


def test_a_head_that_contradicts_the_last_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    signer = Signer(ORIGIN, SEED, tmp_path)
    signer.sign(head(20), [])
    fork = CompactRange()
    for leaf in reversed(LEAVES):
        fork.append(leaf)
    refused = [
        (head(19), []),
        (head(19), proof(19, 20)),
        (Checkpoint(ORIGIN, 20, LEAVES[0]), []),
        (Checkpoint(ORIGIN, 40, fork.root()), proof(20, 40)),
        (head(40), []),
        (head(40), proof(20, 40)[:-1]),
        (head(0), []),
    ]
    for one, path in refused:
        with pytest.raises(LedgerBroken, match="does not continue"):
            Signer(ORIGIN, SEED, tmp_path).sign(one, path)
    with pytest.raises(LedgerBroken, match="this signer is for"):
        signer.sign(Checkpoint("precedent/other", 40, head(40).root), proof(20, 40))
    assert signer.last() == head(20)
    signer.sign(head(40), proof(20, 40))


def test_a_memory_that_was_changed_is_no_memory(tmp_path: Path) -> None:
    signer = Signer(ORIGIN, SEED, tmp_path)
    note = signer.sign(head(20), [])
    (path,) = tmp_path.glob("*.checkpoint")
    replace_text(path, note.replace("\n20\n", "\n19\n"))
    with pytest.raises(LedgerBroken, match="couldn't read what was signed last"):
        signer.sign(head(40), proof(20, 40))
    replace_text(path, Signer(ORIGIN, bytes(32), tmp_path / "other").sign(head(20), []))
    with pytest.raises(LedgerBroken, match="no key that is known"):
        signer.last()


def race(memory: Path, sizes: range) -> None:
    signer = Signer(ORIGIN, SEED, memory)
    for size in sizes:
        last = signer.last()
        try:
            signer.sign(head(size), proof(last.size, size) if last and last.size <= size else [])
        except LedgerBroken:
            continue


def test_two_signers_with_one_memory_sign_one_history(tmp_path: Path) -> None:
    """Each signer opens the files anew, so that two threads meet as two processes do."""
    racers = [threading.Thread(target=race, args=(tmp_path, range(1 + n, 41, 2))) for n in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    last = Signer(ORIGIN, SEED, tmp_path).last()
    assert last is not None
    assert last == head(last.size)
    assert last.size >= 39


def test_the_key_is_made_once_where_that_is_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    with pytest.raises(SettingsInvalid, match="couldn't find the signer's key"):
        seed_source(folder, None)()
    create_signer_key(folder)
    seeds = seed_source(folder, None)()
    create_signer_key(folder)
    assert seeds == seed_source(folder, None)() == Seeds(seeds.current)
    path = folder / "signer.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(SettingsInvalid, match="others may read it"):
        seed_source(folder, None)()
    assert seed_source(folder, SEED.hex())() == Seeds(SEED)
    assert seed_source(folder, f"{SEED.hex()},{bytes(32).hex()}")() == Seeds(SEED, bytes(32))
    for wrong in ("00" * 31, "zz" * 32, f"{SEED.hex()},{SEED.hex()}", f"{SEED.hex()},{'00' * 32},{'11' * 32}"):
        with pytest.raises(SettingsInvalid, match="PRECEDENT_SIGNER_KEY"):
            seed_source(folder, wrong)


def test_a_following_key_signs_beside_the_current_one_and_then_alone_with_the_same_memory(tmp_path: Path) -> None:
    create_signer_key(tmp_path)
    signer = Signer(ORIGIN, seed_source(tmp_path, None), tmp_path / "memory")
    (first,) = signer.verifiers
    signer.sign(head(5), [])
    create_following_key(tmp_path)
    create_following_key(tmp_path)  # one that lies there is not replaced
    note = signer.sign(head(7), proof(5, 7))
    current, following = signer.verifiers
    assert current == first != following
    assert open_checkpoint(note, current) == open_checkpoint(note, following) == head(7)
    promote_following_key(tmp_path)
    note = signer.sign(head(9), proof(7, 9))
    assert signer.verifiers == (following,)
    assert open_checkpoint(note, following) == head(9)
    with pytest.raises(ValueError, match="no key that is known"):
        open_checkpoint(note, current)
    assert list(tmp_path.glob("*.key")) == [tmp_path / "signer.key"]
