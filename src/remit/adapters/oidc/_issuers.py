"""All issuers, by their identifiers: whose token it is, and whether one of that issuer's keys signed it."""

import asyncio
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from remit.adapters.oidc._fetch import WAIT_S, Fetch
from remit.adapters.oidc._issuer import Issuer
from remit.adapters.oidc._jwt import LOG_IN, SignatureRefusedError, Unproven, family_and_kid, kind_of, read_token
from remit.adapters.oidc._key_set import KeySet
from remit.adapters.oidc._keys import IssuerKeys
from remit.core import JsonObject
from remit.identity import TokenRefusedError
from remit.pipeline import Clock


@dataclass(frozen=True, slots=True)
class Proven:
    """What an issuer signed, with the version of the keys by which that is known. `kind` is its type, see `kind_of`."""

    keys: IssuerKeys
    version: int
    kind: str
    claims: JsonObject

    @property
    def issuer(self) -> Issuer:
        """Return whose it is."""
        return self.keys.issuer


class Issuers:
    """The issuers that are believed. `wait_s` is how long a request waits at most for keys."""

    def __init__(self, issuers: Iterable[Issuer], fetch: Fetch, clock: Clock, *, wait_s: float = WAIT_S) -> None:
        self._keys = {each.issuer: IssuerKeys(each, fetch, clock.elapsed_us, wait_s) for each in issuers}

    def knows(self, token: str) -> bool:
        """Whether `token` says it is of one of these issuers; nothing is proven yet."""
        try:
            return read_token(token).claims.get("iss") in self._keys
        except (TokenRefusedError, TypeError):  # (a list cannot be looked up)
            return False

    async def proven(self, token: str, kinds: AbstractSet[str]) -> Proven:
        """Return what one of the issuers signed, of a type among `kinds`. Audience and time are not looked at.

        Raises:
            TokenRefusedError: `token_invalid`, `token_issuer`, `issuer_unreachable`.
        """
        unproven = read_token(token)
        family, kid = family_and_kid(unproven.header, kinds)
        said = unproven.claims.get("iss")
        keys = self._keys.get(said) if isinstance(said, str) else None
        if keys is None:
            raise TokenRefusedError("token_issuer", "the token is of no issuer that is known here", LOG_IN)
        if not _is_signed(unproven, await keys.current(), family, kid):
            # The key may be a new one, or another under the same name, or none.
            renewed = await keys.renewed()
            if not _is_signed(unproven, renewed, family, kid):
                raise SignatureRefusedError("no key of its issuer signed the token")
        return Proven(keys, keys.version, kind_of(unproven.header), unproven.claims)

    async def close(self) -> None:
        """End every fetch under way."""
        await asyncio.gather(*(keys.close() for keys in self._keys.values()))


def _is_signed(unproven: Unproven, keys: KeySet, family: str, kid: str | None) -> bool:
    key = keys.find(family, kid)
    return key is not None and key.signed(unproven.signed, unproven.signature)
