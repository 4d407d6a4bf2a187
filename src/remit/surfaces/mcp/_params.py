"""What a request asks for, read from its parameters: a handshake, or a call with the agent's word for why.

asked = read_call(request)
asked.operation, asked.arguments, asked.rationale, asked.confidence, asked.shows_urls, asked.polls
"""

from dataclasses import dataclass

from remit import records
from remit.core import Json, JsonObject, Reason, is_name
from remit.surfaces.mcp._eras import META_CAPABILITIES, OLDER, TASKS
from remit.surfaces.mcp._errors import MISSING_CAPABILITY, WireError, shown
from remit.surfaces.mcp._wire import Request

META_RATIONALE = "remit/rationale"
META_CONFIDENCE = "remit/confidence"
RATIONALE_CHARS_MAX = 500
CONFIDENCE_MAX = 100  # percent
TASK_ID_CHARS_MAX = 128  # ours are shorter
STATE_CHARS_MAX = 256  # of the request state that a client gives back; ours are shorter
RESPONSES_MAX = 16  # answers to input requests in one retry; we ask one at a time
RESPONSE_KEY_CHARS_MAX = 256

_ACTIONS = ("accept", "decline", "cancel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A `tools/call`, and what its client declares.

    `shows_urls`: that it can show its user an address (elicitation, url). `polls`: that it takes a task in place of a
    result (the extension `TASKS`).
    """

    operation: str
    arguments: JsonObject
    rationale: str
    confidence: int | None
    shows_urls: bool
    polls: bool


def read_call(request: Request) -> Asked:
    """Return what a `tools/call` asks for.

    Raises:
        WireError: the name is not one (only ASCII is, so nothing looks alike), the arguments are no object, the
            rationale is no short text, the confidence no percentage, or what a retry carries has not the protocol's
            form.
    """
    name, arguments = request.params.get("name"), request.params.get("arguments")
    if not is_name(name) or not isinstance(name, str):
        raise request.refused(
            Reason(
                "operation_name_invalid", f"`{shown(name)}` is not an operation's name", "use a name from tools/list"
            )
        )
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise request.invalid("arguments_not_object", "arguments must be an object")
    _check_retry(request)
    return Asked(
        operation=name,
        arguments=arguments,
        rationale=_rationale(request),
        confidence=_confidence(request),
        shows_urls=shows_urls(request),
        polls=_polls(request),
    )


def read_task_id(request: Request) -> str:
    """Return which task a `tasks/get`, `tasks/update` or `tasks/cancel` is about.

    Raises:
        WireError: the client does not declare the extension (tasks, "Protocol Errors"), the id is no short text, or
            what it answers has not the protocol's form.
    """
    if not _polls(request):
        message = f"`{request.method}` is for clients that declare the extension `{TASKS}`"
        reason = Reason("capability_missing", message, "declare it in the request's `_meta`, or make the call again")
        needed: JsonObject = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        raise WireError(MISSING_CAPABILITY, reason, request.id, needed)
    task_id = request.params.get("taskId")
    if not isinstance(task_id, str) or not 0 < len(task_id) <= TASK_ID_CHARS_MAX:
        raise request.invalid("task_id_invalid", f"taskId must be a text of up to {TASK_ID_CHARS_MAX} characters")
    if request.method == "tasks/update":
        _check_responses(request, request.params.get("inputResponses"))
    return task_id


def handshake_revision(request: Request) -> str:
    """Return the revision to speak after an `initialize`: the client's, or else the newest that has a handshake.

    2025-11-25, basic/lifecycle, "Version Negotiation".

    Raises:
        WireError: `initialize_invalid`, where a required member is missing or of another type.
    """
    match request.params:
        case {
            "protocolVersion": str(wanted),
            "capabilities": dict(),
            "clientInfo": {"name": str(), "version": str()},
        }:
            return wanted if wanted in OLDER else OLDER[0]
        case _:
            raise request.invalid(
                "initialize_invalid",
                "`initialize` carries protocolVersion, capabilities and clientInfo with name and version",
            )


def _rationale(request: Request) -> str:
    """Return the agent's own word for why, with what hides in it made visible: a person will read it."""
    given = request.meta.get(META_RATIONALE, "")
    if not isinstance(given, str) or len(given) > RATIONALE_CHARS_MAX:
        raise request.refused(
            Reason(
                "rationale_invalid",
                f"`{META_RATIONALE}` must be a text of at most {RATIONALE_CHARS_MAX} characters",
                "say in a sentence or two why the call is needed, or leave it out",
            )
        )
    return records.printable(given)


def _confidence(request: Request) -> int | None:
    """Return how sure the agent says it is, in percent; None where it says nothing."""
    if META_CONFIDENCE not in request.meta:
        return None
    given = request.meta[META_CONFIDENCE]
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= CONFIDENCE_MAX:
        message = f"`{META_CONFIDENCE}` must be a whole number from 0 to {CONFIDENCE_MAX}"
        raise request.refused(Reason("confidence_invalid", message, "say it in percent, or leave it out"))
    return given


def _check_retry(request: Request) -> None:
    """Check the form of what a retry carries, and forget it: the user's "accept" in a client approves nothing.

    The state is the client's to change; it leads to nothing here (2026-07-28, basic/patterns/mrtr, "Server
    Requirements").
    """
    params = request.params
    state = params.get("requestState", "")
    if not isinstance(state, str) or len(state) > STATE_CHARS_MAX:
        raise request.invalid(
            "request_state_invalid", f"requestState must be a text of at most {STATE_CHARS_MAX} characters"
        )
    _check_responses(request, params.get("inputResponses", {}))


def _check_responses(request: Request, responses: Json) -> None:
    if (
        not isinstance(responses, dict)
        or len(responses) > RESPONSES_MAX
        or not all(map(_is_response, responses, responses.values()))
    ):
        raise request.invalid(
            "input_responses_invalid",
            f"inputResponses must be an object of at most {RESPONSES_MAX} results, each as its request asked",
        )


def _is_response(key: str, response: Json) -> bool:
    """Tell whether a result may be one; what was never asked for is passed over (mrtr, "Error Handling")."""
    if len(key) > RESPONSE_KEY_CHARS_MAX or not isinstance(response, dict):
        return False
    return response.get("action", "accept") in _ACTIONS and isinstance(response.get("content", {}), dict | list)


def shows_urls(request: Request) -> bool:
    """Tell whether the client takes elicitations in url mode; an empty `elicitation` means forms only."""
    match request.meta.get(META_CAPABILITIES):
        case {"elicitation": {"url": dict()}}:
            return not request.older
        case _:
            return False


def _polls(request: Request) -> bool:
    match request.meta.get(META_CAPABILITIES):
        case {"extensions": dict(extensions)}:
            return not request.older and isinstance(extensions.get(TASKS), dict)
        case _:
            return False
