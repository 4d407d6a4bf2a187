"""What counts once: remembered for as long as it could come again, in bounded room."""

import heapq
from collections import Counter


class Once:
    """Remembers ids by whose they are, the first to expire on top. `each_max` ids of one owner, `all_max` in all.

    Where there is no room an id is not new: whoever fills it shuts itself out first, and nothing comes twice.
    """

    def __init__(self, each_max: int, all_max: int) -> None:
        self._each_max = each_max
        self._all_max = all_max
        self._ids: set[tuple[str, str]] = set()
        self._counts: Counter[str] = Counter()
        self._expiries: list[tuple[float, str, str]] = []

    def is_new(self, owner: str, name: str, expires_s: float, now_s: float) -> bool:
        """Remember an id until `expires_s`; False when it is known, or when there is no room to remember it."""
        self._forget(now_s)
        if (owner, name) in self._ids or self._counts[owner] >= self._each_max or len(self._ids) >= self._all_max:
            return False
        self._ids.add((owner, name))
        self._counts[owner] += 1
        heapq.heappush(self._expiries, (expires_s, owner, name))
        return True

    def _forget(self, now_s: float) -> None:
        while self._expiries and self._expiries[0][0] <= now_s:
            _, owner, name = heapq.heappop(self._expiries)
            self._ids.discard((owner, name))
            self._counts[owner] -= 1
            if not self._counts[owner]:
                del self._counts[owner]
