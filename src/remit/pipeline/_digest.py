"""What an approval is bound to: one call, exactly, under the facts it was decided on."""

from hashlib import sha256

from remit import permissions
from remit.core import ToolCall
from remit.pipeline._facts import Facts


def digest_of(call: ToolCall, facts: Facts) -> str:
    """Return the call digest: whoever, whatever, wherever changes in it, it is another call."""
    delegation = call.delegation
    return permissions.call_digest(
        tenant=facts.tenant,
        user=delegation.user,
        agent=delegation.agent,
        release=facts.bundle,
        use_case=delegation.use_case,
        task=delegation.task,
        operation=call.operation,
        descriptor="" if facts.descriptor is None else facts.descriptor.digest,
        endpoint={} if facts.descriptor is None else facts.descriptor.endpoint,
        arguments=call.canonical,
        before="" if facts.before is None else "sha256:" + sha256(facts.before).hexdigest(),
    )


def binding_of(call: ToolCall, facts: Facts) -> str:
    """Return what a denial sticks to: the task, the operation and the arguments that steer it."""
    content = frozenset[str]() if facts.flow is None else facts.flow.content
    steering = {name: value for name, value in call.arguments.items() if name not in content}
    return permissions.binding_of(call.delegation.task, call.operation, steering)
