"""Opening a task: who may, and with what authority. It is what user, agent and charter all allow, never more (R2.5).

open       the user's own channel says for whom, with which agent and for what use case
open_for   an agent shows the user's token, which names it (`may_act`), or to which the user consented on record
hand_on    an agent hands a part of its task on to another, which its charter names
implicit   a plain MCP client shows its user's token and opens nothing: reads only
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from remit import charter, identity, records
from remit.core import (
    Allow,
    Authority,
    Counter,
    Decision,
    Delegation,
    Deny,
    Hold,
    InputRefusedError,
    Json,
    JsonObject,
    Level,
    Reason,
    Task,
    canonical_bytes,
    new_id,
    strictest,
    utc_text,
)
from remit.identity import ALL, Person, RegisteredClient, Registration, UserToken, Wanted, narrowed, read_details
from remit.pipeline._live import Live
from remit.pipeline._ports import Clock, Store
from remit.pipeline.consent import Consent, consent_of
from remit.pipeline.refusals import Refusals

_NOTHING_GIVEN = canonical_bytes({"input": None})
_NO_REGISTRATION = Registration()

NAMED_MAX = 10  # operations that one refusal names


_WHICH = Reason("use_case_missing", "the agent has several use cases", "name one in authorization_details")


@dataclass(frozen=True, slots=True)
class _Bound:
    """What one party allows. `counter` is under which its calls are counted, until `resets_at`; empty: the task's own.

    (A limit is that of whoever set it: opening one more task must not begin it anew.)
    """

    wanted: Wanted
    counter: str = ""
    resets_at: datetime | None = None


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
    refusals: Refusals

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
        bounds = _bounds(read_details(details), _of_login(login, agent) if login is not None else None)
        task = self._task(person, agent, use_case, bounds, now, login=login)
        refused = _use_case_wrong(bounds, use_case) or self._refusal(person, task)
        if refused is not None:
            await self._tell_refused(task, refused)
        return refused or await self._kept(task, by=person.name, given=given, how=_how("channel", login))

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
        if consent is not None and agent not in login.may_act and not asserted:
            # (A consent that lets the agent act is no better than the login it was given with.)
            given = identity.is_cut_off(self.live.user_revocation(user, agent, consent.given))
            if (refused := _reason(given)) is not None:
                return refused
        bounds = _bounds(read_details(details), _of_login(login, agent), _of_consent(consent, agent, user))
        use_case = _named(bounds) or self._only_use_case(agent)
        if not use_case:
            return _WHICH
        task = self._task(login.person, agent, use_case, bounds, now, login=login, until=login.expires_at)
        refused = _use_case_wrong(bounds, use_case) or self._refusal(login.person, task)
        how = _let(login, agent, consent, asserted=asserted)
        return refused or await self._kept(task, by=f"agent {agent}", given=_NOTHING_GIVEN, how=how)

    async def hand_on(self, delegation: Delegation, to: str, details: Json) -> Task | Reason:
        """Open a task of `to` within the one that `delegation` acts in; the caller has asked whether that one lives."""
        now, parent = self.clock.now(), self.live.task(delegation.task)
        if parent is None:
            return Reason("task_unknown", "the token names a task that is not open", "open a new task")
        registered = self.live.snapshot.registrations.get(parent.agent, _NO_REGISTRATION)
        if to not in registered.delegates_to:
            said = f"`{parent.agent}` may not hand work on to `{to[:64]}`"
            return Reason("handing_on_refused", said, "have the agent's owner list it: identity.delegates_to")
        borne = identity.attachment_suffices(delegation.level, bearer=registered.bearer, reads=True)
        far = identity.may_hand_on(parent.chain, parent.agent, to)
        bounds = _bounds(read_details(details))
        use_case = _named(bounds) or self._only_use_case(to)
        if not use_case:
            return _WHICH
        # (What the parent task was never for, no part of it is for.)
        within = narrowed(parent.authority, Authority(operations=self._operations(parent.agent, parent.use_case)))
        person = Person(parent.user, frozenset({identity.USER}), frozenset(parent.groups), parent.attributes)
        handed = self._task(person, to, use_case, bounds, now, until=parent.expires_at)
        task = replace(
            handed,
            authority=narrowed(handed.authority, within),
            chain=(parent.agent, *parent.chain),
            parent=parent.id,
            login_at=parent.since,
            counters=(*parent.counters, *handed.counters),
        )
        refused = _reason(strictest((borne, far))) or self._refusal(person, task)
        how: JsonObject = {"by": "handed_on", "task": parent.id}
        return refused or await self._kept(task, by=f"agent {parent.agent}", given=_NOTHING_GIVEN, how=how)

    async def implicit(self, login: UserToken) -> Delegation | Reason:
        """Return what a plain MCP client's token of its user lets it do: one task for all, reads only."""
        found = self._client(login)
        if found is None:
            said = f"the client `{login.client_id[:200]}` of `{login.issuer}` is no agent here"
            return Reason("client_unknown", said, "have it registered: identity.clients of an agent")
        agent, client = found
        now, bounds = self.clock.now(), _bounds(_of_login(login, agent))
        task = self._task(login.person, agent, client.use_case, bounds, now, login=login, until=login.expires_at)
        task = replace(task, implicit=True)
        # Each login has a task of its own, and whether it may is asked of each request.
        refused = _use_case_wrong(bounds, client.use_case) or self._refusal(login.person, task, opens=False)
        if refused is not None:
            return refused
        known = self.live.implicit_task(task)
        if known is None:
            refused = self._refusal(login.person, task)
            if refused is not None:
                return refused
            by = f"client {login.issuer}:{login.client_id}"
            await self._kept(task, by=by, given=_NOTHING_GIVEN, how=_how("client", login))
        task = known or task
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

    def _task(  # noqa: PLR0913 - the parts of a task
        self,
        person: Person,
        agent: str,
        use_case: str,
        bounds: tuple[_Bound, ...],
        now: datetime,
        *,
        login: UserToken | None = None,
        until: datetime | None = None,
    ) -> Task:
        """Return a task with the least that everybody allows: of the charter, too, where anybody narrows it."""
        self._check_asked(bounds)
        authority = ALL
        for each in bounds:
            authority = narrowed(authority, each.wanted.authority)
        if authority.operations is not None:
            authority = narrowed(authority, Authority(operations=self._operations(agent, use_case)))
        ends = [each.wanted.expires_at for each in bounds if each.wanted.expires_at is not None]
        task = new_id("t", self.random(12))
        expires_at = min([now + self.life, *ends, *([] if until is None else [until])])
        return Task(
            id=task,
            user=person.name,
            agent=agent,
            use_case=use_case,
            opened_at=now,
            expires_at=expires_at,
            authority=authority,
            groups=tuple(sorted(person.groups)),
            attributes=tuple(sorted(person.attributes)),
            login_at=None if login is None else login.issued_at,
            counters=tuple(
                Counter(each.counter or f"=task/{task}", most, each.resets_at or expires_at)
                for each in bounds
                if (most := each.wanted.authority.calls_max) is not None
            ),
        )

    def _refusal(self, person: Person, task: Task, *, opens: bool = True) -> Reason | None:
        """Say why the task may not be opened, or gone on with; None where it may."""
        live = self.live
        live.forget_expired(task.opened_at)
        cut_off = live.user_revocation(task.user, task.agent, task.since) or live.agent_revocation(_acting(task))
        gates = (
            identity.may_have_agents_act(person),
            identity.is_cut_off(cut_off),
            charter.may_open_task(
                live.snapshot.charters.get(task.agent),
                task.use_case,
                live.open_tasks_of(task.user, task.agent) if opens else 0,
                self.open_max,
                names=task.authority.operations is not None,
            ),
            identity.may_begin(task.opened_at, task.expires_at),
        )
        return _reason(strictest(gates)) or _nothing_left(task)

    def _check_asked(self, bounds: tuple[_Bound, ...]) -> None:
        """Check that what is asked for exists; a login or a consent may be older than the catalogue."""
        asked = {name for each in bounds if not each.counter for name in each.wanted.authority.operations or ()}
        unknown = sorted(asked - self.live.snapshot.descriptors.keys())
        if unknown:
            named = ", ".join(f"`{each}`" for each in unknown[:NAMED_MAX])
            said = f"{len(unknown)} of the operations asked for are not in the catalogue: {named}"
            fix = "name operations of the use case: `remit agents show AGENT` lists them"
            raise InputRefusedError("authorization_details_invalid", said, fix)

    async def _kept(self, task: Task, *, by: str, given: bytes, how: JsonObject) -> Task:
        entry = records.task_opened(task, at=task.opened_at, by=by, random=self.random, input_body=given, how=how)
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
        known = task.agent in self.live.snapshot.charters
        await self.refusals.record(replace(_acting(task), task="", agent=task.agent if known else ""), refused)

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


def _how(word: str, login: UserToken | None, consent: Consent | None = None) -> JsonObject:
    """Say what let a task be opened, and through which client the user had logged in, where the login names one."""
    client = "" if login is None or not login.client_id else ":".join(filter(None, (login.issuer, login.client_id)))
    return {
        "by": word,
        **({"client": client} if client else {}),
        **({} if consent is None else {"given": utc_text(consent.given)}),
    }


def _let(login: UserToken, agent: str, consent: Consent | None, *, asserted: bool) -> JsonObject:
    """Say what let `agent` open a task by itself."""
    if asserted:
        return _how("assertion", login)
    return _how("may_act", login) if agent in login.may_act else _how("consent", login, consent)


def _acting(task: Task) -> Delegation:
    return Delegation(
        user=task.user,
        agent=task.agent,
        task=task.id,
        use_case=task.use_case,
        expires_at=task.expires_at,
        chain=task.chain,
    )


def _bounds(own: Wanted | _Bound | None, *others: _Bound | None) -> tuple[_Bound, ...]:
    """Return everything that was said."""
    first = _Bound(own) if isinstance(own, Wanted) else own
    return tuple(each for each in (first, *others) if each is not None)


def _of_login(login: UserToken, agent: str) -> _Bound | None:
    """Return what a token's own details allow: its calls are counted together, however many tasks it opens."""
    wanted = read_details(login.details)
    counter = f"=login/{agent}/{login.person.name}/{utc_text(login.issued_at)}"
    return None if wanted is None else _Bound(wanted, counter, login.expires_at)


def _of_consent(consent: Consent | None, agent: str, user: str) -> _Bound | None:
    if consent is None or consent.wanted is None:
        return None
    return _Bound(consent.wanted, f"=consent/{agent}/{user}/{utc_text(consent.given)}", consent.until)


def _nothing_left(task: Task) -> Reason | None:
    """Say that a task could do nothing at all; None where it can."""
    if task.authority.operations is None or task.authority.operations:
        return None
    said = f"nothing is left of use case `{task.use_case[:64]}`: of its operations none is allowed by everybody"
    return Reason("outside_authority", said, "ask for operations of the use case that user, consent and task allow")


def _named(bounds: tuple[_Bound, ...]) -> str:
    """Return the use case that something names, if anything does."""
    return next((each.wanted.use_case for each in bounds if each.wanted.use_case), "")


def _use_case_wrong(bounds: tuple[_Bound, ...], use_case: str) -> Reason | None:
    other = next((each.wanted.use_case for each in bounds if each.wanted.use_case not in ("", use_case)), None)
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
