"""Refusals as problem details (RFC 9457), each with its status, its stable code and its fix."""

from dataclasses import asdict
from typing import TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import JsonValue
from starlette.exceptions import HTTPException

from remit.core import ProjectInvalidError, Reason, RemitError, StoreUnavailableError
from remit.identity import TokenRefusedError
from remit.surfaces._http import challenge, refusal_status

T = TypeVar("T")

_STATUS = {
    "login_refused": 401,
    "token_missing": 401,
    "token_invalid": 401,
    "token_audience": 401,
    "token_expired": 401,
    "role_missing": 403,
    "login_of_agent": 403,
    "user_revoked": 403,
    "not_found": 404,
    "approver_not_needed": 409,
    "no_predecessor": 409,
    "key_registered": 409,
    "keys_too_many": 409,
    "conflict": 409,
    "agent_not_revoked": 409,
    "user_not_revoked": 409,
    "key_shared": 409,
    "key_revoked": 409,
    "not_stopped": 409,
    "not_quarantined": 409,
    "not_verified": 409,
    "still_changed": 409,
    "project_invalid": 422,
    "store_unavailable": 503,
}
_WRONG_MOMENT = ("_closed", "_expired", "_conflict", "_mismatch")
_MEDIA = "application/problem+json"


def status_of(code: str) -> int:
    """Return the HTTP status that goes with a refusal's code."""
    if code in _STATUS:
        return _STATUS[code]
    if code.startswith("approver_"):
        return 403
    if code.endswith("_unknown"):
        return 404
    return 409 if code.endswith(_WRONG_MOMENT) else 400


def settled(answer: T | Reason) -> T:
    """Return what a desk answered.

    Raises:
        RemitError: it refused; with its reason.
    """
    if isinstance(answer, Reason):
        raise RemitError(answer.code, answer.message, answer.fix)
    return answer


def refuse_in_one_form(api: FastAPI) -> None:
    """Give every refusal of `api` the same form."""
    for refusal in (RemitError, TokenRefusedError, ProjectInvalidError, StoreUnavailableError):
        api.exception_handler(refusal)(_refuse)
    api.exception_handler(RequestValidationError)(_refuse_shape)
    api.exception_handler(HTTPException)(_refuse_route)


async def _refuse(_request: Request, error: RemitError) -> JSONResponse:
    body: dict[str, JsonValue] = {"title": error.message, "code": error.code, "fix": error.fix}
    if isinstance(error, ProjectInvalidError):
        body["problems"] = [asdict(problem) for problem in error.problems]
    # (The first challenge alone: people's logins are borne.)
    said = challenge(error)[:1] if isinstance(error, TokenRefusedError) else ()
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in said}
    status = refusal_status(error) if isinstance(error, TokenRefusedError) else status_of(error.code)
    return JSONResponse(body, status, headers, media_type=_MEDIA)


async def _refuse_shape(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Say which fields are wrong, and never what they held: one of them is a secret."""
    wrong: list[JsonValue] = [f"{'.'.join(map(str, each['loc']))[:128]}: {each['type']}" for each in error.errors()]
    body: dict[str, JsonValue] = {
        "title": "the request does not have the form of this route",
        "code": "request_invalid",
        "fix": "mend the fields named under `problems`",
        "problems": wrong,
    }
    return JSONResponse(body, 422, media_type=_MEDIA)


async def _refuse_route(_request: Request, error: HTTPException) -> JSONResponse:
    code = {404: "path_unknown", 405: "method_not_allowed"}.get(error.status_code, "request_invalid")
    body = {"title": error.detail.lower(), "code": code, "fix": "see /openapi.json for what this port serves"}
    return JSONResponse(body, error.status_code, error.headers, media_type=_MEDIA)
