"""The nouns all rooms share: calls, principals, decisions, canonical JSON, names, time, errors.

Rules of this package: values only. No I/O, no clock, no random number; nothing here knows a room.

    call = ToolCall(id="c_1", trace=trace, delegation=delegation, operation="get_order", canonical=b"{}")
    match strictest([Allow(), Deny(Reason("operation_not_listed", "not on the list"))]):
        case Deny(reason):
            print(reason.code)
"""

from remit.core._call import Attribute, Authority, Counter, Delegation, Level, Revocation, Task, ToolCall, Trace
from remit.core._canonical import (
    DEPTH_MAX,
    INTEGER_MAX,
    ITEMS_MAX,
    KEYS_MAX,
    STRING_BYTES_MAX,
    Json,
    JsonObject,
    canonical_bytes,
    parse_strict,
    read_canonical,
)
from remit.core._decision import (
    REQUESTER,
    Add,
    Allow,
    Consume,
    Decision,
    Deny,
    GateAnswer,
    Hold,
    Mark,
    Obligation,
    Reason,
    Requirement,
    Reserve,
    Ruling,
    strictest,
)
from remit.core._errors import (
    InputRefusedError,
    Problem,
    ProjectInvalidError,
    RemitError,
    StoreUnavailableError,
)
from remit.core._names import NAME_PATTERN, is_name, is_user, new_id, new_trace, parse_traceparent
from remit.core._tasks import task_json, task_of_json
from remit.core._time import Window, parse_utc, utc_text, window_at

__all__ = [
    "DEPTH_MAX",
    "INTEGER_MAX",
    "ITEMS_MAX",
    "KEYS_MAX",
    "NAME_PATTERN",
    "REQUESTER",
    "STRING_BYTES_MAX",
    "Add",
    "Allow",
    "Attribute",
    "Authority",
    "Consume",
    "Counter",
    "Decision",
    "Delegation",
    "Deny",
    "GateAnswer",
    "Hold",
    "InputRefusedError",
    "Json",
    "JsonObject",
    "Level",
    "Mark",
    "Obligation",
    "Problem",
    "ProjectInvalidError",
    "Reason",
    "RemitError",
    "Requirement",
    "Reserve",
    "Revocation",
    "Ruling",
    "StoreUnavailableError",
    "Task",
    "ToolCall",
    "Trace",
    "Window",
    "canonical_bytes",
    "is_name",
    "is_user",
    "new_id",
    "new_trace",
    "parse_strict",
    "parse_traceparent",
    "parse_utc",
    "read_canonical",
    "strictest",
    "task_json",
    "task_of_json",
    "utc_text",
    "window_at",
]
