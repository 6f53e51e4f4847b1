"""The tree against a naive one written from the definition, and the verifiers against vectors that others wrote."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent.ledger.merkle import (
    EMPTY_ROOT,
    CompactRange,
    Node,
    cover,
    is_consistent,
    is_included,
    levels_of,
    node_hash,
    plan_consistency,
    plan_inclusion,
    prove,
    root_at,
)

sizes = st.integers(1, 130)
MOST = 131
LEAVES = [sha256(b"\x00" + bytes((n,))).digest() for n in range(MOST)]


def mth(leaves: list[bytes]) -> bytes:
    """MTH(D_n), word for word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def hash_at(node: Node) -> bytes:
    first = node.place << node.level
    assert first + (1 << node.level) <= MOST
    return mth(LEAVES[first : first + (1 << node.level)])


def vectors(shared: Path, kind: str) -> list[dict[str, object]]:
    found = [json.loads(path.read_text()) for path in sorted((shared / "vectors/rfc6962" / kind).rglob("*.json"))]
    assert len(found) > 90
    return found


def raw(value: object) -> bytes:
    return base64.b64decode(str(value or ""))


def raws(values: object) -> list[bytes]:
    assert values is None or isinstance(values, list)
    return [raw(value) for value in values or []]


def test_inclusion_gives_the_wanted_result_on_every_foreign_vector(shared: Path) -> None:
    for one in vectors(shared, "inclusion"):
        found = is_included(raw(one["leafHash"]), int(str(one["leafIdx"])), int(str(one["treeSize"])), raws(one["proof"]), raw(one["root"]))
        assert found is not one["wantErr"], one["desc"]


def test_consistency_gives_the_wanted_result_on_every_foreign_vector(shared: Path) -> None:
    for one in vectors(shared, "consistency"):
        found = is_consistent(int(str(one["size1"])), raw(one["root1"]), int(str(one["size2"])), raw(one["root2"]), raws(one["proof"]))
        assert found is not one["wantErr"], one["desc"]


def test_an_empty_tree_has_the_root_of_the_empty_string() -> None:
    assert CompactRange().root() == root_at(0, hash_at) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert is_consistent(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert not is_consistent(0, EMPTY_ROOT, 1, LEAVES[0], [])
    assert not is_included(EMPTY_ROOT, 0, 0, [], EMPTY_ROOT)


@given(sizes)
def test_the_root_is_that_of_the_definition(size: int) -> None:
    whole = CompactRange()
    for leaf in LEAVES[:size]:
        whole.append(leaf)
    assert whole.root() == root_at(size, hash_at) == mth(LEAVES[:size])
    assert tuple(node for node, _ in whole.peaks) == cover(0, size)


@given(sizes, st.data())
def test_a_range_merged_from_parts_is_the_range_of_the_whole(size: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, size), max_size=5)) | {0, size})
    whole = CompactRange()
    for begin, end in pairwise(cuts):
        part = CompactRange(begin)
        for leaf in LEAVES[begin:end]:
            part.append(leaf)
        copy = whole.copy()
        whole.merge(part)
        assert (copy.end, whole.end) == (begin, end)
    assert whole.root() == mth(LEAVES[:size])
    assert tuple(node for node, _ in whole.peaks) == cover(0, size)


@given(sizes, st.data())
def test_a_proof_of_inclusion_holds_and_no_changed_one_does(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path, root = prove(plan_inclusion(index, size), hash_at), mth(LEAVES[:size])
    assert is_included(LEAVES[index], index, size, path, root)
    assert not is_included(LEAVES[index], index, size, [*path, root], root)
    assert not is_included(LEAVES[(index + 1) % MOST], index, size, path, root)
    assert not is_included(LEAVES[index], (index + 1) % size, size, path, root) or size == 1
    if path:
        place = data.draw(st.integers(0, len(path) - 1))
        assert not is_included(LEAVES[index], index, size, path[:place] + path[place + 1 :], root)
        changed = bytes((path[place][0] ^ 1,)) + path[place][1:]
        assert not is_included(LEAVES[index], index, size, [*path[:place], changed, *path[place + 1 :]], root)


@given(sizes, st.data())
def test_a_proof_of_consistency_holds_and_no_changed_one_does(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, second))
    path = prove(plan_consistency(first, second), hash_at)
    old, new = mth(LEAVES[:first]), mth(LEAVES[:second])
    assert is_consistent(first, old, second, new, path)
    assert not is_consistent(first, old, second, new, [*path, new])
    assert not is_consistent(first, LEAVES[-1], second, new, path)
    assert not is_consistent(first, old, second, LEAVES[-1], path)
    if path:
        place = data.draw(st.integers(0, len(path) - 1))
        assert not is_consistent(first, old, second, new, path[:place] + path[place + 1 :])
        changed = path[place][:-1] + bytes((path[place][-1] ^ 128,))
        assert not is_consistent(first, old, second, new, [*path[:place], changed, *path[place + 1 :]])


def test_nothing_of_another_length_is_a_hash() -> None:
    leaf, other = LEAVES[:2]
    root = node_hash(leaf, other)
    assert is_included(leaf, 0, 2, [other], root)
    # What a shifted border between two hashes would pass as, were lengths not looked at.
    assert not is_included(leaf + other[:1], 0, 2, [other[1:]], root)
    assert not is_included(b"", 0, 2, [leaf + other], root)
    assert not is_consistent(1, leaf + other[:1], 2, root, [other[1:]])


def test_what_makes_no_proof_is_refused() -> None:
    for index, size in ((0, 0), (3, 3), (-1, 3)):
        with pytest.raises(ValueError, match="no leaf"):
            plan_inclusion(index, size)
        assert not is_included(LEAVES[0], index, size, [], LEAVES[0])
    for first, second in ((2, 1), (-1, 1)):
        with pytest.raises(ValueError, match="no proof"):
            plan_consistency(first, second)
        assert not is_consistent(first, LEAVES[0], second, LEAVES[0], [LEAVES[0]])
    assert plan_consistency(0, 5) == plan_consistency(5, 5) == ()
    with pytest.raises(ValueError, match="does not continue"):
        CompactRange().push(Node(0, 1), LEAVES[0])
    with pytest.raises(ValueError, match="does not continue"):
        CompactRange().merge(CompactRange(1))
    with pytest.raises(ValueError, match="has no root"):
        CompactRange(1).root()


def test_the_levels_of_a_complete_subtree_end_in_its_hash() -> None:
    levels = list(levels_of(LEAVES[:8]))
    assert [len(level) for level in levels] == [8, 4, 2, 1]
    assert levels[-1] == [mth(LEAVES[:8])]
    assert levels[1][2] == mth(LEAVES[4:6])
