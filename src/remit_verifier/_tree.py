"""The Merkle tree of RFC 6962, section 2.1, kept as one subtree a level."""

import hashlib


class Tree:
    """Leaves in, roots out, in memory that grows with the logarithm of the size."""

    __slots__ = ("_levels", "size")

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[bytes | None] = []  # at n, the root of a complete subtree of 2**n leaves that waits for one

    def add(self, leaf: bytes) -> None:
        """Add the exact bytes of the next leaf."""
        node = hashlib.sha256(b"\x00" + leaf).digest()
        self.size += 1
        for level, waiting in enumerate(self._levels):
            if waiting is None:
                self._levels[level] = node
                return
            node = hashlib.sha256(b"\x01" + waiting + node).digest()
            self._levels[level] = None
        self._levels.append(node)

    def root(self) -> bytes:
        """The root over all leaves so far; the hash of nothing when there are none."""
        root: bytes | None = None
        for waiting in self._levels:
            if waiting is not None:
                root = waiting if root is None else hashlib.sha256(b"\x01" + waiting + root).digest()
        return hashlib.sha256(b"").digest() if root is None else root
