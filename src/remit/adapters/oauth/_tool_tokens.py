"""What tools know Remit's calls by: a token for one tool, that says who asks, who acts and in what task (RFC 9068).

A tool, or a service behind it, verifies it with the key set that the gateway publishes, and may apply a policy of its
own to it (R2.10). It is good nowhere else: not at another tool, not at our own doors. Its claims:

    iss, aud, iat, exp, jti   ours, for this tool alone, at most 120 s; `jti` is random (RFC 7519, section 4.1)
    sub                       the user for whom it is done
    client_id, act            the agent that acts, and below it those that handed the work on, the nearest first
                              (RFC 8693, section 4.1)
    txn                       the task
    operation                 the operation's name in the catalogue: the token is for no other
    seq, intent               where the tool's calls are numbered: [run, number], and the leaf hash (RFC 6962) of the
                              call's entry in our log, in base64url

`run` is the index of the entry that the gateway's start wrote, and numbers rise from 1 by 1 for each tool. So a tool
that keeps what it was shown can name a call that our log does not have; a number it never saw is a call that was cut
off on its way.
"""

import secrets
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.adapters.oauth._jose import ACCESS, ALGORITHM, mint, own_key, public_jwk
from remit.adapters.system import SystemClock
from remit.catalogue import Minted, Tool
from remit.core import Delegation, JsonObject, ToolCall
from remit.identity import Cut
from remit.pipeline import Clock, Credential, CredentialUnavailableError

LIFE_S = 120  # seconds
LEFT_S = 30  # seconds of life that a token handed out again has left at least
EXCHANGE_LIFE_S = 60  # seconds that a tool's authorization server has for what we show it
CACHE_MAX = 10_000  # tokens kept; the oldest goes when there are more

_FRESH = timedelta(seconds=LIFE_S - LEFT_S)


class _Use(NamedTuple):
    """What one token is good for, and the keys that its delegation rests on."""

    tool: str
    audience: str
    operation: str
    user: str
    agent: str
    task: str
    chain: tuple[str, ...]
    keys: tuple[str, ...]


class ToolTokens:
    """Mints tool tokens. One is made per tool, operation, user, agent, chain and task, and kept while fresh.

    Where a tool's calls are numbered, every call has a new one.
    """

    def __init__(
        self,
        key: Ed25519PrivateKey,
        issuer: str,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        clock: Clock | None = None,
    ) -> None:
        self._key = own_key(key)
        self._public = public_jwk(key)
        self._kid = str(self._public["kid"])
        self._issuer = issuer
        self._random = random
        self._clock = clock or SystemClock()
        self._run: int | None = None
        self._numbers: Counter[str] = Counter()
        self._kept: dict[_Use, tuple[Credential, datetime]] = {}  # the first to be stale is first

    def begin(self, run: int) -> None:
        """Number calls from 1 in the run that the entry `started` with the index `run` began."""
        self._run = run
        self._numbers.clear()

    def mint(self, tool: Tool, call: ToolCall, intent: bytes, now: datetime) -> Credential:
        """Return the token to send with `call`, whose durable intent has the leaf hash `intent`.

        Raises:
            CredentialUnavailableError: `sequence_unknown` for a numbered call before `begin`.
        """
        if isinstance(tool.credential, Minted) and tool.credential.sequence:
            return self._numbered(tool, call, intent, now)
        by = call.delegation
        use = _Use(tool.name, _audience(tool), call.operation, by.user, by.agent, by.task, by.chain, by.keys)
        kept = self._kept.get(use)
        if kept is not None and _is_fresh(kept[1], now):
            return kept[0]
        credential = _bearer(self._mint(tool, call, {}, now))
        self._kept.pop(use, None)
        self._make_room(now)
        self._kept[use] = (credential, now.replace(microsecond=0))
        return credential

    def subject_token(self, audience: str, by: Delegation, now: datetime) -> str:
        """Return what `audience`, the token endpoint of a tool's authorization server, may exchange (RFC 8693).

        It says what a tool token says, but for the operation.
        """
        return self._signed({"aud": audience, **_who(by)}, ACCESS["typ"], EXCHANGE_LIFE_S, now)

    def assertion(self, client_id: str, audience: str, now: datetime) -> str:
        """Return the proof that we are `client_id` at the token endpoint `audience` (RFC 7523, section 3)."""
        return self._signed({"iss": client_id, "sub": client_id, "aud": audience}, "JWT", EXCHANGE_LIFE_S, now)

    def forget(self, cut: Cut) -> int:
        """Hand out no token again whose delegation `cut` concerns; say how many could still have been."""
        gone = [use for use in self._kept if _concerns(cut, use)]
        now = self._clock.now()
        return sum(_is_fresh(self._kept.pop(use)[1], now) for use in gone)

    def jwks(self) -> JsonObject:
        """Return the public key set (RFC 7517) that all of them are verified with."""
        return {"keys": [dict(self._public)]}

    def _numbered(self, tool: Tool, call: ToolCall, intent: bytes, now: datetime) -> Credential:
        if self._run is None:
            raise CredentialUnavailableError(
                "sequence_unknown",
                "calls are numbered from the gateway's start, which is not recorded yet",
                "try again",
            )
        self._numbers[tool.name] += 1
        number = self._numbers[tool.name]
        said: JsonObject = {
            "seq": [self._run, number],
            "intent": urlsafe_b64encode(intent).rstrip(b"=").decode("ascii"),
        }
        return _bearer(self._mint(tool, call, said, now), (self._run, number))

    def _mint(self, tool: Tool, call: ToolCall, more: JsonObject, now: datetime) -> str:
        said: JsonObject = {"aud": _audience(tool), **_who(call.delegation), "operation": call.operation, **more}
        return self._signed(said, ACCESS["typ"], LIFE_S, now)

    def _signed(self, said: JsonObject, typ: str, life_s: int, now: datetime) -> str:
        now_s = int(now.timestamp())
        times: JsonObject = {"iat": now_s, "exp": now_s + life_s, "jti": self._random(16).hex()}
        return mint(self._key, {"iss": self._issuer, **said, **times}, {"alg": ALGORITHM, "typ": typ, "kid": self._kid})

    def _make_room(self, now: datetime) -> None:
        """Drop what is stale and, where that is not enough, the oldest."""
        while self._kept:
            use, (_, since) = next(iter(self._kept.items()))
            if _is_fresh(since, now) and len(self._kept) < CACHE_MAX:
                return
            del self._kept[use]


def _is_fresh(since: datetime, now: datetime) -> bool:
    # (The lower end: after the clock was set back, a kept token would come from the future.)
    return since <= now < since + _FRESH


def _audience(tool: Tool) -> str:
    return f"remit:tool:{tool.name}" if tool.command else tool.url


def _who(by: Delegation) -> JsonObject:
    act: JsonObject = {}
    for agent in reversed((by.agent, *by.chain)):
        act = {"sub": agent, "act": act} if act else {"sub": agent}
    return {"sub": by.user, "client_id": by.agent, "act": act, "txn": by.task}


def _bearer(token: str, sequence: tuple[int, int] | None = None) -> Credential:
    return Credential("authorization", f"Bearer {token}", sequence)


def _concerns(cut: Cut, use: _Use) -> bool:
    return cut.concerns(user=use.user, agent=use.agent, task=use.task, chain=use.chain, keys=use.keys)
