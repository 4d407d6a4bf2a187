"""Opening a task: the user's own channel says for whom, with which agent and for what use case."""

from dataclasses import dataclass
from datetime import timedelta

from remit import charter, identity, records
from remit.core import Allow, Deny, Hold, Reason, Task, new_id, strictest
from remit.identity import Person
from remit.pipeline._live import Live, agent_control
from remit.pipeline._ports import Clock, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDesk:
    """Opens tasks. Durable before anyone holds a token for one."""

    live: Live
    store: Store
    clock: Clock
    random: records.Random
    life: timedelta
    open_max: int  # tasks of one user with one agent at once

    async def open(self, person: Person, agent: str, use_case: str, given: bytes) -> Task | Reason:
        """Open a task with what the user gave, or say why not.

        Raises:
            StoreUnavailableError: nothing was opened.
        """
        now = self.clock.now()
        self.live.forget_expired(now)
        job = self.live.snapshot.charters.get(agent)
        open_already = self.live.open_tasks_of(person.name, agent)
        gates = (
            identity.may_have_agents_act(person),
            identity.agent_is_live(agent, self.live.says(agent_control(agent))),
            charter.may_open_task(job, use_case, open_already, self.open_max),
        )
        match strictest(gates):
            case Deny(reason) | Hold(reason):
                return reason
            case Allow():
                pass
        task = Task(
            id=new_id("t", self.random(12)),
            user=person.name,
            agent=agent,
            use_case=use_case,
            opened_at=now,
            expires_at=now + self.life,
        )
        entry = records.task_opened(task, at=now, by=person.name, random=self.random, input_body=given)
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
