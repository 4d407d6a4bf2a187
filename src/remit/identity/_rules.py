"""Identity's gate, pure. Signatures were checked where the bytes came in; here it is asked whether they still count."""

from datetime import datetime

from remit.core import Allow, Decision, Delegation, Deny, Reason, Task
from remit.identity._ports import Person

USER = "user"
"""The role of people for whom agents may act."""

_REOPEN = "open a new task"


def may_have_agents_act(person: Person) -> Decision:
    """Allow only people with the role of a user: operating the gateway is no reason to have agents act for one."""
    if USER in person.roles:
        return Allow()
    return Deny(
        Reason(
            "role_missing",
            f"`{person.name}` has not the role `{USER}`",
            "have the role given: development.people in remit.yaml, read at start",
        )
    )


def agent_is_live(agent: str, revoked: str) -> Decision:
    """Allow only while nobody has cut the agent off; `revoked` says why somebody did (R2.11)."""
    if not revoked:
        return Allow()
    fix = "ask an operator; `remit agents restore`"
    return Deny(Reason("agent_revoked", f"the agent `{agent[:64]}` is revoked: {revoked}", fix))


def delegation_is_live(delegation: Delegation, task: Task | None, revoked: str, now: datetime) -> Decision:
    """Allow only while the token and the task it names both live and agree on who, for whom and what for (R2.9).

    `revoked` says why the agent may not act, and is empty while it may. It is asked before everything else: a token
    outlives a revocation, the agent's authority does not (R2.11).
    """
    if revoked:
        return agent_is_live(delegation.agent, revoked)
    if now >= delegation.expires_at:
        return Deny(Reason("token_expired", "the task token has expired", _REOPEN))
    if task is None:
        return Deny(Reason("task_unknown", "the token names a task that is not open", _REOPEN))
    if now >= task.expires_at:
        return Deny(Reason("task_expired", "the task's time is over", _REOPEN))
    if (task.user, task.agent, task.use_case) != (delegation.user, delegation.agent, delegation.use_case):
        return Deny(Reason("delegation_mismatch", "the token and its task name different parties", _REOPEN))
    return Allow()
