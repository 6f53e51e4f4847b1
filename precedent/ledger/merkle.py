"""The Merkle tree over leaf hashes: RFC 6962, section 2.1, in the words of RFC 9162, section 2.1.

Pure. Nodes are named (level, place): the node covers the leaves place·2^level … (place + 1)·2^level − 1, and only
nodes whose leaves all exist have a hash that never changes. Everything else is folded from those. A proof is planned first,
as nodes, and computed second, from any source of hashes: so a caller can fetch all that a proof needs in one round trip.

The verifiers return False for whatever they are given that proves nothing; they raise for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from hashlib import sha256
from typing import NamedTuple, TypeAlias

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()  # RFC 9162, 2.1.1: the hash of an empty list is that of an empty string


class Node(NamedTuple):
    """A complete subtree: its level (0 is a leaf) and its place among those of that level."""

    level: int
    place: int


HashSource: TypeAlias = Callable[[Node], bytes]
# Each hash of a proof is the fold of these nodes, from the left.
Plan: TypeAlias = tuple[tuple[Node, ...], ...]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of an inner node, RFC 9162, 2.1.1. Leaves are hashed in `entry.leaf_of`."""
    return sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The hashes that stand for the leaves `begin` … `end` − 1: O(log n) complete subtrees, as few as there can be.

    Only a range that begins at 0 has a root; others are merged into one that does.
    """

    __slots__ = ("begin", "end", "peaks")

    def __init__(self, begin: int = 0, peaks: Iterable[tuple[Node, bytes]] = ()) -> None:
        """`peaks` are adjacent subtrees from `begin` on.

        Raises: ValueError where they are not adjacent.
        """
        self.begin = self.end = begin
        self.peaks: list[tuple[Node, bytes]] = []
        for node, found in peaks:
            self.push(node, found)

    def append(self, leaf: bytes) -> None:
        self.push(Node(0, self.end), leaf)

    def push(self, node: Node, found: bytes) -> None:
        """Append a whole subtree.

        Raises: ValueError where it does not begin at the range's end.
        """
        level, place = node
        if place << level != self.end:
            raise ValueError(f"subtree {level}/{place} does not continue a range that ends at {self.end}")
        self.end = (place + 1) << level
        peaks = self.peaks
        while place & 1 and peaks and peaks[-1][0] == (level, place - 1):
            found = node_hash(peaks.pop()[1], found)
            level, place = level + 1, place >> 1
        peaks.append((Node(level, place), found))

    def merge(self, right: CompactRange) -> None:
        """Append the leaves of a range that begins where this one ends.

        Raises: ValueError where it begins elsewhere.
        """
        if right.begin != self.end:
            raise ValueError(f"a range from {right.begin} does not continue one that ends at {self.end}")
        for node, found in right.peaks:
            self.push(node, found)

    def root(self) -> bytes:
        """The tree's head, RFC 9162, 2.1.1.

        Raises: ValueError where the range does not begin at 0.
        """
        if self.begin:
            raise ValueError(f"a range from {self.begin} has no root")
        return fold([found for _, found in self.peaks]) if self.peaks else EMPTY_ROOT

    def copy(self) -> CompactRange:
        return CompactRange(self.begin, self.peaks)


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash of adjacent subtrees of descending size under one node."""
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes[:-1]), hashes[-1])


def cover(begin: int, end: int) -> tuple[Node, ...]:
    """The complete subtrees of `begin` … `end` − 1, from the left, where `begin` is a multiple of a power of two ≥ the count."""
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append(Node(level, begin >> level))
        begin += 1 << level
    return tuple(nodes)


def plan_inclusion(index: int, size: int) -> Plan:
    """What proves that leaf `index` is in the tree of `size` leaves: PATH(m, D_n) of RFC 9162, 2.1.3.1, leaf to root.

    Raises: ValueError where there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    begin, end, path = 0, size, []
    while end - begin > 1:
        middle = _split(begin, end)
        if index < middle:
            path.append(cover(middle, end))
            end = middle
        else:
            path.append(cover(begin, middle))
            begin = middle
    return tuple(reversed(path))


def plan_consistency(first: int, second: int) -> Plan:
    """What proves that the tree of `second` leaves begins with that of `first`: PROOF(m, D_n) of RFC 9162, 2.1.4.1.

    Nothing is needed from an empty tree and for equal sizes. Raises: ValueError unless 0 ≤ first ≤ second.
    """
    if not 0 <= first <= second:
        raise ValueError(f"no proof from a tree of {first} to one of {second}")
    if first == 0:
        return ()
    begin, end, path = 0, second, []
    while first != end:
        middle = _split(begin, end)
        if first <= middle:
            path.append(cover(middle, end))
            end = middle
        else:
            path.append(cover(begin, middle))
            begin = middle
    if begin:
        path.append(cover(begin, end))
    return tuple(reversed(path))


def prove(plan: Plan, hash_at: HashSource) -> list[bytes]:
    """The hashes of a planned proof."""
    return [fold([hash_at(node) for node in nodes]) for nodes in plan]


def root_at(size: int, hash_at: HashSource) -> bytes:
    """The root of the first `size` leaves."""
    return fold([hash_at(node) for node in cover(0, size)]) if size else EMPTY_ROOT


def _split(begin: int, end: int) -> int:
    """Where the tree over these leaves parts: after the largest power of two that is less than their count."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that `leaf` is leaf `index` of the tree of `size` leaves with `root`: RFC 9162, 2.1.3.2."""
    if not 0 <= index < size or not _are_hashes([leaf, root, *path]):
        return False
    node, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(step, found)
            node, last = _climb(node, last)
        else:
            found = node_hash(found, step)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that the tree of `second` leaves begins with that of `first`: RFC 9162, 2.1.4.2.

    Equal sizes take equal roots and no path. From an empty tree nothing can be proved, so that is False but for two empty ones.
    """
    if first == second:
        return first >= 0 and not path and first_root == second_root and (first > 0 or first_root == EMPTY_ROOT)
    if not 0 < first < second or not path or not _are_hashes([first_root, second_root, *path]):
        return False
    # A first tree that is complete is a node of the second: the proof leaves it out.
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(step, old), node_hash(step, new)
            node, last = _climb(node, last)
        else:
            new = node_hash(new, step)
        node, last = node >> 1, last >> 1
    return last == 0 and (old, new) == (first_root, second_root)


def _climb(node: int, last: int) -> tuple[int, int]:
    """Past the levels at which the right edge has no sibling: its node moves up without being hashed."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _are_hashes(values: Iterable[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)


def levels_of(leaves: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The hashes of a complete subtree, level by level, from the leaves to the one at its top; for a power of two of them."""
    hashes = list(leaves)
    yield hashes
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
        yield hashes
