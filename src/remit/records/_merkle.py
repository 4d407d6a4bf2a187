"""The log's Merkle tree: RFC 6962, section 2.1, over SHA-256.

A leaf is hashed as `sha256(0x00 || leaf)` and a node as `sha256(0x01 || left || right)`, so that neither can pass for
the other. Building wants only the frontier, at most one hash per bit of the size; proofs are made from the leaf hashes
and checked by whoever holds a checkpoint (RFC 9162, sections 2.1.3.2 and 2.1.4.2, which spell out the checking).

    frontier = Frontier()
    for leaf in (b"first", b"second"):
        frontier.append(leaf_hash(leaf))
    frontier.root() == root_of([leaf_hash(b"first"), leaf_hash(b"second")])     # True
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Self

from remit.core import RemitError

HASH_BYTES = 32

EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a log without entries: the hash of nothing (RFC 6962, section 2.1)."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash the exact bytes of one entry (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into the one above them (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: all that is needed to append and to tell the root.

    `hashes` are the roots of the complete subtrees the size is made of, largest first, one for each bit set in `size`;
    a store keeps them and hands them back to `of`. Appending costs one or two hashes on average, the root at most 63.
    It changes in place and belongs to one writer; `Frontier.of(it.size, it.hashes)` is an independent copy.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._hashes: list[bytes] = []

    @classmethod
    def of(cls, size: int, hashes: Sequence[bytes]) -> Self:
        """Take up a frontier where it was left.

        Raises:
            RemitError: `frontier_invalid`, when the hashes cannot be those of a tree of that size.
        """
        if size < 0 or len(hashes) != size.bit_count() or any(len(each) != HASH_BYTES for each in hashes):
            raise RemitError(
                "frontier_invalid",
                f"{len(hashes)} subtree hashes do not make a tree of {size} leaves",
                "rebuild the frontier from the stored entries",
            )
        frontier = cls()
        frontier._size = size
        frontier._hashes = list(hashes)
        return frontier

    @property
    def size(self) -> int:
        """The number of leaves appended so far."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the right end."""
        carry = self._size
        while carry & 1:  # a complete subtree of the same height stands to the left: join them, as in binary addition
            leaf = node_hash(self._hashes.pop(), leaf)
            carry >>= 1
        self._hashes.append(leaf)
        self._size += 1

    def root(self) -> bytes:
        """Tell the tree's root, which is `EMPTY_ROOT` at size 0."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Tell the root over leaf hashes in their order."""
    frontier = Frontier()
    for each in leaf_hashes:
        frontier.append(each)
    return frontier.root()


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int, size: int) -> tuple[bytes, ...]:
    """Make the audit path of the leaf at `index` in the tree of the first `size` leaves (RFC 6962, section 2.1.1).

    Raises:
        RemitError: `proof_out_of_range`, unless 0 <= index < size <= the number of leaf hashes.
    """
    if not 0 <= index < size <= len(leaf_hashes):
        raise _out_of_range(f"no entry {index} in a log of {min(size, len(leaf_hashes))}")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = _middle(start, end)
        if index < middle:
            path.append(_root_between(leaf_hashes, middle, end))
            end = middle
        else:
            path.append(_root_between(leaf_hashes, start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_proof(leaf_hashes: Sequence[bytes], old: int, new: int) -> tuple[bytes, ...]:
    """Prove that the tree of the first `new` leaves begins with the tree of the first `old` (RFC 6962, section 2.1.2).

    From size 0, and between equal sizes, the proof is empty.

    Raises:
        RemitError: `proof_out_of_range`, unless 0 <= old <= new <= the number of leaf hashes.
    """
    if not 0 <= old <= new <= len(leaf_hashes):
        raise _out_of_range(f"no step from size {old} to {new} in a log of {len(leaf_hashes)}")
    if old == 0:
        return ()
    start, end, path = 0, new, []
    while end != old:
        middle = _middle(start, end)
        if old <= middle:
            path.append(_root_between(leaf_hashes, middle, end))
            end = middle
        else:
            path.append(_root_between(leaf_hashes, start, middle))
            start = middle
    if start:  # the old tree is more than this subtree, so its reader cannot know the subtree's root
        path.append(_root_between(leaf_hashes, start, end))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `proof` shows the leaf hash `leaf` at `index` of the tree with that size and root.

    Size and root belong together and come from one signed checkpoint: a path can be the same in trees of different
    sizes, so a size from elsewhere proves nothing. The steps are those of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    at, last, running = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            running = node_hash(step, running)
            at, last = _past_missing_siblings(at, last)
        else:
            running = node_hash(running, step)
        at, last = at >> 1, last >> 1
    return last == 0 and running == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether `proof` shows that the tree of size `new` begins with the tree of size `old`.

    From size 0 the proof must be empty and the answer is true, whatever the new root (C2SP tlog-witness: an empty log
    is the beginning of every log); the old root must be the root of nothing. Equal sizes need equal roots and an empty
    proof. The other steps are those of RFC 9162, section 2.1.4.2.
    """
    if not 0 <= old <= new or not _are_hashes(old_root, new_root, *proof):
        return False
    if old == new:
        return not proof and old_root == new_root and (new > 0 or new_root == EMPTY_ROOT)
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    # A complete subtree of the old size is the old root itself, which the proof then leaves out.
    path = (old_root, *proof) if old.bit_count() == 1 else tuple(proof)
    return bool(proof) and _fold_consistency(old, new, path) == (old_root, new_root)


def _fold_consistency(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Compute both roots from the path at once; None when the path is too long or too short for the sizes."""
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_running = new_running = path[0]
    for step in path[1:]:
        if last == 0:
            return None
        if at & 1 or at == last:
            old_running, new_running = node_hash(step, old_running), node_hash(step, new_running)
            at, last = _past_missing_siblings(at, last)
        else:
            new_running = node_hash(new_running, step)
        at, last = at >> 1, last >> 1
    return (old_running, new_running) if last == 0 else None


def _past_missing_siblings(at: int, last: int) -> tuple[int, int]:
    """Climb the levels on which the tree's last node stands alone: no step of a proof belongs to them."""
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last


def _middle(start: int, end: int) -> int:
    """Where a tree of two or more leaves divides: after the largest power of two that is less than its size."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _root_between(leaf_hashes: Sequence[bytes], start: int, end: int) -> bytes:
    return root_of(leaf_hashes[position] for position in range(start, end))


def _are_hashes(*values: bytes) -> bool:
    return all(len(each) == HASH_BYTES for each in values)


def _out_of_range(message: str) -> RemitError:
    return RemitError("proof_out_of_range", message, "ask within the size of the latest checkpoint")
