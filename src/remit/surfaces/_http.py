"""The strict edge of the data plane: raw ASGI in, refusals before anything is acted on.

Every request passes the `Door` first: one Host, of ours; no Origin but ours; one length.
"""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from remit.core import JsonObject, Reason, canonical_bytes
from remit.identity import Presented, TokenRefusedError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = (b"content-type", b"application/json")
_NONE: dict[str, Any] = {}
PROBLEM = (b"content-type", b"application/problem+json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one request may cost before it is understood."""

    body_bytes_max: int = 1 << 20
    body_wait_s: float = 10.0  # from the end of the head to the end of the body


class BodyRefusedError(Exception):
    """A request whose body will not be read. `status` is the HTTP status that says so."""

    def __init__(self, status: int, reason: Reason) -> None:
        super().__init__(reason.code)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Headers:
    """A request's headers by lower-case name. A header that came twice is in `repeated`.

    `certificate` is the client's TLS certificate in DER, verified when it connected; empty where there is none.
    """

    values: dict[bytes, bytes]
    repeated: frozenset[bytes] = field(default=frozenset())
    certificate: bytes = b""

    @classmethod
    def of(cls, scope: Scope) -> "Headers":
        """Read an ASGI scope's headers."""
        raw: list[tuple[bytes, bytes]] = scope["headers"]
        values = dict(raw)
        tls = scope.get("extensions", _NONE).get("tls", _NONE)
        if len(values) == len(raw) and tls is _NONE:
            return cls(values)
        names = [name for name, _ in raw]
        repeated = frozenset(name for name in values if names.count(name) > 1)
        return cls(values, repeated, tls.get("client_cert", b""))

    def text(self, name: bytes) -> str | None:
        """Return a header's value, or None where it is missing, came twice or is not ASCII."""
        value = self.values.get(name)
        if value is None or name in self.repeated or not value.isascii():
            return None
        return value.decode("ascii")


def presented(headers: Headers, method: str, url: str) -> Presented:
    """Return the token that came with a request to `url`: as bearer (RFC 6750), or with a DPoP proof (RFC 9449).

    Raises:
        TokenRefusedError: `token_missing` unless exactly one was sent; `dpop_proof_invalid` where two proofs were.
    """
    value = headers.text(b"authorization")
    if value is not None and not headers.certificate and value[:7].lower() == "bearer " and value[7:].strip():
        return Presented(value[7:].strip())
    scheme, _, token = ("" if value is None else value).partition(" ")
    certificate = thumbprint(headers.certificate) if headers.certificate else ""
    match scheme.lower() if token.strip() else "":
        case "bearer":
            return Presented(token.strip(), certificate=certificate)
        case "dpop":
            proof = headers.text(b"dpop")
            if proof is None:
                fix = "send one DPoP header with each request (RFC 9449)"
                raise TokenRefusedError("dpop_proof_invalid", "not exactly one DPoP proof came along", fix)
            return Presented(token.strip(), "dpop", proof, method, url, certificate)
        case _:
            fix = "send the task's token as `Authorization: DPoP`, or `Bearer` where the agent may"
            raise TokenRefusedError("token_missing", "no token", fix)


def thumbprint(certificate: bytes) -> str:
    """Return the SHA-256 thumbprint of a certificate in DER, in base64url (RFC 8705, section 3.1)."""
    return urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode("ascii")


def bearer(headers: Headers) -> str:
    """Return the bearer token (RFC 6750, section 2.1).

    Raises:
        TokenRefusedError: `token_missing` unless exactly one was sent.
    """
    value = headers.text(b"authorization")
    if value is None or value[:7].lower() != "bearer ":
        raise TokenRefusedError("token_missing", "no bearer token", "send the task's token as `Authorization: Bearer`")
    return value[7:].strip()


def challenge(refused: TokenRefusedError, metadata_url: str = "") -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that go with 401: how to come back (RFC 6750, section 3; RFC 9449, section 7.1).

    `metadata_url` says where a client learns at whom to log in (RFC 9728, section 5.1).
    """
    if refusal_status(refused) != 401:
        return ()
    where = f', resource_metadata="{metadata_url}"' if metadata_url else ""
    code = _DPOP_ERRORS.get(refused.code, "invalid_token")
    error = "" if refused.code == "token_missing" else f', error="{code}", error_description="{refused.code}"'
    # (In lines of their own: not every client reads past the first challenge of a line.)
    ways = (f'Bearer realm="remit"{error}{where}', f'DPoP algs="{DPOP_ALGORITHMS}"{error}{where}')
    headers = tuple((b"www-authenticate", way.encode("ascii")) for way in ways)
    return (*headers, (b"dpop-nonce", refused.nonce.encode("ascii"))) if refused.nonce else headers


def refusal_status(refused: TokenRefusedError) -> int:
    """Return the status of a refused token: 401, or 503 where it was we who could not verify it."""
    return 503 if refused.code == "issuer_unreachable" else 401


DPOP_ALGORITHMS = "Ed25519 EdDSA ES256 RS256"
_DPOP_ERRORS = {
    "dpop_proof_invalid": "invalid_dpop_proof",
    "dpop_proof_replayed": "invalid_dpop_proof",
    "dpop_nonce_required": "use_dpop_nonce",
}


class Door:
    """Decides which requests may be looked at, by Host and Origin (DNS rebinding, cross-site requests)."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset(host.encode("ascii") for host in hosts)
        self._origins = frozenset(scheme + host for host in self._hosts for scheme in (b"http://", b"https://"))

    def refusal(self, headers: Headers) -> tuple[int, Reason] | None:
        """Return why a request is turned away, or None."""
        if b"host" in headers.repeated or headers.values.get(b"host") not in self._hosts:
            return 421, Reason(
                "host_refused", "the Host header does not name this gateway", "use the address it printed"
            )
        origin = headers.values.get(b"origin")
        if origin is not None and (b"origin" in headers.repeated or origin not in self._origins):
            return 403, Reason("origin_refused", "requests from other sites are refused", "call it from a program")
        if b"content-length" in headers.values and b"transfer-encoding" in headers.values:
            return 400, Reason("length_ambiguous", "both Content-Length and Transfer-Encoding", "send one of them")
        if b"content-length" in headers.repeated:
            return 400, Reason("length_ambiguous", "Content-Length came twice", "send it once")
        return None


async def read_body(headers: Headers, receive: Receive, bounds: Bounds) -> bytes:
    """Read a JSON body within its bounds.

    Raises:
        BodyRefusedError: wrong type, too large, too slow, or cut off.
    """
    media = (headers.text(b"content-type") or "").split(";")
    if media[0].strip().lower() != "application/json" or not _is_utf8(media[1:]):
        raise BodyRefusedError(415, Reason("content_type_refused", "the body must be JSON", "send application/json"))
    too_large = BodyRefusedError(
        413, Reason("body_too_large", f"the body is over {bounds.body_bytes_max} bytes", "send less at once")
    )
    length = headers.values.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 12 or int(length) > bounds.body_bytes_max:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(bounds.body_wait_s):
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    reason = Reason("body_cut_off", "the connection closed inside the body", "send it whole")
                    raise BodyRefusedError(400, reason)
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > bounds.body_bytes_max:
                    raise too_large
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise BodyRefusedError(408, Reason("body_too_slow", "the body did not arrive", "send it at once")) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _is_utf8(parameters: list[str]) -> bool:
    return all(part.strip().lower().replace('"', "") in ("", "charset=utf-8") for part in parameters)


async def reply(
    send: Send, status: int, body: bytes, *extra: tuple[bytes, bytes], media: tuple[bytes, bytes] = JSON
) -> None:
    """Send a whole JSON answer."""
    headers = [media, (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def document(said: JsonObject, max_age_s: int = 300) -> Callable[[str, Headers, Receive, Send], Awaitable[None]]:
    """Return what serves a document that says the same to everybody, who may keep it for `max_age_s` seconds."""
    body = canonical_bytes(said)

    async def serve(method: str, _headers: Headers, _receive: Receive, send: Send) -> None:
        if method != "GET":
            reason = Reason("method_not_allowed", "this document is only read", "send GET")
            return await problem(send, 405, reason, (b"allow", b"GET"))
        return await reply(send, 200, body, (b"cache-control", b"public, max-age=%d" % max_age_s))

    return serve


async def problem(send: Send, status: int, reason: Reason, *extra: tuple[bytes, bytes]) -> None:
    """Send a refusal as problem details (RFC 9457)."""
    body = {"status": status, "title": reason.message, "code": reason.code, "fix": reason.fix}
    await reply(send, status, canonical_bytes(body), *extra, media=PROBLEM)
