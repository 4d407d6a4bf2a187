"""The token request: a form (RFC 6749, section 3.2), read so that no two readers could read it differently."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from remit.core import InputRefusedError, Reason
from remit.identity import TokenRefusedError
from remit.surfaces._http import BodyRefusedError, Bounds, Headers, Receive, read_body

FIELDS_MAX = 20  # parameters of one request
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name (RFC 8693, section 2.1)
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name (RFC 8693, section 3)
JWT = "urn:ietf:params:oauth:token-type:jwt"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # (RFC 7523, section 2.2)

Form = Mapping[str, str]

_MEDIA = b"application/x-www-form-urlencoded"
_WELL_FORMED = re.compile(rb"(?:[!-$&-~]|%[0-9A-Fa-f]{2})*")
_SEND = "send grant_type, subject_token, subject_token_type, client_assertion_type and client_assertion, each once"


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


def check_exchange(form: Form, audience: str) -> None:
    """Check that it is a request for what is given here: a task token for `audience` (RFC 8693, section 2.1).

    Raises:
        InputRefusedError: `grant_type_missing`, `grant_type_unsupported`, `subject_token_missing`,
            `token_type_unsupported`, `actor_token_unsupported`, `audience_unknown` or `scope_unsupported`.
    """
    if "grant_type" not in form:
        raise InputRefusedError("grant_type_missing", "no grant type", f"send grant_type={TOKEN_EXCHANGE}")
    if form["grant_type"] != TOKEN_EXCHANGE:
        fix = f"send grant_type={TOKEN_EXCHANGE}"
        raise InputRefusedError("grant_type_unsupported", "only tokens are exchanged here", fix)
    if "subject_token" not in form:
        fix = "send the task's delegation token as subject_token"
        raise InputRefusedError("subject_token_missing", "no subject token", fix)
    if form.get("subject_token_type") != JWT:
        fix = f"send subject_token_type={JWT}"
        raise InputRefusedError("token_type_unsupported", "the subject token is a delegation, which is a JWT", fix)
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise InputRefusedError("token_type_unsupported", "only access tokens are issued", f"ask for {ACCESS_TOKEN}")
    if form.keys() & {"actor_token", "actor_token_type"}:
        fix = "leave actor_token out: the assertion says who acts"
        raise InputRefusedError("actor_token_unsupported", "an actor token is not looked at here", fix)
    if {form.get("audience", audience), form.get("resource", audience)} != {audience}:
        raise InputRefusedError("audience_unknown", "no tokens are issued here for that target", f"ask for {audience}")
    if "scope" in form:
        raise InputRefusedError("scope_unsupported", "a task's token has no scopes", "leave scope out")


def assertion_of(form: Form, headers: Headers) -> str:
    """Return the client's assertion, the one way to authenticate (RFC 6749, section 2.3; RFC 7523, section 2.2).

    Raises:
        TokenRefusedError: `assertion_missing`.
        InputRefusedError: `authentication_twice`.
    """
    if form.get("client_assertion_type") != JWT_BEARER or "client_assertion" not in form:
        fix = f"send client_assertion and client_assertion_type={JWT_BEARER}"
        raise TokenRefusedError("assertion_missing", "the agent does not say who it is", fix)
    if b"authorization" in headers.values or "client_secret" in form:
        raise InputRefusedError("authentication_twice", "more than one way of authenticating", "send only an assertion")
    return form["client_assertion"]
