"""The words that the shapes of a project's files are made of, bounded, and what all shapes have in common.

class CapEntry(Shape):
    of: Name = Field(description="The operation that counts.")
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from remit.core import NAME_PATTERN, Attribute

TITLE_CHARS_MAX = 120
DESCRIPTION_CHARS_MAX = 8_000
LINE_CHARS_MAX = 500  # owner, process, purpose, a use case's description
URL_CHARS_MAX = 2_048
OPERATIONS_MAX = 500  # in one tool, and in one use case
USE_CASES_MAX = 100
PEOPLE_MAX = 1_000
ROLES_MAX = 20  # of one person, and of one agent's reviewers
CAPS_MAX = 100  # of one agent
COMMAND_MAX = 100  # elements of a command
COMMAND_CHARS_MAX = 1_000  # of one element
ARTEFACTS_MAX = 1_000
FACTS_MAX = 20  # look-ups of one operation, and values of one look-up
ARGUMENTS_MAX = 1_000  # named in an operation's controls
DELEGATES_MAX = 100  # of one agent, and its workload identities and plain clients
ISSUERS_MAX = 20
CLAIMS_MAX = 100  # attributes or roles that an issuer's claims are mapped to, and attributes of users
GROUPS_MAX = 200  # of one person, and of one role
WORD_CHARS_MAX = 200  # a group, a claim's name, an audience
ATTRIBUTE_CHARS_MAX = 500  # a text that is said of a person
SPIFFE_BYTES_MAX = 2_048  # SPIFFE ID, section 2.3
TIMEOUT_S_MAX = 300
RESPONSE_BYTES_MAX = 1 << 20

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Line = Annotated[str, Field(min_length=1, max_length=LINE_CHARS_MAX, pattern=r"\S")]
Port = Annotated[int, Field(ge=1, le=65_535)]
FilePath = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x1f]+$")]
Domain = Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,255}$")]  # (SPIFFE ID, section 2.1)
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Version = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
Roles = Annotated[list[Name], Field(min_length=1, max_length=ROLES_MAX)]
Url = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)]
Word = Annotated[str, Field(min_length=1, max_length=WORD_CHARS_MAX, pattern=r"^[^\x00-\x1f\x7f]+$")]
Groups = Annotated[list[Word], Field(max_length=GROUPS_MAX)]
ClientId = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX, pattern=r"^[!-~]+$")]
Argument = Annotated[str, Field(min_length=1, max_length=128)]
EffectWord = Literal["read", "write", "execute", "irreversible"]
TierWord = Literal["low", "medium", "high", "critical"]
LabelWord = Literal["system_of_record", "untrusted"]
# A JSON pointer (RFC 6901), the whole value's or one that begins with `/`.
Pointer = Annotated[str, Field(max_length=1_000, pattern=r"^(/([^/~]|~[01])*)*$")]


def _by_pointer(value: object) -> object:
    """Read one label alone as the whole result's."""
    return {"": value} if isinstance(value, str) else value


_LABELS_SCHEMA: Final = {
    "anyOf": [
        {"enum": list(get_args(LabelWord))},
        {"type": "object", "minProperties": 1, "additionalProperties": {"enum": list(get_args(LabelWord))}},
    ]
}
Labels = Annotated[
    dict[Pointer, LabelWord],
    Field(min_length=1, max_length=ARGUMENTS_MAX),
    BeforeValidator(_by_pointer),
    WithJsonSchema(_LABELS_SCHEMA),
]


class Shape(BaseModel):
    """A mapping with known keys only; nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _attribute(value: object) -> Attribute:
    if not isinstance(value, str | int) or (isinstance(value, str) and len(value) > ATTRIBUTE_CHARS_MAX):
        raise PydanticCustomError("attribute", "a short text, a whole number, true or false")
    return value


AttributeValue = Annotated[
    Attribute, PlainValidator(_attribute), WithJsonSchema({"type": ["string", "integer", "boolean"]})
]
