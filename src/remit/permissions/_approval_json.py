"""Approvals as JSON, for the store and the log. What is empty and came late to the form is left out.

approval_of_json(approval_json(approval)) == approval    # True
"""

from remit.core import InputRefusedError, Json, JsonObject, Requirement, parse_utc, utc_text
from remit.permissions._approval import Approval, Grant, State

_ADDED = ("edited", "instead_of")  # fields that not every approval has


def approval_json(approval: Approval) -> JsonObject:
    """Write `approval` as plain values; `approval_of_json` reads back the same."""
    return {
        "id": approval.id,
        "digest": approval.digest,
        "binding": approval.binding,
        "task": approval.task,
        "user": approval.user,
        "agent": approval.agent,
        "owner": approval.owner,
        "use_case": approval.use_case,
        "operation": approval.operation,
        "requirements": [requirement_json(need) for need in approval.requirements],
        "code": approval.code,
        "message": approval.message,
        "rationale": approval.rationale,
        "entry": approval.entry,
        "opened_at": utc_text(approval.opened_at),
        "expires_at": utc_text(approval.expires_at),
        "state": approval.state.value,
        "grants": [
            {"person": grant.person, "role": grant.role, "kind": grant.kind, "at": utc_text(grant.at)}
            for grant in approval.grants
        ],
        "by": approval.by,
        "call": approval.call,
        "version": approval.version,
        **{name: getattr(approval, name) for name in _ADDED if getattr(approval, name)},
        **({"editors": [*approval.editors]} if approval.editors else {}),
    }


def requirement_json(need: Requirement) -> JsonObject:
    """Write one requirement as plain values."""
    said: JsonObject = {
        "kind": need.kind,
        "approvers": [*need.approvers],
        "quorum": need.quorum,
        "within_s": need.within_s,
        "typed": need.typed,
    }
    return {**said, "apart": need.apart} if need.apart else said


def approval_of_json(value: Json) -> Approval:
    """Read back what `approval_json` wrote.

    Raises:
        InputRefusedError: `approval_invalid`, when `value` is anything else.
    """
    try:
        return _approval(_object(value))
    except (KeyError, TypeError, ValueError) as error:
        message = f"not an approval: {type(error).__name__} at {str(error)[:80]!r}"
        raise InputRefusedError("approval_invalid", message, "read only what the store or the log holds") from error


def _approval(value: JsonObject) -> Approval:
    return Approval(
        id=_text(value, "id"),
        digest=_text(value, "digest"),
        binding=_text(value, "binding"),
        task=_text(value, "task"),
        user=_text(value, "user"),
        agent=_text(value, "agent"),
        owner=_text(value, "owner"),
        use_case=_text(value, "use_case"),
        operation=_text(value, "operation"),
        requirements=tuple(map(_requirement, _objects(value, "requirements"))),
        code=_text(value, "code"),
        message=_text(value, "message"),
        rationale=_text(value, "rationale"),
        entry=_number(value, "entry"),
        opened_at=parse_utc(_text(value, "opened_at")),
        expires_at=parse_utc(_text(value, "expires_at")),
        state=State(_text(value, "state")),
        grants=tuple(map(_grant, _objects(value, "grants"))),
        by=_text(value, "by"),
        call=_text(value, "call"),
        version=_number(value, "version"),
        edited=_added(value, "edited"),
        instead_of=_added(value, "instead_of"),
        editors=_editors(value),
    )


def _requirement(value: JsonObject) -> Requirement:
    return Requirement(
        kind=_text(value, "kind"),
        approvers=_texts(value, "approvers"),
        quorum=_number(value, "quorum"),
        within_s=_number(value, "within_s"),
        typed=_text(value, "typed"),
        apart=_added(value, "apart"),
    )


def _grant(value: JsonObject) -> Grant:
    return Grant(
        person=_text(value, "person"),
        role=_text(value, "role"),
        kind=_text(value, "kind"),
        at=parse_utc(_text(value, "at")),
    )


def _object(value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise TypeError("an object")
    return value


def _list(value: JsonObject, key: str) -> list[Json]:
    found = value[key]
    if not isinstance(found, list):
        raise TypeError(key)
    return found


def _objects(value: JsonObject, key: str) -> list[JsonObject]:
    return [_object(item) for item in _list(value, key)]


def _texts(value: JsonObject, key: str) -> tuple[str, ...]:
    found = _list(value, key)
    texts = tuple(item for item in found if isinstance(item, str))
    if len(texts) != len(found):
        raise TypeError(key)
    return texts


def _text(value: JsonObject, key: str) -> str:
    found = value[key]
    if not isinstance(found, str):
        raise TypeError(key)
    return found


def _added(value: JsonObject, key: str) -> str:
    return _text(value, key) if key in value else ""


def _editors(value: JsonObject) -> tuple[str, ...]:
    return _texts(value, "editors") if "editors" in value else ()


def _number(value: JsonObject, key: str) -> int:
    found = value[key]
    if not isinstance(found, int) or isinstance(found, bool):
        raise TypeError(key)
    return found
