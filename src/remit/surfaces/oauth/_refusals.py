"""How the token service says no (RFC 6749, section 5.2), and what stays of it in the log."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remit import records
from remit.core import Delegation, Reason, RemitError, StoreUnavailableError, canonical_bytes
from remit.identity import TokenRefusedError
from remit.pipeline import Clock, Ledger
from remit.surfaces._http import Send, reply

TOLD_PAUSE = timedelta(minutes=1)
TOLD_KEPT = 1_000

NO_STORE = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))

_ERRORS = {
    "authentication_twice": "invalid_request",
    "grant_type_unsupported": "unsupported_grant_type",
    "audience_unknown": "invalid_target",  # RFC 8693, section 2.2.2
    "scope_unsupported": "invalid_scope",
    "authorization_details_invalid": "invalid_authorization_details",  # RFC 9396, section 5
    "authorization_details_fixed": "invalid_authorization_details",
    "dpop_proof_invalid": "invalid_dpop_proof",  # RFC 9449, section 5
    "dpop_proof_replayed": "invalid_dpop_proof",
    "dpop_nonce_required": "use_dpop_nonce",  # RFC 9449, section 8
    "issuer_unreachable": "temporarily_unavailable",
}
"""Our codes that mean one error of OAuth wherever they come up. Any other is the error of the step that failed, as
RFC 8693, section 2.2.2 and RFC 7523, section 3 demand."""

_STATUS = {"invalid_client": 401, "temporarily_unavailable": 503}

_Told = tuple[str, str, str, str]


def reason_of(error: RemitError) -> Reason:
    """Return what an error says as a reason."""
    return Reason(error.code, error.message, error.fix)


async def refuse(send: Send, error: RemitError, otherwise: str) -> None:
    """Say no. `otherwise` is how OAuth calls it, unless our code alone says that."""
    named = "temporarily_unavailable" if isinstance(error, StoreUnavailableError) else otherwise
    nonce = error.nonce if isinstance(error, TokenRefusedError) else ""
    extra = ((b"dpop-nonce", nonce.encode("ascii")),) if nonce else ()
    await refuse_for(send, reason_of(error), _ERRORS.get(error.code, named), 400, *extra)


async def refuse_for(send: Send, reason: Reason, error: str, status: int, *extra: tuple[bytes, bytes]) -> None:
    """Say no for `reason`, as the OAuth error `error`, with `status` unless the error has one of its own."""
    if error == "invalid_client":
        extra = ((b"www-authenticate", b'private_key_jwt realm="remit"'), *extra)
    # (A description is ASCII without quotes and backslashes, and an operator's reason for a revocation need not be.)
    said = reason.message.encode("ascii", "replace").decode("ascii").replace('"', "'").replace("\\", "/")
    body = {"error": error, "error_description": said, "code": reason.code, "fix": reason.fix}
    await reply(send, _STATUS.get(error, status), canonical_bytes(body), *NO_STORE, *extra)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Records what was refused to somebody known: once a minute for each code, or it could fill the log."""

    ledger: Ledger
    clock: Clock
    told: dict[_Told, datetime] = field(default_factory=dict)  # who and what -> when it may be recorded again

    async def record(self, known: Delegation | None, reason: Reason) -> None:
        """Leave a record where a signature says who it was."""
        if known is None or not self._is_news((known.user, known.agent, known.task, reason.code)):
            return
        now = self.clock.now()
        entry = records.refused(known, at=now, surface="oauth", code=reason.code, message=reason.message)
        try:
            await self.ledger.append(entry)
        except StoreUnavailableError:
            return  # it is refused all the same, and the gateway's health says that the store is gone

    def _is_news(self, what: _Told) -> bool:
        now = self.clock.now()
        if now < self.told.get(what, now):
            return False
        if len(self.told) >= TOLD_KEPT:
            self.told.clear()
        self.told[what] = now + TOLD_PAUSE
        return True
