"""What tools know Remit's calls by: a token for one tool, that says who asks, who acts and in what task (RFC 9068).

A tool, or a service behind it, verifies it with the key set that the gateway publishes, and may apply a policy of its
own to it (R2.10). It is good nowhere else: not at another tool, not at our own doors.
"""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.adapters.oauth._jose import ACCESS, mint, own_key, public_jwk
from remit.catalogue import Tool
from remit.core import JsonObject, ToolCall

LIFE_S = 120  # seconds
LEFT_S = 30  # seconds of life that a token handed out again has left at least
CACHE_MAX = 10_000  # tokens kept; emptied when full

_Use = tuple[str, str, str, str, str]
_FRESH = timedelta(seconds=LIFE_S - LEFT_S)


class ToolTokens:
    """Mints tool tokens (`pipeline.Credentials`). One is made per tool, user, agent and task, and kept while fresh."""

    def __init__(
        self, key: Ed25519PrivateKey, issuer: str, *, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._key = own_key(key)
        self._public = public_jwk(key)
        self._header = {**ACCESS, "kid": str(self._public["kid"])}
        self._issuer = issuer
        self._random = random
        self._kept: dict[_Use, tuple[str, datetime]] = {}

    def mint(self, tool: Tool, call: ToolCall, now: datetime) -> str:
        """See `Credentials.mint`."""
        by = call.delegation
        use = (tool.name, tool.url, by.user, by.agent, by.task)
        kept = self._kept.get(use)
        # (The lower end: after the clock was set back, a kept token would come from the future.)
        if kept is not None and kept[1] <= now < kept[1] + _FRESH:
            return kept[0]
        token = self._mint(tool, call, int(now.timestamp()))
        if len(self._kept) >= CACHE_MAX:
            self._kept.clear()
        self._kept[use] = (token, now.replace(microsecond=0))
        return token

    def forget_agent(self, agent: str) -> None:
        """Hand out no token again that was minted for `agent`, which was revoked."""
        self._kept = {use: kept for use, kept in self._kept.items() if use[3] != agent}

    def jwks(self) -> JsonObject:
        """Return the public key set (RFC 7517) that tool tokens are verified with."""
        return {"keys": [dict(self._public)]}

    def _mint(self, tool: Tool, call: ToolCall, now_s: int) -> str:
        by = call.delegation
        return mint(
            self._key,
            {
                "iss": self._issuer,
                "aud": f"remit:tool:{tool.name}" if tool.command else tool.url,
                "sub": by.user,
                "client_id": by.agent,
                "act": {"sub": by.agent},
                "txn": by.task,
                "iat": now_s,
                "exp": now_s + LIFE_S,
                "jti": self._random(16).hex(),
            },
            self._header,
        )
