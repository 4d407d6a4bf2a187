"""What may count only once, remembered until it would not count anyway."""

import heapq

SEEN_MAX = 10_000
JTI_MAX = 256  # characters


class Seen:
    """Identifiers of one issuer that were used, at most `SEEN_MAX`. Where there is no room for one more, it is refused.

    Each issuer has one of its own, so that none can take the room of another.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._ends: list[tuple[float, str]] = []

    def __contains__(self, one: object) -> bool:
        return one in self._ids

    def add(self, one: str, until_s: float, now_s: float) -> bool:
        """Remember `one` until then; False when it is known, or when there is no room."""
        while self._ends and self._ends[0][0] <= now_s:
            self._ids.discard(heapq.heappop(self._ends)[1])
        if one in self._ids or len(self._ids) >= SEEN_MAX:
            return False
        self._ids.add(one)
        heapq.heappush(self._ends, (until_s, one))
        return True

    def discard(self, one: str) -> None:
        """Let `one` come again."""
        self._ids.discard(one)


def is_jti(said: object) -> bool:
    """Whether a claim can tell a token from every other of its issuer (RFC 7519, section 4.1.7)."""
    return isinstance(said, str) and 0 < len(said) <= JTI_MAX
