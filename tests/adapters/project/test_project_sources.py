"""Which files are read, and which are refused before a byte of them counts."""

import os
from pathlib import Path

import pytest

from remit.adapters.project import FILE_BYTES_MAX, FILES_MAX, new_project, read_sources, write_project
from remit.core import InputRefusedError, ProjectInvalidError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_project(tmp_path / "desk", new_project("desk", "ana"))
    return tmp_path / "desk"


def codes(root: Path, trust: Path | None = None) -> list[tuple[str, str]]:
    with pytest.raises(ProjectInvalidError) as caught:
        read_sources(root, trust)
    assert all(problem.fix for problem in caught.value.problems)
    return [(problem.code, problem.file) for problem in caught.value.problems]


def test_sources_are_what_a_bundle_is_compiled_from_and_nothing_else(root: Path) -> None:
    (root / "organisation" / "policies").mkdir(parents=True)
    (root / "organisation" / "policies" / "all.cedar").write_bytes(b"")
    (root / "agents" / "assistant" / "prompts.md").write_bytes(b"not a source")
    for path in ("agents/assistant/tools.lock", "catalogue/served/orders.json", "catalogue/served/README.md"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(b"")
    (root / "catalogue" / "signatures").mkdir()
    (root / "catalogue" / "signatures" / "get_order.dsse.json").write_bytes(b"")
    assert list(read_sources(root)) == [
        "agents/assistant/agent.yaml",
        "agents/assistant/policies/first.cedar",
        "agents/assistant/tools.lock",
        "catalogue/orders.yaml",
        "catalogue/served/orders.json",
        "catalogue/signatures/get_order.dsse.json",
        "organisation/policies/all.cedar",
    ]


def test_the_trust_root_is_read_from_where_it_stands_and_may_be_missing(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.json"
    assert "trust.json" not in read_sources(root, file)
    file.write_bytes(b"{}")
    assert read_sources(root, file)["trust.json"] == b"{}"
    assert "trust.json" not in read_sources(root)
    (root / "trust.json").write_bytes(b"mine")  # nobody's name for it: only the settings say where it stands
    assert "trust.json" not in read_sources(root)


@pytest.mark.parametrize("kind", ["folder", "loop", "gone", "large"])
def test_a_trust_root_that_cannot_be_read_is_a_problem_and_not_a_missing_one(
    root: Path, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "trust"
    match kind:
        case "folder":
            file.mkdir()
        case "loop":
            file.symlink_to(file)
        case "gone":
            file.symlink_to(tmp_path / "nothing")
        case _:
            file.write_bytes(b" " * (FILE_BYTES_MAX + 1))
    found = codes(root, file)
    assert found == [("file_too_large" if kind == "large" else "file_unreadable", "trust.json")]


def test_no_folder_is_no_project(tmp_path: Path) -> None:
    assert codes(tmp_path / "nowhere") == [("project_missing", ".")]


@pytest.mark.parametrize(
    "path",
    ["catalogue/orders.yml", "catalogue/more/orders.yaml", "agents/assistant/policies/more/x.cedar",
     "agents/assistant/x.cedar", "organisation/x.cedar", "agents/assistant/policies/x.CEDAR", "agents/other/agent.yml",
     "agents/tools.lock", "agents/assistant/more/tools.lock", "agents/assistant/tools.lock.yaml",
     "catalogue/tools.lock", "agents/assistant/Tools.lock", "catalogue/served/orders.yaml",
     "catalogue/served/a/orders.json", "catalogue/signatures/get_order.json", "catalogue/get_order.dsse.json",
     "catalogue/signed/get_order.dsse.json", "catalogue/signatures/get_order.dsse"],
)  # fmt: skip
def test_a_file_that_would_silently_not_count_is_a_problem(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b"")
    assert codes(root) == [("file_misplaced", path)]


def test_a_link_out_of_the_project_is_refused_and_one_within_is_read(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_bytes(b"tool: x")
    inside = root / "catalogue" / "inside.yaml"
    inside.symlink_to("orders.yaml")
    assert read_sources(root)["catalogue/inside.yaml"] == read_sources(root)["catalogue/orders.yaml"]
    (root / "catalogue" / "out.yaml").symlink_to(tmp_path / "outside.yaml")
    assert codes(root) == [("symlink_refused", "catalogue/out.yaml")]


def test_a_link_to_a_folder_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "agents" / "other").symlink_to(tmp_path / "elsewhere")
    (root / "organisation").symlink_to(tmp_path / "elsewhere")
    assert codes(root) == [("symlink_refused", "agents/other"), ("symlink_refused", "organisation")]


def test_links_that_lead_nowhere_and_pipes_are_unreadable(root: Path) -> None:
    (root / "catalogue" / "loop.yaml").symlink_to("loop.yaml")
    (root / "catalogue" / "gone.yaml").symlink_to("nothing.yaml")
    os.mkfifo(root / "catalogue" / "pipe.yaml")
    names = ["gone", "loop", "pipe"]
    assert codes(root) == [("file_unreadable", f"catalogue/{name}.yaml") for name in names]


def test_a_file_over_the_bound_is_refused_and_one_at_it_is_read(root: Path) -> None:
    (root / "catalogue" / "at.yaml").write_bytes(b"#" * FILE_BYTES_MAX)
    assert len(read_sources(root)["catalogue/at.yaml"]) == FILE_BYTES_MAX
    (root / "catalogue" / "over.yaml").write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    assert codes(root) == [("file_too_large", "catalogue/over.yaml")]


def test_more_files_than_the_bound_are_refused(root: Path) -> None:
    for number in range(FILES_MAX):
        (root / "catalogue" / f"t{number}.yaml").touch()
    assert [code for code, _ in codes(root)] == ["too_many_files"]


def test_a_name_that_could_look_like_another_is_refused(root: Path) -> None:
    (root / "catalogue" / "\u043erders.yaml").write_bytes(b"")
    assert codes(root) == [("file_name_invalid", "catalogue/\\u043erders.yaml")]


def test_writing_never_replaces_a_file_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("mine")
    with pytest.raises(InputRefusedError) as caught:
        write_project(tmp_path, {"a.txt": "new", "b.txt": "new"})
    assert caught.value.code == "file_exists"
    assert "b.txt" in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]
    assert (tmp_path / "b.txt").read_text() == "mine"


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "a/../../x"])  # noqa: S108 - a path that must be refused
def test_writing_stays_inside_the_project(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputRefusedError) as caught:
        write_project(tmp_path / "desk", {path: ""})
    assert caught.value.code == "path_outside"


def test_writing_does_not_follow_a_link_out_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "agents").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputRefusedError) as caught:
        write_project(tmp_path / "desk", {"agents/x": ""})
    assert caught.value.code == "path_outside"
    assert list((tmp_path / "elsewhere").iterdir()) == []
