"""Requests of the Authorization API 1.0, read: what is not known is passed over, what is needed must be there."""

from dataclasses import dataclass

from remit.core import InputRefusedError, Json, JsonObject, canonical_bytes, parse_strict

EVALUATIONS_MAX = 100  # questions of one request

EXECUTE_ALL = "execute_all"
DENY_ON_FIRST_DENY = "deny_on_first_deny"
PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"
SEMANTICS = (EXECUTE_ALL, DENY_ON_FIRST_DENY, PERMIT_ON_FIRST_PERMIT)

_KEYS = ("subject", "action", "resource", "context")
_FORM = (
    'send {"subject": {"type": "user", "id": "..."}, "action": {"name": "..."}, "resource": {"type": "tool", '
    '"id": "..."}, "context": {"arguments": {...}}}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One question (section 6.1). `subject` and `resource` are type and id; `arguments` are canonical."""

    subject: tuple[str, str]
    operation: str
    resource: tuple[str, str]
    arguments: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluations:
    """Several questions (section 7.1), in order; one that cannot be read is the error that says why."""

    asked: tuple[Evaluation | InputRefusedError, ...]
    semantic: str


def read_evaluation(body: bytes) -> Evaluation:
    """Read a request of the Access Evaluation API.

    Raises:
        InputRefusedError: `evaluation_invalid`, or it is no strict JSON.
    """
    return _evaluation(_object(parse_strict(body), "the body"))


def read_evaluations(body: bytes) -> Evaluation | Evaluations:
    """Read a request of the Access Evaluations API; without `evaluations` it is one of the other.

    Raises:
        InputRefusedError: `evaluation_invalid`, for what concerns the whole request; `evaluations_too_many`.
    """
    said = _object(parse_strict(body), "the body")
    listed = said.get("evaluations", [])
    if not isinstance(listed, list):
        raise _invalid("`evaluations` is no list")
    if not listed:
        return _evaluation(said)
    if len(listed) > EVALUATIONS_MAX:
        fix = "ask in several requests"
        raise InputRefusedError("evaluations_too_many", f"more than {EVALUATIONS_MAX} evaluations", fix)
    defaults = {key: said[key] for key in _KEYS if key in said}
    _check(defaults)
    semantic = _object(said.get("options", {}), "`options`").get("evaluations_semantic", EXECUTE_ALL)
    if semantic not in SEMANTICS:
        raise _invalid(f"`evaluations_semantic` is none of {', '.join(SEMANTICS)}")
    return Evaluations(asked=tuple(_one(each, defaults) for each in listed), semantic=str(semantic))


def _one(said: Json, defaults: JsonObject) -> Evaluation | InputRefusedError:
    """Read one of several; a key of its own replaces the default as a whole (section 7.1.1)."""
    try:
        return _evaluation({**defaults, **_object(said, "an evaluation")})
    except InputRefusedError as error:
        return error


def _evaluation(said: JsonObject) -> Evaluation:
    missing = [key for key in ("subject", "action", "resource") if key not in said]
    if missing:
        raise _invalid(f"`{missing[0]}` is missing")
    _check(said)
    context = _object(said.get("context", {}), "`context`")
    return Evaluation(
        subject=_entity(said["subject"], "subject"),
        operation=_text(_object(said["action"], "`action`"), "action", "name"),
        resource=_entity(said["resource"], "resource"),
        arguments=canonical_bytes(_object(context.get("arguments", {}), "`context.arguments`")),
    )


def _check(said: JsonObject) -> None:
    """Check the shape of what is there, also of what is not looked at."""
    for key in _KEYS:
        if key in said:
            entity = _object(said[key], f"`{key}`")
            if key != "context":
                _object(entity.get("properties", {}), f"`{key}.properties`")
    for key in ("subject", "resource"):
        if key in said:
            _entity(said[key], key)
    if "action" in said:
        _text(_object(said["action"], "`action`"), "action", "name")


def _entity(said: Json, key: str) -> tuple[str, str]:
    found = _object(said, f"`{key}`")
    return _text(found, key, "type"), _text(found, key, "id")


def _text(said: JsonObject, key: str, member: str) -> str:
    found = said.get(member)
    if not isinstance(found, str):
        raise _invalid(f"`{key}.{member}` is {'no text' if member in said else 'missing'}")
    return found


def _object(said: Json, what: str) -> JsonObject:
    if not isinstance(said, dict):
        raise _invalid(f"{what} is no object")
    return said


def _invalid(what: str) -> InputRefusedError:
    return InputRefusedError("evaluation_invalid", what, _FORM)
