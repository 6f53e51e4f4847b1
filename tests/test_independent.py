"""The second opinion is held to the textbook tree, built leaf by leaf, before it judges anything."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from independent import is_continued, root_from_inclusion

SIZES = 40


def root_of(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, word by word."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_of(leaves[:middle]) + root_of(leaves[middle:])).digest()


def path_of(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    if index < middle:
        return [*path_of(index, leaves[:middle]), root_of(leaves[middle:])]
    return [*path_of(index - middle, leaves[middle:]), root_of(leaves[:middle])]


def proof_of(first: int, leaves: Sequence[bytes], is_whole: bool = True) -> list[bytes]:
    if first == len(leaves):
        return [] if is_whole else [root_of(leaves)]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    if first <= middle:
        return [*proof_of(first, leaves[:middle], is_whole), root_of(leaves[middle:])]
    return [*proof_of(first - middle, leaves[middle:], False), root_of(leaves[:middle])]


LEAVES = [hashlib.sha256(bytes([number])).digest() for number in range(SIZES)]


def test_it_takes_every_true_proof_of_inclusion_and_no_bent_one() -> None:
    for size in range(1, SIZES):
        root = root_of(LEAVES[:size])
        for index in range(size):
            path = path_of(index, LEAVES[:size])
            assert root_from_inclusion(LEAVES[index], index, size, path) == root
            assert root_from_inclusion(LEAVES[index], index, size, [*path, root]) is None
            for other in {index ^ 1, size - 1 - index} - {index}:
                assert root_from_inclusion(LEAVES[index], other, size, path) != root


def test_it_takes_every_true_proof_of_consistency_and_no_bent_one() -> None:
    for second in range(2, SIZES):
        new = root_of(LEAVES[:second])
        for first in range(1, second):
            old, path = root_of(LEAVES[:first]), proof_of(first, LEAVES[:second])
            assert is_continued(first, old, second, new, path)
            assert not is_continued(first, new, second, new, path)
            assert not is_continued(first, old, second, old, path)
            assert not is_continued(first, old, second, new, [*path, new])
            assert not is_continued(first, old, second, new, path[:-1])
