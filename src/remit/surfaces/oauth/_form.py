"""A request to the token service: a form (RFC 6749, section 3.2), which no two readers could read differently.

What a form says stays text here; what it means is for the parts that ask.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from remit.core import Delegation, InputRefusedError, Json, Reason, parse_strict
from remit.identity import read_details
from remit.surfaces._http import BodyRefusedError, Bounds, Headers, Receive, read_body

FIELDS_MAX = 20  # parameters of one request
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name (RFC 8693, section 3)
JWT = "urn:ietf:params:oauth:token-type:jwt"  # (RFC 8693, section 3)

Form = Mapping[str, str]

_MEDIA = b"application/x-www-form-urlencoded"
_WELL_FORMED = re.compile(rb"(?:[!-$&-~]|%[0-9A-Fa-f]{2})*")
_SEND = "send each parameter once, as application/x-www-form-urlencoded"


@dataclass(slots=True)
class Asked:
    """One request as far as it is understood: it is filled in as signatures hold, for whoever has to record a refusal.

    `error` is how OAuth calls what may go wrong next (RFC 6749, section 5.2). `delegation` is what a token of ours
    says, `agent` who authenticated, `user` whom a token of an issuer names, `details` the `authorization_details`.
    """

    form: Form
    headers: Headers
    error: str = "invalid_request"
    delegation: Delegation | None = None
    agent: str = ""
    user: str = ""
    details: Json = None

    def named(self, now: datetime) -> Delegation | None:
        """Return who the request is known to be about; None while no signature said anything."""
        if self.delegation is not None or not (self.agent or self.user):
            return self.delegation
        return Delegation(user=self.user, agent=self.agent, task="", use_case="", expires_at=now)


async def read_form(headers: Headers, receive: Receive, bounds: Bounds) -> Form:
    """Read a form within its bounds. A parameter without a value is as good as none (RFC 6749, section 3.2).

    Raises:
        BodyRefusedError: wrong type, too large, too slow, or cut off.
        InputRefusedError: `form_invalid`; `parameter_repeated`.
    """
    media, _, parameters = (headers.text(b"content-type") or "").encode("ascii").partition(b";")
    if media.strip().lower() != _MEDIA or parameters.strip().lower() not in (b"", b"charset=utf-8"):
        fix = f"send {_MEDIA.decode('ascii')}"
        raise BodyRefusedError(415, Reason("content_type_refused", "the body must be a form", fix))
    # The one reader of bodies asks for its own media type, and this one has been checked.
    as_json = Headers({**headers.values, b"content-type": b"application/json"}, headers.repeated)
    body = await read_body(as_json, receive, bounds)
    return _fields(body)


def read_asked_details(form: Form) -> Json:
    """Return the request's `authorization_details` (RFC 9396, section 3); None where it has none.

    Raises:
        InputRefusedError: `authorization_details_invalid`.
    """
    text = form.get("authorization_details")
    if text is None:
        return None
    try:
        details = parse_strict(text.encode("utf-8", "surrogatepass"))
    except InputRefusedError as error:
        message, fix = f"`authorization_details`: {error.message}", "send it as JSON text"
        raise InputRefusedError("authorization_details_invalid", message, fix) from error
    if read_details(details) is None:
        message, fix = "`authorization_details` is null", "leave it out, or say what the task is for"
        raise InputRefusedError("authorization_details_invalid", message, fix)
    return details


def _fields(body: bytes) -> Form:
    if not _WELL_FORMED.fullmatch(body):
        raise InputRefusedError("form_invalid", "not a form", _SEND)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as error:
        raise InputRefusedError("form_invalid", "not a form", _SEND) from error
    if len(dict(pairs)) != len(pairs):
        raise InputRefusedError("parameter_repeated", "a parameter came twice", _SEND)
    return {name: value for name, value in pairs if value}
