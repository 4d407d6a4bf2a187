"""Step 1 of compiling a project: each file alone, read as its kind of file, with every mistake in it.

files = Files(read_sources(root))
files.read()
files.problems, files.agents["desk"]
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from remit.adapters.project._controls import Names
from remit.adapters.project._mistakes import attributes_reserved, shape, shape_each
from remit.adapters.project._models import AgentFile, CatalogueFile, LockEntry, UsersFile
from remit.adapters.project._organisation import ClassesFile, DirectoryFile, EntitlementsFile, HistoryFile
from remit.adapters.project._review import read_served
from remit.adapters.project._sources import role_of
from remit.adapters.project._yaml import Document, Path, read_yaml
from remit.catalogue import Pin, TrustRoot, read_trust, unsafe_text
from remit.core import InputRefusedError, Json, JsonObject, Problem, ProjectInvalidError
from remit.permissions import UserShape

DIRECTORY_FILE = "organisation/directories/{}.yaml"
ENTITLEMENTS_FILE = "organisation/entitlements.yaml"

M = TypeVar("M", AgentFile, CatalogueFile, UsersFile, HistoryFile, DirectoryFile, ClassesFile, EntitlementsFile)


@dataclass(slots=True)
class Files:
    """A project's files, being read. What could be read is kept, and every problem met. Used once."""

    sources: Mapping[str, bytes]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    agents: dict[str, tuple[Document, AgentFile]] = field(default_factory=dict)  # by folder
    catalogues: list[tuple[Document, CatalogueFile]] = field(default_factory=list)
    policies: dict[str, dict[str, str]] = field(default_factory=dict)  # by folder; "" is the organisation's
    locks: dict[str, Document] = field(default_factory=dict)  # by folder
    served: dict[str, Mapping[str, JsonObject]] = field(default_factory=dict)  # by tool, then upstream name
    signatures: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # by operation: its file's path and content
    trust: TrustRoot | None = None
    users: UserShape | None = field(default_factory=UserShape)  # None where what is declared of them is not sound
    folders: set[str] = field(default_factory=set)  # with an agent.yaml, sound or not
    named: set[str] = field(default_factory=set)  # operations that some file names, sound or not
    named_tools: set[str] = field(default_factory=set)  # the same of tools
    histories: tuple[Document, HistoryFile] | None = None
    directories: dict[str, tuple[Document, DirectoryFile]] = field(default_factory=dict)  # by the file's name
    classes: tuple[Document, ClassesFile] | None = None
    entitlements: tuple[Document, EntitlementsFile] | None = None
    list_signatures: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # by the list's path: path and content
    manifests: dict[str, Mapping[str, Pin]] = field(default_factory=dict)  # by agent
    vocabulary_is_broken: bool = False  # of policies: what they may name, beside the catalogue
    catalogue_is_broken: bool = False
    catalogue_is_unreadable: bool = False

    def read_files(self) -> None:
        """Step 1: each file alone."""
        for path, body in sorted(self.sources.items()):
            self._read_file(path, body)
        if not self.folders:
            fix = "write agents/<name>/agent.yaml, or begin with `remit init`"
            self._add("no_agent", "agents", 0, "the project has no agent: nothing could be governed", fix)

    def _read_file(self, path: str, body: bytes) -> None:  # noqa: C901, PLR0912 - one flat table over the kinds of file
        match role_of(path):
            case ("agent", folder):
                self.folders.add(folder)
                self._read_agent(folder, path, body)
            case ("manifest", folder):
                self._read_manifest(folder, path, body)
            case ("catalogue", _):
                self._read_catalogue(path, body)
            case ("agent_policy", folder):
                self._read_policy(folder, path, body)
            case ("organisation_policy", _):
                self._read_policy("", path, body)
            case ("signatures", operation):
                self.signatures[operation] = path, body
            case ("users", _):
                self.users = self._read_users(path, body)
                self.vocabulary_is_broken |= self.users is None
            case ("directory_signatures", name):
                self.list_signatures[DIRECTORY_FILE.format(name)] = path, body
            case ("entitlements_signatures", _):
                self.list_signatures[ENTITLEMENTS_FILE] = path, body
            case ("history" | "directory" | "classes" | "entitlements" as role, name):
                self._read_organisation(role, name, path, body)
            case ("served" | "trust" as role, whose):
                self._read_json(role, whose, path, body)
            case ("decisions", _):
                pass  # (it is compared by `remit check` alone, and decides nothing)
            case _:
                fix = "move it to where its kind of file is read"
                self._add("file_misplaced", path, 0, "a file that would never be read where it stands", fix)

    def _read_manifest(self, folder: str, path: str, body: bytes) -> None:
        document = self._document(path, body)
        if document is None:
            return
        self.locks[folder] = document
        try:
            entries = shape_each(LockEntry, document)
        except ProjectInvalidError as invalid:
            self.problems.extend(invalid.problems)
            return
        pins = {name: Pin(entry.version, entry.digest) for name, entry in entries.items()}
        self.manifests[folder] = MappingProxyType(pins)

    def _read_json(self, role: str, whose: str, path: str, body: bytes) -> None:
        try:
            if role == "served":
                self.served[whose] = read_served(body)
            else:
                self.trust = read_trust(body)
        except InputRefusedError as refused:
            self._refuse(path, refused)

    def _read_agent(self, folder: str, path: str, body: bytes) -> None:
        document = self._document(path, body)
        found = self._shape(AgentFile, document) if document else None
        if document and found:
            self.agents[folder] = document, found

    def _read_users(self, path: str, body: bytes) -> UserShape | None:
        document = self._document(path, body)
        if document is None:
            return None
        found = self._shape(UsersFile, document)
        if found is None:
            return None
        reserved = tuple(attributes_reserved(document, ("attributes",), found.attributes))
        self.problems.extend(reserved)
        if reserved:
            return None
        return UserShape(MappingProxyType(found.attributes))

    def _read_organisation(self, role: str, name: str, path: str, body: bytes) -> None:
        document = self._document(path, body)
        if document is None:
            self.vocabulary_is_broken |= role == "history"
            return
        match role:
            case "history":
                history = self._shape(HistoryFile, document)
                self.histories = None if history is None else (document, history)
                self.vocabulary_is_broken |= history is None
            case "directory":
                directory = self._shape(DirectoryFile, document)
                self.directories |= {} if directory is None else {name: (document, directory)}
            case "classes":
                classes = self._shape(ClassesFile, document)
                self.classes = None if classes is None else (document, classes)
            case _:
                entitlements = self._shape(EntitlementsFile, document)
                self.entitlements = None if entitlements is None else (document, entitlements)

    def _read_catalogue(self, path: str, body: bytes) -> None:
        before = len(self.problems)
        document = self._document(path, body)
        if document is None:
            self.catalogue_is_unreadable = True
        else:
            self.named |= _operation_names(document.value)
            self.named_tools |= _tool_names(document.value)
            found = self._shape(CatalogueFile, document)
            if found:
                self.catalogues.append((document, found))
        self.catalogue_is_broken |= len(self.problems) > before

    def _read_policy(self, folder: str, path: str, body: bytes) -> None:
        try:
            text = body.decode("utf-8", "strict")
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            self._add("encoding_invalid", path, line, "bytes that are not UTF-8", "save the file as UTF-8")
            return
        self.policies.setdefault(folder, {})[path] = text
        for number, line_text in enumerate(text.split("\n"), start=1):
            found = unsafe_text(line_text.rstrip("\r").replace("\t", " "))
            if found:
                message = f"{found}: a model or a person would read what a reviewer cannot see"
                self._add("text_unsafe", path, number, message, "remove the character and read the policy again")

    @property
    def operations_named(self) -> set[str] | None:
        """Every operation's name; None where a file could not be read, which may have more of them."""
        return None if self.catalogue_is_unreadable else self.named

    def names(self) -> Names:
        """Return what controls and data classes may refer to."""
        roles = [role_of(path) for path in self.sources]
        directories = {found[1] for found in roles if found is not None and found[0] == "directory"}
        if self.classes is None:
            unread = any(found is not None and found[0] == "classes" for found in roles)
            return Names(self.operations_named, directories, None if unread else frozenset())
        return Names(self.operations_named, directories, frozenset(self.classes[1].classes))

    def _document(self, path: str, body: bytes) -> Document | None:
        try:
            document = read_yaml(path, body)
        except ProjectInvalidError as invalid:
            self.problems.extend(invalid.problems)
            return None
        self.problems.extend(_unsafe_texts(document))
        return document

    def _shape(self, model: type[M], document: Document) -> M | None:
        try:
            return shape(model, document)
        except ProjectInvalidError as invalid:
            self.problems.extend(invalid.problems)
            return None

    def _refuse(self, path: str, refused: InputRefusedError) -> None:
        self._add(refused.code, path, 0, refused.message, refused.fix)

    def _at(self, document: Document, path: Path, code: str, message: str, fix: str) -> None:
        self._add(code, document.file, document.line(path), message, fix)

    def _add(self, code: str, file: str, line: int, message: str, fix: str) -> None:
        self.problems.append(Problem(code=code, file=file, line=line, message=message, fix=fix))


def _operation_names(value: Json) -> set[str]:
    operations = value.get("operations") if isinstance(value, dict) else None
    return set(operations) if isinstance(operations, dict) else set()


def _tool_names(value: Json) -> set[str]:
    tool = value.get("tool") if isinstance(value, dict) else None
    return {tool} if isinstance(tool, str) else set()


def _unsafe_texts(document: Document) -> Iterator[Problem]:
    for path, text in _texts(document.value, ()):
        found = unsafe_text(text)
        if found:
            yield Problem(
                code="text_unsafe",
                file=document.file,
                line=document.line(path),
                message=f"{found}: a model or a person would read what a reviewer cannot see",
                fix="remove the character and read the text again",
            )


def _texts(value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), key
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))
