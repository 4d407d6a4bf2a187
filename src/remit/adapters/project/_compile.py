"""From files to the running release: everything is checked, and one problem anywhere means no snapshot at all.

Pure: the same files give the same snapshot and digest, wherever and whenever they are compiled.

1. Each file alone: YAML, shape, text that a reviewer can see (`_read`).
2. The catalogue: addresses and commands, schemas, controls, look-ups, no name twice.
3. The organisation's counters, directories, data classes and entitlements: what they speak of is there.
4. Charters and manifests: the folder's name, operations that exist, and nobody who would be two agents.
5. Policies, once the catalogue and what else they are typed by are sound: they would only echo its problems.
6. Reviews and lists: signatures are checked once, here. One that does not hold is no problem of the project: it loads,
   and every call of the operation is denied, or the list counts for nothing. A file that is no file of signatures is.

    checked = check_project(read_sources(Path("project"), trust=Path("project/var/trust.json")))
    checked.snapshot.digest, checked.warnings
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from remit.adapters.project._commands import command_wrong
from remit.adapters.project._controls import DIRECTORY, caps_of, controls_of, flow_of, shape_of, wrong_controls
from remit.adapters.project._credentials import credential_of, wrong_credential
from remit.adapters.project._directories import classes_of, directory_of, wrong_classes, wrong_directory
from remit.adapters.project._entitlements import entitlements_of, wrong_entitlements
from remit.adapters.project._histories import histories_of, told, uncounted, wrong_histories
from remit.adapters.project._identity import registration_of, wrong_identities
from remit.adapters.project._lookups import wrong_look_ups
from remit.adapters.project._mistakes import nearest, role_reserved
from remit.adapters.project._models import AgentFile, CatalogueFile, OperationEntry
from remit.adapters.project._read import Files
from remit.adapters.project._sources import lists_in, role_of
from remit.adapters.project._urls import url_wrong
from remit.adapters.project._warnings import (
    bearer_allowed,
    listed,
    never_permitted,
    not_deployed,
    not_reviewed,
    not_signed,
)
from remit.adapters.project._yaml import Document, Path
from remit.catalogue import (
    Descriptor,
    Review,
    SchemaCheck,
    Tool,
    compile_check,
    review_list,
    review_of,
    schema_problems,
    sealed,
    served_digest,
)
from remit.charter import Charter, UseCase
from remit.core import REQUESTER, InputRefusedError, JsonObject, Problem, ProjectInvalidError, canonical_bytes
from remit.identity import Registration
from remit.permissions import (
    NOBODY,
    Entitlements,
    History,
    Known,
    OperationShape,
    Shard,
    UserShape,
    compile_policies,
    labels_read,
)
from remit.pipeline import Snapshot

_RENAME_FIX = "rename it after what it belongs to, or remove it"


@dataclass(frozen=True, slots=True)
class Checked:
    """A project that compiles. `warnings` are what is allowed and probably not meant.

    `shapes` (by operation) and `users` are what its policies are typed by.
    """

    snapshot: Snapshot
    warnings: tuple[Problem, ...]
    shapes: Mapping[str, OperationShape] = field(default_factory=dict)
    users: UserShape = field(default_factory=UserShape)


def compile_snapshot(sources: Mapping[str, bytes]) -> Snapshot:
    """Compile `sources` (relative posix path -> content) into a snapshot.

    Raises:
        ProjectInvalidError: with every problem found, sorted by file and line.
    """
    return check_project(sources).snapshot


def check_project(sources: Mapping[str, bytes]) -> Checked:
    """Compile `sources` and say also what is allowed and probably not meant.

    Raises:
        ProjectInvalidError: with every problem found, sorted by file and line.
    """
    project = _Project(sources)
    project.read_files()
    project.check_catalogue()
    project.check_organisation()
    project.check_charters()
    if not project.catalogue_is_broken:
        if project.users is not None and not project.vocabulary_is_broken:
            project.compile_policies(project.users)
        project.check_reviews()
    project.check_lists()
    if project.problems:
        raise ProjectInvalidError(_sorted(project.problems))
    project.warn()
    return Checked(_snapshot(project), _sorted(project.warnings), project.shapes, project.users or UserShape())


def digest_of_sources(sources: Mapping[str, bytes]) -> str:
    """Return `sha256:` and 64 hex digits over the canonical JSON of each path with the SHA-256 of its content."""
    hashes = {path: hashlib.sha256(body).hexdigest() for path, body in sources.items()}
    return f"sha256:{hashlib.sha256(canonical_bytes(hashes)).hexdigest()}"


@dataclass(slots=True)
class _Project(Files):
    """A project being compiled. Each step adds what it could make and every problem it met. Used once."""

    entries: dict[str, tuple[Document, OperationEntry]] = field(default_factory=dict)  # by operation
    counters: tuple[History, ...] = ()
    list_reviews: dict[str, Review] = field(default_factory=dict)  # by the list's path
    places: dict[str, tuple[str, int]] = field(default_factory=dict)  # by operation: file and line
    tools: dict[str, Tool] = field(default_factory=dict)
    descriptors: dict[str, Descriptor] = field(default_factory=dict)
    checks: dict[str, SchemaCheck] = field(default_factory=dict)
    charters: dict[str, Charter] = field(default_factory=dict)
    shards: dict[tuple[str, str], Shard] = field(default_factory=dict)
    shapes: dict[str, OperationShape] = field(default_factory=dict)  # by operation
    reviews: dict[str, Review] = field(default_factory=dict)
    registrations: dict[str, Registration] = field(default_factory=dict)

    def check_catalogue(self) -> None:
        """Step 2: addresses, schemas, no name twice."""
        before = len(self.problems)
        places: dict[str, str] = {}
        tool_places: dict[str, str] = {}
        for document, found in self.catalogues:
            self._once("tool", found.tool, document, ("tool",), tool_places)
            self._check_endpoint(document, found)
            tool = self.tools[found.tool] = _tool(found)
            for name, entry in found.operations.items():
                self._once("operation", name, document, ("operations", name), places)
                self._check_operation(document, tool, name, entry, found.author or "")
        self._check_kept()
        self._check_look_ups()
        self.catalogue_is_broken |= len(self.problems) > before

    def _check_look_ups(self) -> None:
        """What is read before a call is decided can be read."""
        for name, (document, entry) in self.entries.items():
            for inner, code, message, fix in wrong_look_ups(entry, self._entries(), self.operations_named):
                self._at(document, ("operations", name, *inner), code, f"`{name}`: {message}", fix)

    def _entries(self) -> dict[str, OperationEntry]:
        return {name: entry for name, (_, entry) in self.entries.items()}

    def check_organisation(self) -> None:
        """Step 3: counters, directories, data classes and entitlements, each against what it speaks of."""
        before = len(self.problems)
        if self.histories:
            self.problems.extend(wrong_histories(*self.histories, self._entries(), self.operations_named))
        self.vocabulary_is_broken |= len(self.problems) > before
        for name, (document, found) in self.directories.items():
            self.problems.extend(wrong_directory(name, document, found))
        if self.classes:
            self.problems.extend(wrong_classes(*self.classes, self.names()))
        if self.entitlements:
            declared = None if self.users is None else self.users.attributes
            self.problems.extend(wrong_entitlements(*self.entitlements, declared))
        if self.histories and not self.vocabulary_is_broken and not self.catalogue_is_broken:
            self.counters = histories_of(self.histories[1], self._entries())
            self.warnings.extend(uncounted(*self.histories, self._entries()))

    def check_lists(self) -> None:
        """Step 6 again: what the signatures of each list are worth; what belongs to no list is a mistake."""
        for path, (kind, name, body) in lists_in(self.sources).items():
            signatures, envelope = self.list_signatures.get(path, ("", None))
            try:
                self.list_reviews[path] = review_list(kind, name, body, envelope, self.trust)
            except InputRefusedError as refused:
                self._refuse(signatures, refused)
        for path in sorted(self.list_signatures.keys() - self.list_reviews.keys() - self.sources.keys()):
            signatures, _ = self.list_signatures[path]
            message = f"there is no list at {path}: these signatures are on nothing"
            self._add("signature_unknown_list", signatures, 0, message, _RENAME_FIX)

    def _check_endpoint(self, document: Document, found: CatalogueFile) -> None:
        """A tool is at a URL or made by a command, and each of them is one that may stand in a file."""
        if (found.url is None) == (found.command is None):
            fix = "write `url:` where its MCP endpoint answers, or `command:` to start it on this machine"
            said = "neither `url` nor `command`" if found.url is None else "both `url` and `command`"
            self._at(document, ("command",), "tool_endpoint_unclear", f"{said}: expected one of the two", fix)
        if found.artefacts and found.command is None:
            message = "artefacts without a command: nothing would ever be compared with them"
            self._at(document, ("artefacts",), "artefacts_unused", message, "take them out, or write `command:`")
        wrong_url = None if found.url is None else url_wrong(found.url)
        if wrong_url:
            self._at(document, ("url",), *wrong_url)
        wrong = command_wrong(found.command or ())
        if wrong:
            self._at(document, ("command", wrong[0]), *wrong[1])
        for path, wrong_part in wrong_credential(found.credential, has_headers=found.command is None):
            self._at(document, ("credential", *path), *wrong_part)

    def _check_kept(self) -> None:
        """What is kept of servers and reviews belongs to something in the catalogue: else it is kept for nothing."""
        if self.catalogue_is_unreadable:
            return
        for path in self.sources:
            match role_of(path):
                case ("served", tool) if tool not in self.named_tools:
                    message = f"the tool `{tool[:80]}` is not in the catalogue{nearest(tool, sorted(self.named_tools))}"
                    self._add("served_unknown_tool", path, 0, message, _RENAME_FIX)
                case ("signatures", operation) if operation not in self.named:
                    known = sorted(self.named)
                    message = f"`{operation[:80]}` is not in the catalogue{nearest(operation, known)}"
                    self._add("signature_unknown_operation", path, 0, message, _RENAME_FIX)
                case _:
                    pass

    def _once(self, noun: str, name: str, document: Document, path: Path, places: dict[str, str]) -> None:
        """Refuse a second `name`: one of the two would shadow the other."""
        here = f"{document.file}:{document.line(path)}"
        earlier = places.setdefault(name, here)
        if earlier != here:
            message = f"the {noun} `{name}` is also in {earlier}: one would shadow the other"
            self._at(document, path, f"{noun}_duplicate", message, "rename one of the two")

    def _check_operation(self, document: Document, tool: Tool, name: str, entry: OperationEntry, author: str) -> None:
        path: Path = ("operations", name)
        self.places[name] = document.file, document.line(path)
        self.entries[name] = document, entry
        if name == DIRECTORY:
            message = f"the name `{DIRECTORY}` is reserved: as a source, `{DIRECTORY}/NAME` is a directory"
            self._at(
                document, path, "operation_reserved", message, "give the operation another name, with upstream_name"
            )
        for inner, code, message, fix in wrong_controls(entry, self.names()):
            self._at(document, (*path, *inner), code, f"`{name}`: {message}", fix)
        input_schema: JsonObject = dict(entry.input_schema)
        output_schema: JsonObject | None = None if entry.output_schema is None else dict(entry.output_schema)
        sound = self._check_schema(document, (*path, "input_schema"), input_schema, closed=True)
        if output_schema is not None:
            sound &= self._check_schema(document, (*path, "output_schema"), output_schema, closed=False)
        if not sound:
            return
        upstream_name = entry.upstream_name or name
        definition = self.served.get(tool.name, {}).get(upstream_name)
        self.checks[name] = compile_check(input_schema)
        self.descriptors[name] = sealed(
            Descriptor(
                operation=name,
                tool=tool.name,
                upstream_name=upstream_name,
                version=entry.version,
                title=entry.title,
                description=entry.description,
                input_schema=input_schema,
                output_schema=output_schema,
                endpoint=tool.endpoint,
                served="" if definition is None else served_digest(definition),
                author=author,
                controls=controls_of(entry),
            )
        )

    def _check_schema(self, document: Document, path: Path, schema: JsonObject, *, closed: bool) -> bool:
        found = schema_problems(schema, closed=closed)
        for problem in found:
            self._at(document, (*path, *problem.path), problem.code, f"`{path[1]}`: {problem.message}", problem.fix)
        return not found

    def check_charters(self) -> None:
        """Step 4: the folder's name, and operations that exist."""
        places: dict[str, str] = {}
        for folder, (document, found) in self.agents.items():
            if found.agent != folder:
                message = f"the agent `{found.agent}` stands in the folder agents/{folder}: expected one name for both"
                self._at(document, ("agent",), "agent_folder_mismatch", message, f"rename one: `agent: {folder}`")
            self._once("agent", found.agent, document, ("agent",), places)
            self._check_listed(document, found)
            if REQUESTER in found.reviewers:
                self.problems.append(role_reserved(document, ("reviewers", found.reviewers.index(REQUESTER))))
            self.charters[found.agent] = _charter(found)
            self.registrations[found.agent] = registration_of(found)
        self.problems.extend(wrong_identities(self.agents, frozenset(self.folders | set(self.charters))))
        for document in self.locks.values():
            self._check_manifest(document)
        for folder in sorted((set(self.policies) | set(self.locks)) - self.folders - {""}):
            message = f"agents/{folder} has {'policies' if folder in self.policies else 'a manifest'} and no charter"
            fix = "add agent.yaml with owner, process, purpose and use cases, or remove the folder"
            self._add("charter_missing", f"agents/{folder}/agent.yaml", 0, message, fix)

    def _check_listed(self, document: Document, found: AgentFile) -> None:
        fix = "describe it in catalogue/<tool>.yaml or take it off the list"
        for name, use_case in found.use_cases.items():
            for index, operation in enumerate(use_case.operations):
                path: Path = ("use_cases", name, "operations", index)
                self._check_known(operation, document, path, "operation_unknown", fix)

    def _check_manifest(self, document: Document) -> None:
        fix = "take it out of the manifest, or describe it in catalogue/<tool>.yaml"
        for operation in document.value if isinstance(document.value, dict) else ():
            self._check_known(operation, document, (operation,), "manifest_unknown_operation", fix)

    def _check_known(self, operation: str, document: Document, path: Path, code: str, fix: str) -> None:
        known = self.operations_named
        if known is not None and operation not in known:
            message = f"`{operation[:80]}` is not in the catalogue{nearest(operation, sorted(known))}"
            self._at(document, path, code, message, fix)

    def compile_policies(self, users: UserShape) -> None:
        """Step 5: the organisation's policies and each agent's own, typed by the catalogue and what `users` are."""
        shapes = [
            shape_of(descriptor, self.descriptors, self.counters) for _, descriptor in sorted(self.descriptors.items())
        ]
        self.shapes = {each.operation: each for each in shapes}
        shared = self.policies.get("", {})
        everybody = dict.fromkeys(shared, self._known(*sorted(self.folders)))
        # (Without any agent the organisation's policies are compiled all the same, to find their mistakes.)
        for agent in sorted(self.folders) or [""]:
            own = self.policies.get(agent, {}) if agent else {}
            known = {**everybody, **dict.fromkeys(own, self._known(agent))}
            shards, problems = compile_policies(agent, {**shared, **own}, shapes, users, known)
            # (A mistake of the organisation's is found once per agent and said once.)
            self.problems.extend(problem for problem in problems if problem not in self.problems)
            self.shards.update({(agent, operation): shard for operation, shard in shards.items() if agent})
            if agent in self.agents and not problems:
                self.warnings.extend(never_permitted(*self.agents[agent], {**shared, **own}))

    def _known(self, *agents: str) -> Known:
        """Return the names that policies of `agents` may speak of; nothing is asked where a charter is not sound."""
        if not agents or not self.agents.keys() >= set(agents):
            return Known()
        use_cases = {name for agent in agents for name in self.agents[agent][1].use_cases}
        return Known(frozenset(use_cases), frozenset(self.folders))

    def check_reviews(self) -> None:
        """Step 6: what the signatures of each descriptor are worth."""
        for operation, descriptor in self.descriptors.items():
            path, body = self.signatures.get(operation, ("", None))
            try:
                self.reviews[operation] = review_of(descriptor, body, self.trust)
            except InputRefusedError as refused:
                self._refuse(path, refused)

    def warn(self) -> None:
        """Say what would be denied always, for each operation that some agent lists."""
        places: dict[str, tuple[str, int]] = {}
        for folder, (document, found) in self.agents.items():
            places |= {operation: self.places[operation] for operation in listed(document, found)}
            self.warnings.extend(not_deployed(document, found, self.descriptors, self.manifests.get(folder, {})))
            self.warnings.extend(bearer_allowed(document, found))
        self.warnings.extend(not_reviewed(places, self.descriptors, self.reviews))
        self.warnings.extend(not_signed(self.list_reviews))


def _snapshot(project: _Project) -> Snapshot:
    sources = dict(sorted(project.sources.items()))
    return Snapshot(
        digest=digest_of_sources(sources),
        sources=MappingProxyType(sources),
        charters=MappingProxyType(project.charters),
        tools=MappingProxyType(project.tools),
        descriptors=MappingProxyType(project.descriptors),
        checks=MappingProxyType(project.checks),
        shards=MappingProxyType(project.shards),
        reviews=MappingProxyType(project.reviews),
        flows=MappingProxyType(
            {
                (agent, operation): flow_of(
                    descriptor.controls,
                    descriptor.input_schema,
                    tuple(found.reviewers),
                    labels_read(project.shards.get((agent, operation))),
                )
                for agent, (_, found) in project.agents.items()
                for operation, descriptor in project.descriptors.items()
            }
        ),
        manifests=MappingProxyType(
            {agent: project.manifests.get(agent, MappingProxyType({})) for agent in project.agents}
        ),
        caps=MappingProxyType({agent: caps_of(found) for agent, (_, found) in project.agents.items()}),
        registrations=MappingProxyType(project.registrations),
        directories=MappingProxyType(
            {
                name: directory_of(found, project.list_reviews[document.file])
                for name, (document, found) in project.directories.items()
            }
        ),
        classes=MappingProxyType(classes_of(project.classes[1]) if project.classes else {}),
        histories=MappingProxyType(
            {
                operation: told(project.counters, descriptor.input_schema, operation)
                for operation, descriptor in project.descriptors.items()
            }
        ),
        entitlements=_entitlements(project),
    )


def _entitlements(project: _Project) -> Entitlements:
    if project.entitlements is None:
        return NOBODY
    document, found = project.entitlements
    return NOBODY if project.list_reviews[document.file].missing else entitlements_of(found)


def _tool(found: CatalogueFile) -> Tool:
    return Tool(
        name=found.tool,
        url=found.url or "",
        timeout_s=found.timeout_s,
        response_bytes_max=found.response_bytes_max,
        command=tuple(found.command or ()),
        artefacts=tuple(sorted(found.artefacts.items())),
        credential=credential_of(found.credential),
    )


def _charter(found: AgentFile) -> Charter:
    use_cases = {
        name: UseCase(
            name=name,
            description=entry.description,
            operations=frozenset(entry.operations),
            named=entry.grant == "named",
        )
        for name, entry in found.use_cases.items()
    }
    return Charter(
        agent=found.agent,
        owner=found.owner,
        process=found.process,
        purpose=found.purpose,
        use_cases=MappingProxyType(use_cases),
    )


def _sorted(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda found: (found.file, found.line, found.code, found.message)))
