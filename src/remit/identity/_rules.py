"""Identity's gates, pure. Signatures were checked where the bytes came in; here: whether they still count."""

from collections.abc import Mapping
from datetime import datetime

from remit.core import Allow, Authority, Decision, Delegation, Deny, Level, Reason, Revocation, Task
from remit.identity._model import CHAIN_MAX, USER, Person, Registration, UserToken

_REOPEN = "open a new task"
_LOG_IN = "log in again, and open a new task"
_FIXES = {
    "agent": "ask an operator; `remit agents restore`",
    "user": "ask an operator; `remit users restore` (with --agent where it was one agent's)",
    "task": _REOPEN,
    "key": "register another key of the agent, and open a new task",
}


def may_have_agents_act(person: Person) -> Decision:
    """Allow only people with the role of a user: operating the gateway is no reason to have agents act for one."""
    if USER in person.roles:
        return Allow()
    return Deny(
        Reason(
            "role_missing",
            f"`{person.name[:64]}` has not the role `{USER}`",
            "have the role given: in development.people, or by the roles of the issuer, in remit.yaml, read at start",
        )
    )


def is_users_channel(login: UserToken, registrations: Mapping[str, Registration]) -> Decision:
    """Allow only a login that no agent acts by: what an agent says with its user's token is not the user's word.

    Refused is a login that lets an agent act (`may_act`), or was issued to a client that is an agent here; and one of
    an organisation's issuer that names no client, for nobody can tell.
    """
    if login.issuer and not login.client_id:
        fix = "have the issuer put `client_id` or `azp` into its tokens"
        return Deny(Reason("login_of_agent", "this login does not say which client it was issued to", fix))
    clients = {(each.issuer, each.client_id) for agent in registrations.values() for each in agent.clients}
    if not login.may_act and login.client_id not in registrations and (login.issuer, login.client_id) not in clients:
        return Allow()
    fix = "log in with the organisation's own channel, and do it from there"
    return Deny(Reason("login_of_agent", "this login is one that agents act by, not the user's own channel's", fix))


def may_begin(now: datetime, expires_at: datetime) -> Decision:
    """Allow a task that has a future."""
    if now < expires_at:
        return Allow()
    return Deny(Reason("task_expired", "what it may be opened with has expired", "ask with a fresh login or details"))


def is_cut_off(revoked: Revocation | None) -> Decision:
    """Allow only while nobody has cut off an agent, a user, a task or a key that the authority rests on (R2.11)."""
    if revoked is None:
        return Allow()
    if revoked.again:
        said = f"older logins of the {revoked.what} `{revoked.name[:64]}` count no more: {revoked.why}"
        return Deny(Reason(f"{revoked.what}_revoked", said, _LOG_IN))
    named = f"the {revoked.what} `{revoked.name[:64]}` is revoked: {revoked.why}"
    return Deny(Reason(f"{revoked.what}_revoked", named, _FIXES.get(revoked.what, _REOPEN)))


def may_hand_on(chain: tuple[str, ...], agent: str, to: str) -> Decision:
    """Allow `agent`, which has the work from `chain`, to hand it on to `to`: never in a circle, and only so far."""
    if to == agent or to in chain:
        return Deny(Reason("chain_circular", f"`{to}` had this work before", "let another agent take it"))
    if len(chain) >= CHAIN_MAX:
        return Deny(Reason("chain_too_long", f"{CHAIN_MAX} agents have handed this work on", "let this one do it"))
    return Allow()


def delegation_is_live(
    delegation: Delegation, task: Task | None, revoked: Revocation | None, now: datetime
) -> Decision:
    """Allow only while the token and the task it names both live and agree on who, for whom and what for (R2.9).

    It is asked before everything else whether somebody cut off what it rests on: a token outlives a revocation, the
    authority does not (R2.11).
    """
    if revoked is not None:
        return is_cut_off(revoked)
    if now >= delegation.expires_at:
        return Deny(Reason("token_expired", "the task token has expired", _REOPEN))
    if task is None:
        return Deny(Reason("task_unknown", "the token names a task that is not open", _REOPEN))
    if now >= task.expires_at:
        return Deny(Reason("task_expired", "the task's time is over", _REOPEN))
    named = (delegation.user, delegation.agent, delegation.use_case, delegation.chain)
    if (task.user, task.agent, task.use_case, task.chain) != named:
        return Deny(Reason("delegation_mismatch", "the token and its task name different parties", _REOPEN))
    return Allow()


def attachment_suffices(level: Level, *, bearer: bool, reads: bool) -> Decision:
    """Allow a token that is bound to a key; one that is not only where the agent's file says so (`bearer`).

    A plain client's login only reads. `reads`: whether the operation has no effect.
    """
    if level is Level.TASK and not bearer:
        said = "this agent's tokens must be bound to a key"
        return Deny(Reason("bearer_refused", said, "exchange the task's delegation, with a DPoP proof"))
    if level is Level.CLIENT and not reads:
        said = "a client that opened no task only reads"
        return Deny(Reason("client_only_reads", said, "have the user's channel open a task: POST /v1/tasks"))
    return Allow()


def authority_covers(authority: Authority, *, operation: str, tool: str) -> Decision:
    """Allow what the task's authority lists (R2.5). `tool` is empty where nothing describes the operation."""
    if authority.operations is not None and operation not in authority.operations:
        said = f"`{operation}` is not among the operations that this task was granted"
        return Deny(Reason("outside_authority", said, "have the user grant it: authorization_details"))
    if authority.locations is not None and tool not in authority.locations:
        said = f"`{tool}` is not among the locations that this task was granted"
        return Deny(Reason("outside_authority", said, "have the user grant it: authorization_details"))
    return Allow()
