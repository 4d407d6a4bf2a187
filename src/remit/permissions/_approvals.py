"""The rules of approvals: who may say yes, who may say no, and which call a yes lets through.

1. A yes is for one call: the digest covers everything that makes it this call and no other.
2. A person counts once. The agent, its owner and all who edited the call never count; the requester only where a
   requirement names `requester`. What was said of a call before it was edited is said of another call.
3. What is asked now decides, not what was asked when the call was first held.
4. Requirements that must be met apart are met by distinct persons, however many roles each of them has.
5. Nothing asked, nobody named, no time given: never lifted.

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
    JsonObject,
    Reason,
    Requirement,
    canonical_bytes,
    utc_text,
)
from remit.permissions._approval import Approval, Grant, State

_FINGERPRINT = (
    "kind",
    "approvers",
    "quorum",
    "typed",
    "apart",
)  # what makes two requirements the same; time is asked apart


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
    before: str = "",
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
            **({"before": before} if before else {}),
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
    `approver_is_owner`, `approver_is_editor`, `approver_twice`, `approver_is_requester`, `approver_role_missing`,
    `approver_not_needed`, `confirmation_mismatch`. A wrong confirmation grants nothing at all.
    """
    refused = _closed(approval, now) or _other_digest(approval, digest_seen) or _excluded(approval, person)
    if refused is not None:
        return refused
    qualified = [(need, role) for need in approval.requirements if (role := _role_for(approval, need, person, roles))]
    if not qualified:
        return _unqualified(approval, person)
    grants = tuple(dict.fromkeys(Grant(person=person, role=role, kind=need.kind, at=now) for need, role in qualified))
    if not _helps(approval, grants):
        return _not_needed(approval, person)
    wrong = next((need for need, _ in qualified if need.typed and not _equal(need.typed, typed)), None)
    if wrong is not None:
        message = f"what was typed does not confirm `{approval.operation}`"
        return _deny("confirmation_mismatch", message, "type exactly what the page asks for")
    return grants


def _helps(approval: Approval, grants: tuple[Grant, ...]) -> bool:
    """Say whether fewer persons are needed with `grants`, also where somebody else moves to another need for them."""
    before = _lacking(approval, approval.requirements, approval.grants)
    return len(_lacking(approval, approval.requirements, (*approval.grants, *grants))) < len(before)


def _not_needed(approval: Approval, person: str) -> Deny:
    needed = "; ".join(still_needed(approval))
    message = f"a yes of `{person}` would change nothing: still needed is {needed or 'nobody'}"
    return _deny("approver_not_needed", message, f"ask others: {needed}" if needed else "let the agent make the call")


def may_deny(approval: Approval, person: str, roles: frozenset[str], now: datetime) -> Allow | Deny:
    """Say whether `person` may deny: the requester, and whoever might grant any of it, also after a yes of their own.

    Also whoever edited it.

    Deny codes: `approval_closed`, `approval_expired`, `approver_is_agent`, `approver_is_owner`,
    `approver_role_missing`.
    """
    refused = _closed(approval, now)
    if refused is not None:
        return refused
    if person and person == approval.user:
        return Allow()
    return _may_decide(approval, person, roles)


def was_shown(approval: Approval, digest_seen: str) -> Allow | Deny:
    """Say whether somebody who saw the call with `digest_seen` saw the one that waits.

    Deny code: `approval_digest_mismatch`.
    """
    return _other_digest(approval, digest_seen) or Allow()


def may_edit(approval: Approval, person: str, roles: frozenset[str], now: datetime) -> Allow | Deny:
    """Say whether `person` may change the call that waits: whoever might approve any of it in a role.

    Also after a yes of their own: it was to another call. The requester may not: who edits counts for nothing, and what
    is theirs to say, a confirmation, nobody else could say then.

    Deny codes: `approval_closed`, `approval_expired`, `approver_is_agent`, `approver_is_owner`,
    `approver_is_requester`, `approver_role_missing`.
    """
    refused = _closed(approval, now)
    if refused is not None:
        return refused
    if _same(person, approval.user):
        message = f"`{person}` is the one for whom the agent acts; whoever edits a call decides nothing of it"
        return _deny("approver_is_requester", message, "deny it and have the agent make another call")
    return _may_decide(approval, person, roles)


def _may_decide(approval: Approval, person: str, roles: frozenset[str]) -> Allow | Deny:
    refused = _insider(approval, person)
    if refused is not None:
        return refused
    if any(_role_for(approval, need, person, roles) for need in approval.requirements):
        return Allow()
    return _unqualified(approval, person)


def missing(approval: Approval) -> tuple[Requirement, ...]:
    """Return the requirements of `approval` that a further person could help to meet.

    Of two that must be met apart, and one person who could serve either, it is both.
    """
    open_needs = {place for lacking in _lacking(approval, approval.requirements, approval.grants) for place in lacking}
    return tuple(need for place, need in enumerate(approval.requirements) if place in open_needs)


def still_needed(approval: Approval) -> tuple[str, ...]:
    """Say who is still needed, a line for each way: `1 of finance (approval)`; empty: nobody."""
    return _needed(approval, approval.requirements, approval.grants)


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


def _edited_by(approval: Approval, person: str) -> bool:
    """Say whether `person` had a hand in the call as it stands: what others changed after them may be a comma."""
    return any(_same(person, editor) for editor in approval.editors)


def _confirms(approval: Approval, person: str) -> bool:
    """Say whether `person` is the user, who confirms what is done in their name, whosever the agent is."""
    return person == approval.user and any(REQUESTER in need.approvers for need in approval.requirements)


def _excluded(approval: Approval, person: str) -> Deny | None:
    if any(_same(grant.person, person) for grant in approval.grants):
        message = f"`{person}` has approved `{approval.id}` already, and counts once"
        needed = "; ".join(still_needed(approval))
        return _deny("approver_twice", message, f"ask others: {needed}" if needed else "let the agent make the call")
    if _edited_by(approval, person):
        message = f"`{person}` changed this call and never counts for it, whoever changed it after them"
        return _deny("approver_is_editor", message, f"ask another of {_approvers(approval.requirements)}")
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
        if hold.requirements and _is_met(approval, hold.requirements, now):
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


def _is_met(approval: Approval, needs: tuple[Requirement, ...], now: datetime) -> bool:
    """Say whether what is asked now was asked of the approvers too, is in time, and has its quorums."""
    return all(_was_asked(approval, need, now) for need in needs) and not _lacking(
        approval, needs, _given(approval, now)
    )


def _was_asked(approval: Approval, need: Requirement, now: datetime) -> bool:
    asked = any(all(getattr(one, key) == getattr(need, key) for key in _FINGERPRINT) for one in approval.requirements)
    return asked and approval.opened_at <= now < approval.opened_at + timedelta(seconds=need.within_s)


def _given(approval: Approval, now: datetime) -> tuple[Grant, ...]:
    return tuple(grant for grant in approval.grants if approval.opened_at <= grant.at <= now)


def _lacking(approval: Approval, needs: tuple[Requirement, ...], grants: Iterable[Grant]) -> list[tuple[int, ...]]:
    """Return, for each person who is still needed, which of `needs`, by index, that person could serve."""
    told = tuple(grants)
    groups: dict[str, list[int]] = {}
    for place, need in enumerate(needs):
        groups.setdefault(need.apart or f"{place}", []).append(place)
    return [lacking for group in groups.values() for lacking in _unmet(approval, needs, group, told)]


def _unmet(
    approval: Approval, needs: tuple[Requirement, ...], group: list[int], grants: tuple[Grant, ...]
) -> list[tuple[int, ...]]:
    """Seat distinct persons in the places of one group of needs; return for each empty place whom it could be for.

    A largest matching, found by augmenting paths: whoever has two roles takes the one that leaves room for others. An
    empty quorum is no quorum: one person at the least.
    """
    places = [index for index in group for _ in range(max(1, needs[index].quorum))]
    able = {index: _persons(approval, needs[index], grants) for index in group}
    seated: dict[str, int] = {}  # by person, the place
    empty = [place for place in range(len(places)) if not _seat(place, places, able, seated, set())]
    return [_open_needs(place, places, able, seated) for place in empty]


def _seat(
    place: int, places: list[int], able: Mapping[int, frozenset[str]], seated: dict[str, int], reached: set[str]
) -> bool:
    """Find somebody for `place`, moving others along where that makes room (Kuhn's algorithm)."""
    for person in sorted(able[places[place]] - reached):
        if person in reached:  # (on a path that was tried meanwhile)
            continue
        reached.add(person)
        if person not in seated or _seat(seated[person], places, able, seated, reached):
            seated[person] = place
            return True
    return False


def _open_needs(
    place: int, places: list[int], able: Mapping[int, frozenset[str]], seated: Mapping[str, int]
) -> tuple[int, ...]:
    """Return the needs that a further person could serve instead of the one with an empty `place`, and that one."""
    found, look = [places[place]], [place]
    while look:
        at = look.pop()
        for person in sorted(able[places[at]] & seated.keys()):
            need = places[seated[person]]
            if need not in found:
                found.append(need)
                look.append(seated[person])
    return tuple(sorted(found))


def _persons(approval: Approval, need: Requirement, grants: tuple[Grant, ...]) -> frozenset[str]:
    return frozenset(_folded(grant.person) for grant in grants if _counts(approval, need, grant))


def _counts(approval: Approval, need: Requirement, grant: Grant) -> bool:
    # (Looked at again although `may_grant` made the grant: a grant that got there otherwise opens nothing.)
    if grant.kind != need.kind or _insider(approval, grant.person) is not None:
        return False
    if _edited_by(approval, grant.person):
        return False
    return bool(_role_for(approval, need, grant.person, frozenset({grant.role})))


def _needed(approval: Approval, needs: tuple[Requirement, ...], grants: Iterable[Grant]) -> tuple[str, ...]:
    """Say who is still needed, those who could do the same counted together."""
    counted: dict[tuple[int, ...], int] = {}
    for lacking in _lacking(approval, needs, grants):
        counted[lacking] = counted.get(lacking, 0) + 1
    return tuple(
        f"{count} of {' or '.join(_asked_of(needs[index]) for index in lacking)}" for lacking, count in counted.items()
    )


def _asked_of(need: Requirement) -> str:
    return f"{', '.join(need.approvers)} ({need.kind})"


def _still_held(hold: Hold, approval: Approval, now: datetime) -> Hold:
    lacks = _needed(approval, hold.requirements, _given(approval, now))
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
