"""The decision point: pure, and the same for a live call, a shadow and a replay."""

from collections.abc import Callable

from remit import catalogue, charter, fallbacks, identity, limits, permissions, releases
from remit.catalogue import Effect
from remit.core import Allow, Decision, Deny, GateAnswer, Hold, Mark, Reason, Reserve, Ruling, ToolCall, strictest
from remit.permissions import State
from remit.pipeline._digest import binding_of, digest_of
from remit.pipeline._facts import Facts


def decide(call: ToolCall, facts: Facts) -> Ruling:
    """Ask the gates in order, up to the first denial; then ask whether an approval lifts what is held.

    The same call and facts give the same ruling, for ever: a record can be replayed (R3.7).
    """
    trail: list[GateAnswer] = []
    for gate, ask, passed in _ASKED:
        answer = ask(call, facts)
        if isinstance(answer, Allow) and not answer.obligations:
            trail.append(passed)
            continue
        trail.append(GateAnswer(gate, answer))
        if isinstance(answer, Deny):
            break
    decision = strictest([answer.decision for answer in trail])
    if facts.approvals:
        stands = _approval_stands(call, facts, decision, trail[-1].gate)
        if stands is not None:
            trail.append(GateAnswer("permissions.approval_stands", stands))
            permitted = [answer.decision for answer in trail if isinstance(answer.decision, Allow)]
            decision = strictest(permitted) if isinstance(stands, Allow) else stands
    return Ruling(decision, tuple(trail))


def _approval_stands(call: ToolCall, facts: Facts, decision: Decision, last: str) -> Decision | None:
    """Say what persons said of this very call; None where that changes nothing.

    What was approved and made once is answered with its outcome, though policy, which counts it, would forbid another.
    """
    if isinstance(decision, Deny) and last not in _MAY_BE_MADE:
        return None
    binds = facts.descriptor is not None and facts.descriptor.controls.before is not None
    if isinstance(decision, Deny) or binds:  # (with a state before, the call that was made has another digest now)
        made = permissions.made_before(call.operation, call.canonical, facts.approvals)
        if made is not None or isinstance(decision, Deny):
            return made
    digest, binding = digest_of(call, facts), binding_of(call, facts)
    if isinstance(decision, Hold):
        return permissions.lifted(decision, digest, binding, facts.approvals, facts.now)
    if any(each.state is State.DENIED for each in facts.approvals):
        refused = permissions.denied(digest, binding, facts.approvals)
        if refused is not None:
            return refused
    return permissions.edit_stands(digest, facts.approvals, facts.now)


def _is_running(_call: ToolCall, facts: Facts) -> Decision:
    return releases.is_running(facts.stopped)


def _delegation_is_live(call: ToolCall, facts: Facts) -> Decision:
    return identity.delegation_is_live(call.delegation, facts.task, facts.revoked, facts.now)


def _within_use_case(call: ToolCall, facts: Facts) -> Decision:
    return charter.within_use_case(facts.charter, call.delegation.use_case, call.operation)


def _is_listed(call: ToolCall, facts: Facts) -> Decision:
    listed = frozenset[str]() if facts.charter is None else facts.charter.operations
    return catalogue.is_listed(facts.descriptor, call.operation, listed)


def _authority_covers(call: ToolCall, facts: Facts) -> Decision:
    if facts.descriptor is None or facts.task is None:
        return _UNLISTED
    return identity.authority_covers(facts.task.authority, operation=call.operation, tool=facts.descriptor.tool)


def _attachment_suffices(call: ToolCall, facts: Facts) -> Decision:
    reads = facts.descriptor is not None and facts.descriptor.controls.effect is Effect.READ
    return identity.attachment_suffices(call.delegation.level, bearer=facts.bearer, reads=reads)


def _signatures_hold(_call: ToolCall, facts: Facts) -> Decision:
    return catalogue.signatures_hold(facts.review, facts.quarantined)


def _version_matches(_call: ToolCall, facts: Facts) -> Decision:
    return _UNLISTED if facts.descriptor is None else catalogue.version_matches(facts.pin, facts.descriptor)


def _arguments_fit(call: ToolCall, facts: Facts) -> Decision:
    return catalogue.arguments_fit(facts.check, call.arguments)


def _provenance_suffices(_call: ToolCall, facts: Facts) -> Decision:
    return permissions.provenance_suffices(facts.flow, facts.origins)


def _receivers_may_know(_call: ToolCall, facts: Facts) -> Decision:
    return permissions.receivers_may_know(facts.origins, facts.classes)


def _facts_are_known(_call: ToolCall, facts: Facts) -> Decision:
    return permissions.facts_are_known(facts.missing)


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
            groups=facts.groups,
            attributes=facts.attributes,
            effect=facts.descriptor.controls.effect,
            tier=facts.descriptor.controls.stakes,
            level=call.delegation.level,
            confidence=call.confidence,
            strangers=facts.origins.strangers,
            granted=_is_granted(call, facts),
            labels=permissions.labels_of(facts.origins),
            history=tuple([(each.name, each.said) for each in facts.history]),
            facts=facts.known,
        )
    )


def _is_granted(call: ToolCall, facts: Facts) -> bool:
    operations = None if facts.task is None else facts.task.authority.operations
    return operations is not None and call.operation in operations


def _outside_permits(_call: ToolCall, facts: Facts) -> Decision:
    return permissions.outside_permits(facts.outside)


def _irreversible_is_confirmed(call: ToolCall, facts: Facts) -> Decision:
    if facts.descriptor is None:
        return _UNLISTED
    controls = facts.descriptor.controls
    return fallbacks.irreversible_is_confirmed(controls.effect, controls.confirm, call.operation, call.arguments)


def _is_capped(call: ToolCall, facts: Facts) -> Decision:
    delegation, descriptor = call.delegation, facts.descriptor
    if descriptor is None:
        return _UNLISTED
    capped = limits.is_capped(
        facts.caps,
        agent=delegation.agent,
        user=delegation.user,
        tool=descriptor.tool,
        task=delegation.task,
        effect=descriptor.controls.effect,
        now=facts.now,
    )
    if facts.task is None or not facts.task.counters or not isinstance(capped, Allow):
        return capped
    granted = (Reserve("granted", each.key, each.max, each.resets_at) for each in facts.task.counters)
    return Allow((*capped.obligations, *granted))


def _history_counts(_call: ToolCall, facts: Facts) -> Decision:
    """Allow on condition that what policy was told of the past is still so, and that what is written stays marked."""
    marks = (Mark(facts.origins.marks),) if facts.origins.marks else ()
    return Allow((*permissions.adds(facts.history), *marks))


_UNLISTED = Deny(Reason("operation_not_listed", "nothing describes this operation", "have it described"))

_GATES: tuple[tuple[str, Callable[[ToolCall, Facts], Decision]], ...] = (
    ("releases.is_running", _is_running),
    ("identity.delegation_is_live", _delegation_is_live),
    ("charter.within_use_case", _within_use_case),
    ("catalogue.is_listed", _is_listed),
    ("identity.attachment_suffices", _attachment_suffices),
    ("identity.authority_covers", _authority_covers),
    ("catalogue.signatures_hold", _signatures_hold),
    ("catalogue.version_matches", _version_matches),
    ("catalogue.arguments_fit", _arguments_fit),
    ("permissions.facts_are_known", _facts_are_known),
    ("permissions.provenance_suffices", _provenance_suffices),
    ("permissions.receivers_may_know", _receivers_may_know),
    ("permissions.policy_permits", _policy_permits),
    ("permissions.outside_permits", _outside_permits),
    ("fallbacks.irreversible_is_confirmed", _irreversible_is_confirmed),
    ("permissions.history_counts", _history_counts),
    ("limits.is_capped", _is_capped),
)
"""Every gate by its name, which says what must be true, in the order a reader should check them."""

_MAY_BE_MADE = frozenset({"permissions.facts_are_known", "permissions.policy_permits"})
"""The gates that may deny a call because of what it did when it was made."""

_ASKED = tuple((gate, ask, GateAnswer(gate, Allow())) for gate, ask in _GATES)
"""The gates, each with the answer that most calls get: made once, for to make it costs more than to ask."""
