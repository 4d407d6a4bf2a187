"""The summary of refusals names those at the doors, too, before there was a task."""

import asyncio
from dataclasses import replace

from remit.records import refusals, refused
from remit.testing import NOON, Desk, desk_call, desk_delegation


def test_what_was_refused_without_a_task_is_counted_by_user_agent_surface_and_code() -> None:
    desk = Desk()

    async def scene() -> None:
        await desk.gateway.handle(desk_call("wipe"))
        for user, agent, code in (
            ("omar", "", "role_missing"),
            ("omar", "", "role_missing"),
            ("omar", "", "login_of_agent"),
            ("tom", "clerk", "consent_missing"),
            ("tom", "clerk", "assertion_invalid"),
        ):
            by = replace(desk_delegation(""), user=user, agent=agent)
            await desk.store.append(refused(by, at=NOON, surface="oauth", code=code, message="no"))
        in_task = refused(desk_delegation(), at=NOON, surface="mcp", code="token_expired", message="no")
        await desk.store.append(in_task)

    asyncio.run(scene())
    found = {(each.user, each.agent, each.surface, each.code): each.count for each in refusals(desk.store.log)}
    assert found == {
        ("omar", "", "oauth", "role_missing"): 2,
        ("omar", "", "oauth", "login_of_agent"): 1,
        ("tom", "clerk", "oauth", "consent_missing"): 1,
        ("", "clerk", "oauth", "assertion_invalid"): 1,
        ("", "clerk", "", "policy_forbids"): 1,
    }
