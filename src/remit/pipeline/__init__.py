"""The pipeline joins rooms 1 to 8: `decide` is the decision point, `Gateway.handle` the enforcement point.

ruling = decide(call, facts)                     # pure: a live call, a shadow and a replay are the same
gateway = Gateway(facts=live, ledger=store, upstream=upstream, clock=clock, random=random)
match await gateway.handle(call):
    case Done(result=result):
        ...
"""

from remit.pipeline._answer import Answer, Done, Failed, Refused
from remit.pipeline._facts import Facts, Snapshot, Versions
from remit.pipeline._live import (
    RELEASE,
    STOP,
    Live,
    agent_control,
    approval_control,
    consent_control,
    directory_control,
    facts_for,
    key_control,
    keys_control,
    operation_control,
    task_control,
    user_control,
)
from remit.pipeline._ports import (
    NOTHING,
    Bell,
    Clock,
    Committed,
    Conflict,
    Control,
    Credential,
    Credentials,
    CredentialUnavailableError,
    Deployed,
    FactSource,
    Full,
    Ledger,
    OpenCall,
    Outside,
    Sent,
    Signer,
    Store,
    StoredState,
    Underway,
    Upstream,
    UpstreamAnswer,
    UpstreamFailure,
)
from remit.pipeline._trusting import Trust, Trusted, trusted_in
from remit.pipeline.approve import ApprovalDesk, Propose
from remit.pipeline.attach import AttachmentRefusedError, Attachments
from remit.pipeline.consent import ConsentDesk
from remit.pipeline.control import ControlDesk, Cutoff
from remit.pipeline.decide import decide
from remit.pipeline.handle import DECISIONS_MAX, Gateway, Proposed
from remit.pipeline.open_task import TaskDesk
from remit.pipeline.refusals import Refusals
from remit.pipeline.replay import recorded, replay

__all__ = [
    "DECISIONS_MAX",
    "NOTHING",
    "RELEASE",
    "STOP",
    "Answer",
    "ApprovalDesk",
    "AttachmentRefusedError",
    "Attachments",
    "Bell",
    "Clock",
    "Committed",
    "Conflict",
    "ConsentDesk",
    "Control",
    "ControlDesk",
    "Credential",
    "CredentialUnavailableError",
    "Credentials",
    "Cutoff",
    "Deployed",
    "Done",
    "FactSource",
    "Facts",
    "Failed",
    "Full",
    "Gateway",
    "Ledger",
    "Live",
    "OpenCall",
    "Outside",
    "Propose",
    "Proposed",
    "Refusals",
    "Refused",
    "Sent",
    "Signer",
    "Snapshot",
    "Store",
    "StoredState",
    "TaskDesk",
    "Trust",
    "Trusted",
    "Underway",
    "Upstream",
    "UpstreamAnswer",
    "UpstreamFailure",
    "Versions",
    "agent_control",
    "approval_control",
    "consent_control",
    "decide",
    "directory_control",
    "facts_for",
    "key_control",
    "keys_control",
    "operation_control",
    "recorded",
    "replay",
    "task_control",
    "trusted_in",
    "user_control",
]
