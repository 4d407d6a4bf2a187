"""The keys of one issuer over time: fetched when they are needed, renewed in passing, forgotten when too old.

1. Keys count for `jwks_age_max_s` after they were fetched, whether their issuer can be reached or not.
2. From half that age on, whoever needs them starts a renewal and goes on with the ones that are known.
3. A token that names an unknown key has them renewed, at most once in `RENEW_EVERY_S`.
4. Where none count, whoever needs them waits for the fetch under way, at most `wait_s`; one starts at most every
   `RETRY_EVERY_S`.

There is one fetch at a time, and nobody's leaving ends it.
"""

import asyncio
from collections.abc import Callable

from remit.adapters.oidc._discovery import discover
from remit.adapters.oidc._fetch import WAIT_S, Fetch, FetchFailedError
from remit.adapters.oidc._issuer import Issuer
from remit.adapters.oidc._key_set import KeySet, read_key_set
from remit.identity import TokenRefusedError

RENEW_EVERY_S = 30
RETRY_EVERY_S = 5

_SECOND_US = 1_000_000


class IssuerKeys:
    """The keys of `issuer`. `elapsed_us` never goes back. `version` rises whenever they are other ones."""

    def __init__(self, issuer: Issuer, fetch: Fetch, elapsed_us: Callable[[], int], wait_s: float = WAIT_S) -> None:
        self.issuer = issuer
        self.version = 0
        self._fetch = fetch
        self._elapsed_us = elapsed_us
        self._wait_s = wait_s
        self._known: KeySet | None = None
        self._fetched_us = 0
        self._tried_us: int | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._trouble = "they were not fetched yet"

    def counting(self) -> KeySet | None:
        """Return the keys that count (1), starting a renewal (2) where it is time for one; None where none do."""
        age_us, age_max_us = self._elapsed_us() - self._fetched_us, self.issuer.jwks_age_max_s * _SECOND_US
        if self._known is None or age_us >= age_max_us:
            return None
        if age_us * 2 >= age_max_us:
            self._start(RENEW_EVERY_S)
        return self._known

    async def current(self) -> KeySet:
        """Return the keys that count, fetched first where none do (4).

        Raises:
            TokenRefusedError: `issuer_unreachable`.
        """
        known = self.counting()
        if known is None:
            await self._renewed(RETRY_EVERY_S)
            known = self.counting()
        if known is None:
            raise TokenRefusedError(
                "issuer_unreachable",
                f"no keys of the issuer `{self.issuer.name}` count: {self._trouble}",
                "see that the issuer answers from here, then try again",
            )
        return known

    async def renewed(self) -> KeySet:
        """Return the keys that count, fetched anew where that is allowed by now (3).

        Raises:
            TokenRefusedError: `issuer_unreachable`.
        """
        await self._renewed(RENEW_EVERY_S)
        return await self.current()

    async def close(self) -> None:
        """End a fetch under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def _renewed(self, every_s: int) -> None:
        renewal = self._start(every_s)
        if renewal is not None:
            await asyncio.shield(renewal)

    def _start(self, every_s: int) -> "asyncio.Task[None] | None":
        if self._renewal is not None and not self._renewal.done():
            return self._renewal
        now_us = self._elapsed_us()
        if self._tried_us is not None and now_us - self._tried_us < every_s * _SECOND_US:
            return None
        self._tried_us = now_us
        self._renewal = asyncio.create_task(self._renew())
        return self._renewal

    async def _renew(self) -> None:
        started_us = self._elapsed_us()
        try:
            async with asyncio.timeout(self._wait_s):
                found = read_key_set(await self._fetch(await discover(self.issuer.issuer, self._fetch)))
        except FetchFailedError as error:
            self._trouble = error.message
        except TimeoutError:
            self._trouble = f"no whole answer within {self._wait_s:g} s"
        else:
            if found != self._known:
                self.version += 1
            # (From when it was asked for: what took long to arrive is not younger for it.)
            self._known, self._fetched_us = found, started_us
