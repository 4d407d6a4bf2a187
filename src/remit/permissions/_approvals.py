"""The rules of approvals: who may say yes, who may say no, and which call a yes lets through.

1. A yes is for one call: the digest covers everything that makes it this call and no other.
2. A person counts once. The agent and its owner never count; the requester only where a requirement names `requester`.
3. What is asked now decides, not what was asked when the call was first held.
4. Nothing asked, nobody named, no time given: never lifted.

    digest = call_digest(tenant="acme", user="ana", ...)     # "sha256:..."
    match may_grant(approval, "ben", frozenset({"finance"}), digest_seen=digest, typed="", now=now):
        case Deny(reason):
            print(reason.code)
    lifted(hold, digest, binding, (approval,), now)          # Allow((Consume("apr_1"),))
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

from remit.core import (
    REQUESTER,
    Allow,
    Consume,
    Decision,
    Deny,
    Hold,
    InputRefusedError,
    Json,
    JsonObject,
    Reason,
    Requirement,
    canonical_bytes,
    parse_utc,
    utc_text,
)
from remit.permissions._approval import Approval, Grant, State

_FINGERPRINT = ("kind", "approvers", "quorum", "typed")  # what makes two requirements the same; time is asked apart


def call_digest(  # noqa: PLR0913 - each part is one thing a yes is bound to
    *,
    tenant: str,
    user: str,
    agent: str,
    release: str,
    use_case: str,
    task: str,
    operation: str,
    descriptor: str,
    endpoint: JsonObject,
    arguments: bytes,
) -> str:
    """Return what an approval is bound to: `sha256:` over everything that makes a call this call.

    `release` is the bundle's digest, `descriptor` the descriptor's, `arguments` the canonical bytes that are forwarded.
    """
    return _sha256(
        {
            "tenant": tenant,
            "user": user,
            "agent": agent,
            "release": release,
            "use_case": use_case,
            "task": task,
            "operation": operation,
            "descriptor": descriptor,
            "endpoint": endpoint,
            "arguments": arguments.decode(),
        }
    )


def binding_of(task: str, operation: str, control_arguments: JsonObject) -> str:
    """Return what a denial sticks to: `sha256:` over all but content, so that another wording does not reopen it."""
    return _sha256({"task": task, "operation": operation, "control_arguments": control_arguments})


def expires_at(requirements: tuple[Requirement, ...], opened_at: datetime) -> datetime:
    """Return when the first of `requirements` runs out; `opened_at` itself when nothing is required."""
    return opened_at + timedelta(seconds=min((need.within_s for need in requirements), default=0))


# -- who may say what


def may_grant(  # noqa: PLR0913, PLR0917 - who, as what, having seen and typed what, and when: one act
    approval: Approval, person: str, roles: frozenset[str], digest_seen: str, typed: str, now: datetime
) -> tuple[Grant, ...] | Deny:
    """Return the grants that `person`'s yes makes: one for each requirement that they qualify for.

    `digest_seen` is the digest of what was on their screen, `typed` what they typed to confirm.

    Deny codes: `approval_closed`, `approval_expired`, `approval_digest_mismatch`, `approver_is_agent`,
    `approver_is_owner`, `approver_twice`, `approver_is_requester`, `approver_role_missing`, `confirmation_mismatch`.
    A wrong confirmation grants nothing at all.
    """
    refused = _closed(approval, now) or _other_digest(approval, digest_seen) or _excluded(approval, person)
    if refused is not None:
        return refused
    qualified = [(need, role) for need in approval.requirements if (role := _role_for(approval, need, person, roles))]
    if not qualified:
        return _unqualified(approval, person)
    wrong = next((need for need, _ in qualified if need.typed and not _equal(need.typed, typed)), None)
    if wrong is not None:
        message = f"what was typed does not confirm `{approval.operation}`"
        return _deny("confirmation_mismatch", message, "type exactly what the page asks for")
    return tuple(dict.fromkeys(Grant(person=person, role=role, kind=need.kind, at=now) for need, role in qualified))


def may_deny(approval: Approval, person: str, roles: frozenset[str], now: datetime) -> Allow | Deny:
    """Say whether `person` may deny: whoever might grant any of it, also after a yes of their own, and the requester.

    Deny codes: `approval_closed`, `approval_expired`, `approver_is_agent`, `approver_is_owner`,
    `approver_role_missing`.
    """
    refused = _closed(approval, now)
    if refused is not None:
        return refused
    if person and person == approval.user:
        return Allow()
    refused = _insider(approval, person)
    if refused is not None:
        return refused
    if any(_role_for(approval, need, person, roles) for need in approval.requirements):
        return Allow()
    return _unqualified(approval, person)


def missing(approval: Approval) -> tuple[Requirement, ...]:
    """Return the requirements of `approval` whose quorum of distinct persons is not reached."""
    return tuple(need for need in approval.requirements if _lacks(approval, need, approval.grants))


def _closed(approval: Approval, now: datetime) -> Deny | None:
    if approval.state is not State.WAITING:
        message = f"approval `{approval.id}` is {approval.state.value}, no longer waiting"
        return _deny("approval_closed", message, "nothing is left to decide; a new call opens a new approval")
    if now >= approval.expires_at:
        message = f"approval `{approval.id}` expired at {utc_text(approval.expires_at)}"
        return _deny("approval_expired", message, "let the agent make the call again")
    return None


def _other_digest(approval: Approval, digest_seen: str) -> Deny | None:
    if _equal(approval.digest, digest_seen):
        return None
    message = f"the call that was shown is not the one that approval `{approval.id}` is for"
    return _deny("approval_digest_mismatch", message, "load the page again and read the call that waits now")


def _insider(approval: Approval, person: str) -> Deny | None:
    if _same(person, approval.agent):
        return _deny("approver_is_agent", "an agent never approves its own call", "ask a person")
    if _same(person, approval.owner) and not _confirms(approval, person):
        message = f"`{person}` owns the agent `{approval.agent}` and never counts for its calls"
        return _deny("approver_is_owner", message, f"ask another of {_approvers(approval.requirements)}")
    return None


def _confirms(approval: Approval, person: str) -> bool:
    """Say whether `person` is the user, who confirms what is done in their name, whosever the agent is."""
    return person == approval.user and any(REQUESTER in need.approvers for need in approval.requirements)


def _excluded(approval: Approval, person: str) -> Deny | None:
    if any(_same(grant.person, person) for grant in approval.grants):
        message = f"`{person}` has approved `{approval.id}` already, and counts once"
        return _deny("approver_twice", message, f"ask another of {_approvers(approval.requirements)}")
    return _insider(approval, person)


def _role_for(approval: Approval, need: Requirement, person: str, roles: frozenset[str]) -> str:
    """Return in which role `person` qualifies for `need`; empty: in none."""
    if not person:
        return ""
    if _same(person, approval.user):  # no role makes a requester count, not even one that is named like this
        return REQUESTER if person == approval.user and REQUESTER in need.approvers else ""
    return next((role for role in need.approvers if role in roles and role != REQUESTER), "")


def _unqualified(approval: Approval, person: str) -> Deny:
    wanted = _approvers(approval.requirements)
    if _same(person, approval.user):
        message = f"`{person}` is the one for whom the agent acts, and cannot approve it too"
        return _deny("approver_is_requester", message, f"ask {wanted}")
    message = f"`{person}` has none of the roles that are asked: {wanted}"
    return _deny("approver_role_missing", message, f"ask {wanted}")


# -- which call a yes lets through


def lifted(hold: Hold, digest: str, binding: str, approvals: tuple[Approval, ...], now: datetime) -> Decision:
    """Look at `hold` again with the task's approvals: does one of them let exactly this call through, now?

    Deny codes: `already_executed` (with `instead`), `approval_denied`. Where nothing lifts it, the hold stays, and says
    which approval waits and for whom. Expired and void approvals do not count; a denial stands as long as its task.
    """
    mine = [approval for approval in approvals if _equal(approval.digest, digest)]
    used = next((approval for approval in mine if approval.state is State.USED), None)
    if used is not None:
        message = f"this very call was approved and made once, as `{used.call}`"
        return Deny(Reason("already_executed", message, "use the recorded outcome of that call"), instead=used.call)
    refused = denied(digest, binding, approvals)
    if refused is not None:
        return refused
    waiting = [approval for approval in mine if approval.state is State.WAITING and now < approval.expires_at]
    for approval in waiting:
        if hold.requirements and all(_is_met(approval, need, now) for need in hold.requirements):
            return Allow((Consume(approval.id),))
    return _still_held(hold, waiting[0], now) if waiting else hold


def denied(digest: str, binding: str, approvals: tuple[Approval, ...]) -> Deny | None:
    """Return the denial that a person's no means for this call, for as long as its task lives; None without one.

    It is asked also where nothing would hold the call any more: what a person refused does not become right by itself.
    """
    no = next((one for one in approvals if one.state is State.DENIED and _is_about(one, digest, binding)), None)
    if no is None:
        return None
    message = f"`{no.operation}` with these arguments was denied by `{no.by}` (approval `{no.id}`)"
    return _deny("approval_denied", message, "do not ask again; tell the user that it was denied")


def _is_about(approval: Approval, digest: str, binding: str) -> bool:
    return _equal(approval.digest, digest) or _equal(approval.binding, binding)


def _is_met(approval: Approval, need: Requirement, now: datetime) -> bool:
    """Say whether what is asked now was asked of the approvers too, is in time, and has its quorum."""
    asked = any(all(getattr(one, key) == getattr(need, key) for key in _FINGERPRINT) for one in approval.requirements)
    in_time = approval.opened_at <= now < approval.opened_at + timedelta(seconds=need.within_s)
    given = (grant for grant in approval.grants if approval.opened_at <= grant.at <= now)
    return asked and in_time and not _lacks(approval, need, given)


def _lacks(approval: Approval, need: Requirement, grants: Iterable[Grant]) -> int:
    """Return how many persons `need` still waits for. An empty quorum is no quorum: one person at the least."""
    persons = {_folded(grant.person) for grant in grants if _counts(approval, need, grant)}
    return max(0, max(1, need.quorum) - len(persons))


def _counts(approval: Approval, need: Requirement, grant: Grant) -> bool:
    # (Looked at again although `may_grant` made the grant: a grant that got there otherwise opens nothing.)
    if grant.kind != need.kind or _insider(approval, grant.person) is not None:
        return False
    return bool(_role_for(approval, need, grant.person, frozenset({grant.role})))


def _still_held(hold: Hold, approval: Approval, now: datetime) -> Hold:
    given = [grant for grant in approval.grants if approval.opened_at <= grant.at <= now]
    lacks = [
        f"{count} of {', '.join(need.approvers)} ({need.kind})"
        for need in hold.requirements
        if (count := _lacks(approval, need, given))
    ]
    waits = f"still waits for {'; '.join(lacks)}" if lacks else "was for less than is asked now"
    message = f"{hold.reason.message}; approval `{approval.id}` {waits}"
    return replace(hold, reason=replace(hold.reason, message=message))


# -- small things


def _sha256(value: Mapping[str, object]) -> str:
    return f"sha256:{sha256(canonical_bytes(value)).hexdigest()}"


def _deny(code: str, message: str, fix: str) -> Deny:
    return Deny(Reason(code, message, fix))


def _equal(left: str, right: str) -> bool:
    """Compare in a time that says nothing of where two texts differ."""
    return compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))


def _folded(person: str) -> str:
    return unicodedata.normalize("NFKC", person).casefold()


def _same(left: str, right: str) -> bool:
    """Say whether two names may be one person: `Ana` is no second pair of eyes for `ana`."""
    return _folded(left) == _folded(right)


def _approvers(requirements: tuple[Requirement, ...]) -> str:
    names = dict.fromkeys(name for need in requirements for name in need.approvers)
    return ", ".join(f"`{name}`" for name in names) or "nobody: the hold names no approvers"


# -- as JSON, for the store and the log


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
        "requirements": [
            {
                "kind": need.kind,
                "approvers": list(need.approvers),
                "quorum": need.quorum,
                "within_s": need.within_s,
                "typed": need.typed,
            }
            for need in approval.requirements
        ],
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
    }


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
    )


def _requirement(value: JsonObject) -> Requirement:
    return Requirement(
        kind=_text(value, "kind"),
        approvers=_texts(value, "approvers"),
        quorum=_number(value, "quorum"),
        within_s=_number(value, "within_s"),
        typed=_text(value, "typed"),
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


def _number(value: JsonObject, key: str) -> int:
    found = value[key]
    if not isinstance(found, int) or isinstance(found, bool):
        raise TypeError(key)
    return found
