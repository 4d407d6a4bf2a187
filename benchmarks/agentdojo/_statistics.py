"""How sure a share is: the exact interval of Clopper and Pearson (1934).

interval(0, 560)     # (0.0, 0.0066): none of 560 seen, and with 95 % confidence at most 0.66 %
"""

from collections.abc import Callable
from math import exp, lgamma, log, log1p

_STEPS = 60  # halvings of the unit interval: far below what is printed


def interval(hits: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval of the share that `hits` of `of` came from.

    Raises:
        ValueError: more hits than trials, fewer than none, or no trial at all.
    """
    if not 0 <= hits <= of or of == 0:
        raise ValueError(f"{hits} of {of} is no share")
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _where(lambda share: 1 - _at_most(hits - 1, of, share) > tail)
    high = 1.0 if hits == of else _where(lambda share: _at_most(hits, of, share) <= tail)
    return low, high


def _where(beyond: Callable[[float], bool]) -> float:
    """Return the least share that is `beyond`, which stays so from there on."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high


def _at_most(hits: int, of: int, share: float) -> float:
    """Return how likely at most `hits` of `of` are, each with probability `share` in (0, 1)."""
    yes, no = log(share), log1p(-share)
    ways = lgamma(of + 1)
    return sum(exp(ways - lgamma(k + 1) - lgamma(of - k + 1) + k * yes + (of - k) * no) for k in range(hits + 1))
