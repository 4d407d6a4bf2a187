"""The decision point: pure, and the same for a live call, a shadow and a replay."""

from collections.abc import Iterator

from remit import catalogue, charter, identity, permissions
from remit.core import Decision, Deny, GateAnswer, Reason, Ruling, ToolCall, strictest
from remit.pipeline._facts import Facts


def decide(call: ToolCall, facts: Facts) -> Ruling:
    """Ask the gates in order, up to the first denial.

    The same call and facts give the same ruling, for ever: a record can be replayed (R3.7).
    """
    trail: list[GateAnswer] = []
    for gate, answer in _gates(call, facts):
        trail.append(GateAnswer(gate, answer))
        if isinstance(answer, Deny):
            break
    return Ruling(strictest([answer.decision for answer in trail]), tuple(trail))


def _gates(call: ToolCall, facts: Facts) -> Iterator[tuple[str, Decision]]:
    """Yield each gate's answer, lazily, in the order a reader should check them."""
    delegation, operation = call.delegation, call.operation
    listed = frozenset[str]() if facts.charter is None else facts.charter.operations
    yield "identity.delegation_is_live", identity.delegation_is_live(delegation, facts.task, facts.now)
    yield "charter.within_use_case", charter.within_use_case(facts.charter, delegation.use_case, operation)
    yield "catalogue.is_listed", catalogue.is_listed(facts.descriptor, operation, listed)
    yield "catalogue.arguments_fit", catalogue.arguments_fit(facts.check, call.arguments)
    yield "permissions.policy_permits", _policy_permits(call, facts)


def _policy_permits(call: ToolCall, facts: Facts) -> Decision:
    """Ask the operation's policies. No policy, no call."""
    if facts.shard is None or facts.descriptor is None:
        return Deny(Reason("policy_missing", f"no policy is loaded for `{call.operation}`", "deploy one"))
    return facts.shard.decide(
        permissions.Question(
            user=call.delegation.user,
            agent=call.delegation.agent,
            use_case=call.delegation.use_case,
            operation=call.operation,
            tool=facts.descriptor.tool,
            arguments=call.arguments,
        )
    )
