"""A foreign identity provider: its keys, what it signs, and what it publishes, in memory or on a loopback port."""

import asyncio
import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from remit.adapters.oidc import FetchFailedError, Issuer, Issuers, IssuerUsers
from remit.identity import ClaimsMap, Presented, TokenRefusedError

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_S = int(NOON.timestamp())
ISSUER = "https://id.example.org/realms/staff"
MCP, ADMIN, SERVICE = "http://127.0.0.1:8700/mcp", "http://127.0.0.1:8701", "http://127.0.0.1:8700"
CLAIMS = ClaimsMap(
    attributes={"department": "dept", "clearance": "level", "contractor": "external"},
    roles={"user": frozenset({"staff", "guests"}), "operator": frozenset({"platform"})},
)
CORP = Issuer(name="corp", issuer=ISSUER, audiences=("api://tools",), claims=CLAIMS, events=True)
OTHER = Issuer(name="other", issuer="https://id.other.example", events=True)

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))

THUMBPRINT = urlsafe_b64encode(hashlib.sha256(b"the client's key").digest()).rstrip(b"=").decode()
CERTIFICATE = urlsafe_b64encode(hashlib.sha256(b"the client's certificate").digest()).rstrip(b"=").decode()

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass
class Clock:
    """A clock that moves only when told."""

    gone: timedelta = timedelta()

    def now(self) -> datetime:
        return NOON + self.gone

    def elapsed_us(self) -> int:
        return self.gone // timedelta(microseconds=1)

    def advance(self, **by: float) -> None:
        self.gone += timedelta(**by)


class Proofs:
    """Takes `proof` for the thumbprint of the key that signed it, each once."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def thumbprint(self, presented: Presented) -> str:
        if not presented.proof or presented.proof in self.seen:
            raise TokenRefusedError("dpop_proof_invalid", "no proof, or a replayed one", "sign a new proof")
        self.seen.add(presented.proof)
        return presented.proof


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def part(value: Any) -> str:
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


def jwk(key: PrivateKey, kid: str | None = None, **more: Any) -> dict[str, Any]:
    named = {} if kid is None else {"kid": kid}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **named, **more}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        size = len(point) // 2
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": b64(point[1 : size + 1]),
            "y": b64(point[size + 1 :]),
            **named,
            **more,
        }
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw), **named, **more}


def signature(key: PrivateKey | bytes, message: bytes) -> bytes:
    """Sign in the one way of a key; bytes sign as a shared secret (HS256)."""
    if isinstance(key, bytes):
        return hmac.digest(key, message, "sha256")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)
    return key.sign(message)


def sign(claims: Any, header: Any, key: PrivateKey | bytes) -> str:
    said = f"{part(header)}.{part(claims)}"
    return f"{said}.{b64(signature(key, said.encode()))}"


RS: dict[str, Any] = {"alg": "RS256", "kid": "r", "typ": "at+jwt"}
ES: dict[str, Any] = {"alg": "ES256", "kid": "e", "typ": "at+jwt"}
ED_HEADER: dict[str, Any] = {"alg": "EdDSA", "kid": "d", "typ": "at+jwt"}


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good access token with `changes`; None takes one away."""
    said = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": MCP,
        "client_id": "desk-app",
        "iat": NOW_S - 5,
        "exp": NOW_S + 600,
        "groups": ["staff", "payments"],
        "dept": "refunds",
        "level": 3,
        "external": False,
    }
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def good(**changes: Any) -> str:
    return sign(claims(**changes), RS, RSA)


KEYS: dict[str, Any] = {"keys": [jwk(RSA, "r", use="sig", alg="RS256"), jwk(EC, "e"), jwk(ED, "d", alg="EdDSA")]}


@dataclass
class Published:
    """What the issuer publishes, for a fetch in memory. Each fetch is counted; `down` ends them all."""

    keys: Any = field(default_factory=lambda: KEYS)
    issuer: str = ISSUER
    metadata: dict[str, Any] = field(default_factory=dict)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    hold: asyncio.Event | None = None

    @property
    def at(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"

    @property
    def keys_at(self) -> str:
        return f"{self.issuer}/jwks"

    @property
    def times(self) -> int:
        """How often the keys were looked for."""
        return self.asked.count(self.at)

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.hold is not None:
            await self.hold.wait()
        if self.down or url not in (self.at, self.keys_at):
            raise FetchFailedError("http 503")
        said = {"issuer": self.issuer, "jwks_uri": self.keys_at, **self.metadata} if url == self.at else self.keys
        return said if isinstance(said, bytes) else json.dumps(said).encode()


@dataclass
class Desk:
    """Users of one issuer, everything around them in hand; issuers in `also` sign with the same keys."""

    issuer: Issuer = CORP
    published: Published = field(default_factory=Published)
    clock: Clock = field(default_factory=Clock)
    epoch: int = 0
    wait_s: float = 5.0
    also: tuple[Issuer, ...] = ()
    strict: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.issuers = Issuers([self.issuer, *self.also], self._fetch, self.clock, wait_s=self.wait_s)
        self.users = IssuerUsers(
            self.issuers,
            self.clock,
            Proofs(),
            lambda: self.epoch,
            resources=frozenset({MCP}),
            strict=self.strict,
        )

    async def _fetch(self, url: str) -> bytes:
        asked = [each.issuer for each in self.also if url.startswith(f"{each.issuer}/")]
        return await (Published(issuer=asked[0]) if asked else self.published).fetch(url)

    async def code(self, token: str, **presented: Any) -> str:
        """Return the code with which a token is refused; "" where it counts."""
        try:
            await self.users.user(Presented(token, **presented), MCP)
        except TokenRefusedError as error:
            return error.code
        return ""


Answer = Callable[[str], tuple[int, bytes] | None]
"""Path -> status and body; None says nothing for ever."""


@asynccontextmanager
async def serving(answer: Answer, headers: str = "") -> AsyncIterator[tuple[str, list[str]]]:
    """Serve on a loopback port; yields the address and the paths asked for."""
    asked: list[str] = []
    quiet: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        quiet.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            asked.append(head.split(" ")[1])
            said = answer(asked[-1])
            if said is None:
                await reader.read()
            else:
                start = f"HTTP/1.1 {said[0]} X\r\ncontent-length: {len(said[1])}\r\n{headers}connection: close\r\n\r\n"
                writer.write(start.encode() + said[1])
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            quiet.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for each in quiet:
            each.cancel()
        await asyncio.gather(*quiet)
        await server.wait_closed()
