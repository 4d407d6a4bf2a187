"""The shapes of an organisation's files: history, directories, data classes and entitlements.

document = read_yaml("organisation/directories/payees.yaml", body)
shape(DirectoryFile, document).entries      # ["GB33BUKB20201555555555", ...]
"""

from typing import Annotated, Literal

from pydantic import Field

from remit.adapters.project._base import (
    ARGUMENTS_MAX,
    CLAIMS_MAX,
    OPERATIONS_MAX,
    Argument,
    AttributeValue,
    Groups,
    Line,
    Name,
    Roles,
    Shape,
    Word,
)

HISTORIES_MAX = 100  # counters of one project
PER_MAX = 16  # what one counter counts by
ENTRIES_MAX = 50_000  # of one directory
ENTRY_CHARS_MAX = 500
CLASSES_MAX = 100
ENTITLED_MAX = 10_000  # users, in one group and with attributes of their own
ENTITLING_MAX = 1_000  # groups in one file

Entry = Annotated[str, Field(min_length=1, max_length=ENTRY_CHARS_MAX)]
Per = Annotated[str, Field(min_length=1, max_length=160)]


class HistoryEntry(Shape):
    """One counter of what was done before."""

    of: Annotated[list[Name], Field(min_length=1, max_length=OPERATIONS_MAX)] = Field(
        description="The operations whose calls count."
    )
    sum: Argument | None = Field(
        default=None, description="The argument that is summed up, of type integer or number; if left out, calls count."
    )
    per: Annotated[list[Per], Field(min_length=1, max_length=PER_MAX)] = Field(
        description="What it counts by: user, agent, task, tool, use_case or arguments.NAME."
    )
    window: Literal["minute", "hour", "day"] | None = Field(
        default=None, alias="in", description="In what time, UTC; for ever if left out."
    )
    counts: Literal["begun", "answered"] = Field(
        default="begun",
        description="begun: every call that was let go ahead, this one included; answered: calls that the tool "
        "answered without an error, this one not.",
    )


class HistoryFile(Shape):
    """organisation/history.yaml: what policies are told of what was done before."""

    history: Annotated[dict[Name, HistoryEntry], Field(max_length=HISTORIES_MAX)] = Field(
        description="Counters, by the name that policies read as `context.history.NAME`."
    )


class DirectoryFile(Shape):
    """organisation/directories/<name>.yaml: values that may be relied on, once the list is signed."""

    directory: Name = Field(description="The directory's name, the same as its file's.")
    kind: Literal["values", "domains"] = Field(
        description="values: each entry is a whole value; domains: each stands for all addresses there and below."
    )
    entries: Annotated[list[Entry], Field(max_length=ENTRIES_MAX)] = Field(
        description="The values: payees, addresses, account numbers; or domains, in lower case and without wildcards."
    )


class ClassEntry(Shape):
    """One class of confidential data."""

    receivers: Annotated[list[Line], Field(max_length=ARGUMENTS_MAX)] = Field(
        description="Who may know it, by where their address comes from: user, records, OPERATION, OPERATION/POINTER "
        "or directory/NAME."
    )
    reviewers: Roles = Field(description="Roles of the people who may let others know it.")


class ClassesFile(Shape):
    """organisation/classes.yaml: classes of confidential data."""

    classes: Annotated[dict[Name, ClassEntry], Field(max_length=CLASSES_MAX)] = Field(
        description="Data classes, by the name that a result's fields are given in the catalogue."
    )


class GroupEntry(Shape):
    """One group: its own users, and groups whose members are all in it."""

    users: Annotated[list[Word], Field(max_length=ENTITLED_MAX)] = Field(
        default=[], description="Its users, by their whole id: NAME, or ISSUER:SUBJECT."
    )
    groups: Groups = Field(default=[], description="Groups of this file whose members are in it too.")


class EntitledEntry(Shape):
    """What is true of one user."""

    attributes: Annotated[dict[Name, AttributeValue], Field(max_length=CLAIMS_MAX)] = Field(
        description="Attributes of organisation/users.yaml, each with what is true of the user."
    )


class EntitlementsFile(Shape):
    """organisation/entitlements.yaml: what users may do beyond what their issuer says, once the list is signed."""

    groups: Annotated[dict[Word, GroupEntry], Field(max_length=ENTITLING_MAX)] = Field(
        default={}, description="Groups, by the name that policies compare `context.user.groups` with."
    )
    users: Annotated[dict[Word, EntitledEntry], Field(max_length=ENTITLED_MAX)] = Field(
        default={}, description="Users with attributes of their own, by their whole id."
    )
