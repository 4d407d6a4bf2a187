"""How the token service says no (RFC 6749, section 5.2)."""

from remit.core import Reason, RemitError, StoreUnavailableError, canonical_bytes
from remit.identity import TokenRefusedError
from remit.surfaces._http import Send, reply

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
