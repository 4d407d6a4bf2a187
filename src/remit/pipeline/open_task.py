"""Opening a task: who may, and with what authority. It is what user, agent and charter all allow, never more (R2.5).

open       the user's own channel says for whom, with which agent and for what use case
open_for   an agent shows the user's token, which names it (`may_act`), or to which the user consented on record
hand_on    an agent hands a part of its task on to another, which its charter names
implicit   a plain MCP client shows its user's token and opens nothing: reads only
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from remit import charter, identity, records
from remit.core import (
    Allow,
    Authority,
    Decision,
    Delegation,
    Deny,
    Hold,
    Json,
    Level,
    Reason,
    StoreUnavailableError,
    Task,
    canonical_bytes,
    new_id,
    strictest,
)
from remit.identity import ALL, Person, RegisteredClient, Registration, UserToken, Wanted, narrowed, read_details
from remit.pipeline._live import Live
from remit.pipeline._ports import Clock, Store
from remit.pipeline.consent import consent_of

_NOTHING_GIVEN = canonical_bytes({"input": None})
_NO_REGISTRATION = Registration()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDesk:
    """Opens tasks. Durable before anyone holds a token for one.

    Every method raises `StoreUnavailableError` when nothing was opened, and `InputRefusedError` with
    `authorization_details_invalid` for authorization details that cannot be kept.
    """

    live: Live
    store: Store
    clock: Clock
    random: records.Random
    life: timedelta
    open_max: int  # tasks of one user with one agent at once

    async def open(  # noqa: PLR0913, PLR0917 - what the user says, each by its place in the request
        self,
        person: Person,
        agent: str,
        use_case: str,
        given: bytes,
        details: Json = None,
        login: UserToken | None = None,
    ) -> Task | Reason:
        """Open a task with what the user gave, or say why not. `login` is what the user's token said, if it said more.

        The token's own authorization details bind as much as those asked for.
        """
        now = self.clock.now()
        wanted = _all_of(read_details(details), None if login is None else read_details(login.details))
        wrong = _use_case_wrong(wanted, use_case)
        task = self._task(person, agent, use_case, wanted, now)
        refused = wrong or self._refusal(person, task, now if login is None else login.issued_at)
        if refused is not None:
            await self._tell_refused(task, refused)
        return refused or await self._kept(task, by=person.name, given=given)

    async def open_for(self, login: UserToken, agent: str, details: Json, *, asserted: bool = False) -> Task | Reason:
        """Open a task that an agent asks for with its user's token.

        The token must name the agent (`may_act`), or the user's consent must stand on record, or the organisation's
        issuer must have `asserted` the user to this very agent (ID-JAG). What the agent supplies is not the user's.
        """
        now, user = self.clock.now(), login.person.name
        consent = consent_of(self.live, agent, user, now)
        if agent not in login.may_act and consent is None and not asserted:
            said = f"neither the token (`may_act`) nor a consent of `{user[:64]}` lets `{agent[:64]}` act"
            return Reason("consent_missing", said, "have the user consent: POST /v1/consents, or open the task")
        bound_by_consent = consent.wanted if consent is not None and agent not in login.may_act else None
        wanted = _all_of(read_details(details), read_details(login.details), bound_by_consent)
        use_case = wanted[0].use_case or self._only_use_case(agent)
        if not use_case:
            return Reason("use_case_missing", "the agent has several use cases", "name one in authorization_details")
        wrong = _use_case_wrong(wanted, use_case)
        task = self._task(login.person, agent, use_case, wanted, now, until=login.expires_at)
        refused = wrong or self._refusal(login.person, task, login.issued_at)
        return refused or await self._kept(task, by=f"agent {agent}", given=_NOTHING_GIVEN)

    async def hand_on(self, delegation: Delegation, to: str, details: Json) -> Task | Reason:
        """Open a task of `to` within the one that `delegation` acts in; the caller has asked whether that one lives."""
        now, parent = self.clock.now(), self.live.task(delegation.task)
        if parent is None:
            return Reason("task_unknown", "the token names a task that is not open", "open a new task")
        registered = self.live.snapshot.registrations.get(parent.agent, _NO_REGISTRATION)
        if to not in registered.delegates_to:
            said = f"`{parent.agent}` may not hand work on to `{to[:64]}`"
            return Reason("consent_missing", said, "have the agent's owner list it: identity.delegates_to")
        wanted = _all_of(read_details(details))
        use_case = wanted[0].use_case or self._only_use_case(to)
        if not use_case:
            return Reason("use_case_missing", "the agent has several use cases", "name one in authorization_details")
        # (What the parent task was never for, no part of it is for.)
        within = narrowed(parent.authority, Authority(operations=self._operations(parent.agent, parent.use_case)))
        person = Person(parent.user, frozenset({identity.USER}), frozenset(parent.groups), parent.attributes)
        wanted = (replace(wanted[0], authority=narrowed(wanted[0].authority, within)), *wanted[1:])
        task = self._task(person, to, use_case, wanted, now, until=parent.expires_at)
        task = replace(task, chain=(parent.agent, *parent.chain), parent=parent.id)
        far = identity.may_hand_on(parent.chain, parent.agent, to)
        refused = _reason(far) or self._refusal(person, task, parent.opened_at)
        return refused or await self._kept(task, by=f"agent {parent.agent}", given=_NOTHING_GIVEN)

    async def implicit(self, login: UserToken) -> Delegation | Reason:
        """Return what a plain MCP client's token of its user lets it do: one task for all, reads only."""
        found = self._client(login)
        if found is None:
            said = f"the client `{login.client_id[:200]}` of `{login.issuer}` is no agent here"
            return Reason("client_unknown", said, "have it registered: identity.clients of an agent")
        agent, client = found
        task = self.live.implicit_task(login.person.name, agent, client.use_case)
        now = self.clock.now()
        if task is None or now >= task.expires_at:
            wanted = _all_of(read_details(login.details))
            task = replace(self._task(login.person, agent, client.use_case, wanted, now), implicit=True)
            refused = _use_case_wrong(wanted, client.use_case) or self._refusal(login.person, task, login.issued_at)
            opened = refused or await self._kept(
                task, by=f"client {login.issuer}:{login.client_id}", given=_NOTHING_GIVEN
            )
            if isinstance(opened, Reason):
                return opened
        return Delegation(
            user=login.person.name,
            agent=agent,
            task=task.id,
            use_case=client.use_case,
            expires_at=login.expires_at,
            level=Level.CLIENT,
            keys=(login.key,) if login.key else (),
            client=f"{login.issuer}:{login.client_id}",
        )

    def _task(  # noqa: PLR0913, PLR0917 - the parts of a task
        self,
        person: Person,
        agent: str,
        use_case: str,
        wanted: tuple[Wanted, ...],
        now: datetime,
        until: datetime | None = None,
    ) -> Task:
        """Return a task with the least that everybody allows: of the charter, too, where anybody narrows it."""
        authority = ALL
        for each in wanted:
            authority = narrowed(authority, each.authority)
        if authority.operations is not None:
            authority = narrowed(authority, Authority(operations=self._operations(agent, use_case)))
        ends = [each.expires_at for each in wanted if each.expires_at is not None]
        return Task(
            id=new_id("t", self.random(12)),
            user=person.name,
            agent=agent,
            use_case=use_case,
            opened_at=now,
            expires_at=min([now + self.life, *ends, *([] if until is None else [until])]),
            authority=authority,
            groups=tuple(sorted(person.groups)),
            attributes=tuple(sorted(person.attributes)),
        )

    def _refusal(self, person: Person, task: Task, login_at: datetime) -> Reason | None:
        """Say why the task may not be opened; None where it may. `login_at`: since when the user's login stands."""
        live = self.live
        live.forget_expired(task.opened_at)
        gates = (
            identity.may_have_agents_act(person),
            identity.is_cut_off(
                live.user_revocation(task.user, task.agent, login_at) or live.agent_revocation(_acting(task))
            ),
            charter.may_open_task(
                live.snapshot.charters.get(task.agent),
                task.use_case,
                live.open_tasks_of(task.user, task.agent),
                self.open_max,
            ),
            identity.may_begin(task.opened_at, task.expires_at),
        )
        return _reason(strictest(gates))

    async def _kept(self, task: Task, *, by: str, given: bytes) -> Task:
        entry = records.task_opened(task, at=task.opened_at, by=by, random=self.random, input_body=given)
        # Counted from here on, so that tasks opened at once do not pass the cap together; nobody holds its token yet.
        self.live.admit(task, given)
        kept = False
        try:
            await self.store.open_task(task, entry)
            kept = True
        finally:
            if not kept:
                self.live.dismiss(task.id)
        return task

    async def _tell_refused(self, task: Task, refused: Reason) -> None:
        """Leave a record of whom no task was opened for: who tries many agents is seen by it (R2.8)."""
        asked = replace(_acting(task), task="")
        entry = records.refused(asked, at=task.opened_at, surface="tasks", code=refused.code, message=refused.message)
        with contextlib.suppress(StoreUnavailableError):  # it is refused all the same
            await self.store.append(entry)

    def _client(self, login: UserToken) -> tuple[str, RegisteredClient] | None:
        for agent, registered in self.live.snapshot.registrations.items():
            for client in registered.clients:
                if (client.issuer, client.client_id) == (login.issuer, login.client_id):
                    return agent, client
        return None

    def _only_use_case(self, agent: str) -> str:
        job = self.live.snapshot.charters.get(agent)
        return "" if job is None or len(job.use_cases) != 1 else next(iter(job.use_cases))

    def _operations(self, agent: str, use_case: str) -> frozenset[str]:
        job = self.live.snapshot.charters.get(agent)
        case = None if job is None else job.use_cases.get(use_case)
        return frozenset() if case is None else case.operations


def _acting(task: Task) -> Delegation:
    return Delegation(
        user=task.user,
        agent=task.agent,
        task=task.id,
        use_case=task.use_case,
        expires_at=task.expires_at,
        chain=task.chain,
    )


def _all_of(*said: Wanted | None) -> tuple[Wanted, ...]:
    """Return everything that was said, the first of which names the use case, if anything does."""
    wanted = [each for each in said if each is not None]
    named = next((each.use_case for each in wanted if each.use_case), "")
    return (Wanted(use_case=named), *wanted)


def _use_case_wrong(wanted: Iterable[Wanted], use_case: str) -> Reason | None:
    other = next((each.use_case for each in wanted if each.use_case not in ("", use_case)), None)
    if other is None:
        return None
    said = f"the authorization details are for use case `{other}`, not `{use_case[:64]}`"
    return Reason("outside_authority", said, "ask for that use case, or for details that name this one")


def _reason(decision: Decision) -> Reason | None:
    match decision:
        case Allow():
            return None
        case Deny(reason) | Hold(reason):
            return reason
