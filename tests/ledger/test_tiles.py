"""Growing by tiles against the tree as it is defined, whatever the steps."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from precedent.errors import LedgerBroken
from precedent.ledger.entry import NO_PREVIOUS
from precedent.ledger.merkle import CompactRange, is_consistent, is_included, plan_consistency, plan_inclusion, prove, root_at
from precedent.ledger.tiles import RightEdge, edge_names, hashes_in, tiles_for

LEAVES = [sha256(n.to_bytes(4)).digest() for n in range(66_000)]  # past the first full tile of level 1
EMPTY = RightEdge(0, NO_PREVIOUS)


def root_of(size: int) -> bytes:
    whole = CompactRange()
    for leaf in LEAVES[:size]:
        whole.append(leaf)
    return whole.root()


def grow(*sizes: int) -> tuple[RightEdge, dict[tuple[int, int], bytes]]:
    """The edge after growing to each size, and all that was stored, with the edge's own tiles."""
    edge, stored = EMPTY, {}
    for size in sizes:
        growth = edge.grow(LEAVES[edge.size : size])
        for tile in growth.tiles:
            assert (tile.level, tile.number) not in stored
            stored[tile.level, tile.number] = tile.hashes
        edge = growth.edge
    for name in edge_names(edge.size):
        if name.width:
            stored[name.level, name.number] = b"".join(edge.levels[name.level])
    return edge, stored


@given(st.lists(st.integers(1, 1500), min_size=1, max_size=6, unique=True).map(sorted))
@settings(max_examples=30, deadline=None)
def test_the_steps_in_which_a_tree_grew_leave_no_trace(sizes: list[int]) -> None:
    edge, stored = grow(*sizes)
    at_once, stored_at_once = grow(sizes[-1])
    assert edge == at_once
    assert stored == stored_at_once
    assert edge.root() == root_of(sizes[-1])
    assert edge.last_leaf == LEAVES[sizes[-1] - 1]


@given(st.integers(1, 1500), st.integers(1, 600))
@settings(max_examples=30, deadline=None)
def test_growing_proves_itself_from_what_is_at_hand(first: int, more: int) -> None:
    edge = EMPTY.grow(LEAVES[:first]).edge
    growth = edge.grow(LEAVES[first : first + more])
    plan = plan_consistency(first, first + more)
    assert all(growth.is_known(node) for nodes in plan for node in nodes)
    assert is_consistent(first, edge.root(), first + more, growth.edge.root(), prove(plan, growth.hash_at))


def test_full_tiles_of_two_levels_hold_every_proof() -> None:
    edge, stored = grow(40_000, 66_000)
    assert (len(stored[0, 0]), len(stored[1, 0]), len(stored[2, 0])) == (8192, 8192, 32)
    assert [(name.level, name.width) for name in edge_names(66_000)] == [(0, 66_000 % 256), (1, 1), (2, 1)]
    root = edge.root()
    assert root == root_of(66_000)
    for index in (0, 255, 256, 65_535, 65_536, 65_999):
        plan = plan_inclusion(index, 66_000)
        tiles = {(name.level, name.number): stored[name.level, name.number] for name in tiles_for(plan, 66_000)}
        assert all(len(tiles[level, number]) == 32 * width for level, number, width in tiles_for(plan, 66_000))
        assert len(tiles) <= 6
        assert is_included(LEAVES[index], index, 66_000, prove(plan, hashes_in(tiles)), root)
    assert root_at(65_600, hashes_in(stored)) == root_of(65_600)


def test_a_tile_that_is_missing_or_short_is_said() -> None:
    _, stored = grow(300)
    for tiles in ({}, stored | {(0, 1): stored[0, 1][:-1]}, stored | {(0, 1): b""}):
        with pytest.raises(LedgerBroken, match="is missing"):
            root_at(300, hashes_in(tiles))
