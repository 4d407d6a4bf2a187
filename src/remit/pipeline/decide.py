"""The decision point: pure, and the same for a live call, a shadow and a replay."""

from collections.abc import Iterator

from remit import catalogue, charter, fallbacks, identity, limits, permissions, releases
from remit.core import Allow, Decision, Deny, GateAnswer, Hold, Reason, Ruling, ToolCall, strictest
from remit.pipeline._digest import binding_of, digest_of
from remit.pipeline._facts import Facts


def decide(call: ToolCall, facts: Facts) -> Ruling:
    """Ask the gates in order, up to the first denial; then ask whether an approval lifts what is held.

    The same call and facts give the same ruling, for ever: a record can be replayed (R3.7).
    """
    trail: list[GateAnswer] = []
    for gate, answer in _gates(call, facts):
        trail.append(GateAnswer(gate, answer))
        if isinstance(answer, Deny):
            break
    decision = strictest([answer.decision for answer in trail])
    if isinstance(decision, Hold) and facts.approvals:
        stands = permissions.lifted(
            decision, digest_of(call, facts), binding_of(call, facts), facts.approvals, facts.now
        )
        trail.append(GateAnswer("permissions.approval_stands", stands))
        permitted = [answer.decision for answer in trail if isinstance(answer.decision, Allow)]
        decision = strictest(permitted) if isinstance(stands, Allow) else stands
    return Ruling(decision, tuple(trail))


def _gates(call: ToolCall, facts: Facts) -> Iterator[tuple[str, Decision]]:
    """Yield each gate's answer, lazily, in the order a reader should check them."""
    delegation, operation, descriptor = call.delegation, call.operation, facts.descriptor
    listed = frozenset[str]() if facts.charter is None else facts.charter.operations
    yield "releases.is_running", releases.is_running(facts.stopped)
    yield (
        "identity.delegation_is_live",
        identity.delegation_is_live(delegation, facts.task, facts.revoked, facts.now),
    )
    yield "charter.within_use_case", charter.within_use_case(facts.charter, delegation.use_case, operation)
    yield "catalogue.is_listed", catalogue.is_listed(descriptor, operation, listed)
    if descriptor is None:  # (a denial above; said again for whoever changes that)
        return
    yield "catalogue.signatures_hold", catalogue.signatures_hold(facts.review, facts.quarantined)
    yield "catalogue.version_matches", catalogue.version_matches(facts.pin, descriptor)
    yield "catalogue.arguments_fit", catalogue.arguments_fit(facts.check, call.arguments)
    yield "permissions.provenance_suffices", permissions.provenance_suffices(facts.flow, facts.sourced)
    yield "permissions.policy_permits", _policy_permits(call, facts, descriptor.tool)
    yield (
        "fallbacks.irreversible_is_confirmed",
        fallbacks.irreversible_is_confirmed(descriptor.effect, descriptor.controls.confirm, operation, call.arguments),
    )
    yield (
        "limits.is_capped",
        limits.is_capped(
            facts.caps,
            agent=delegation.agent,
            user=delegation.user,
            tool=descriptor.tool,
            task=delegation.task,
            effect=descriptor.effect,
            now=facts.now,
        ),
    )


def _policy_permits(call: ToolCall, facts: Facts, tool: str) -> Decision:
    """Ask the operation's policies. No policy, no call."""
    if facts.shard is None:
        return Deny(Reason("policy_missing", f"no policy is loaded for `{call.operation}`", "deploy one"))
    return facts.shard.decide(
        permissions.Question(
            user=call.delegation.user,
            agent=call.delegation.agent,
            use_case=call.delegation.use_case,
            operation=call.operation,
            tool=tool,
            arguments=call.arguments,
        )
    )
