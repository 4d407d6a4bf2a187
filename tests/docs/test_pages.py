import re
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.docs.console import STORY_WAIT_S, WAIT_S, Block, PageError, Terminal, agrees, blocks_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
DEMO = "the demo"
Played = dict[str, Future[list[str]]]
PORTS = ("8700", "8701", "9301", "9302")  # as the pages name them


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def has_commands(page: Path) -> bool:
    return any(not block.not_run for block in blocks_of(page.read_text("utf-8")))


def free_ports(count: int) -> list[str]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in taken:
            listener.bind(("127.0.0.1", 0))
        return [str(listener.getsockname()[1]) for listener in taken]


def play(blocks: list[Block], folder: Path, wait_s: int = WAIT_S) -> list[str]:
    """Run blocks in `folder`; return why some are not run."""
    with ExitStack() as stack:
        terminal = Terminal(folder, dict(zip(PORTS, free_ports(len(PORTS)), strict=True)), stack, wait_s)
        for block in blocks:
            if not block.not_run:
                terminal.run(block)
    return [f"not run: {block.commands[0].line}: {block.not_run}" for block in blocks if block.not_run]


def demo() -> list[Block]:
    """Return what the README shows of `make run`, as the command that it is."""
    [story] = [b for b in blocks_of((ROOT / "README.md").read_text("utf-8")) if b.commands[0].line == "make run"]
    return blocks_of(f"```console\n$ remit demo\n{story.commands[0].shown}\n```\n")


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Begin every page that is asked for at once, each in a folder and on ports of its own: they mostly wait."""
    wanted = {
        item.callspec.params["page"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec") and item.callspec.params.get("page")
    }
    with ThreadPoolExecutor(3) as pool:
        running = {}
        for page in sorted(wanted, key=lambda page: page != DEMO):  # (the longest first)
            folder = tmp_path_factory.mktemp("page")
            shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__", "var"))
            blocks = demo() if page == DEMO else blocks_of((ROOT / page).read_text("utf-8"))
            running[page] = pool.submit(play, blocks, folder, STORY_WAIT_S if page == DEMO else WAIT_S)
        yield running


@pytest.mark.requirement("R1.2", "R3.1", "R3.7", "R3.8", "R4.1", "R4.2", "R4.7", "R6.4", "R6.5")
@pytest.mark.parametrize("page", [name_of(page) for page in PAGES if has_commands(page)])
def test_the_commands_of_a_page_do_what_it_shows(page: str, played: Played) -> None:
    for reason in played[page].result():
        print(reason)  # noqa: T201 - for whoever reads the test's output


@pytest.mark.requirement("R1.2", "R3.7", "R3.8", "R4.1")  # chapters 1 to 3
@pytest.mark.requirement("R2.3", "R2.10", "R3.4", "R3.5", "R3.9", "R4.6", "R4.7", "R6.1", "R6.4", "R7.4")  # 1 to 9
@pytest.mark.parametrize("page", [DEMO])
def test_the_readme_shows_what_the_demo_prints(page: str, played: Played) -> None:
    """The demo looks at what really happened and ends with 0 only if all of it did; the README shows two chapters.

    (`make run` is `remit demo` after the setting up; the Makefile is held to it below.)
    """
    assert played[page].result() == []


MAKE = r"(?:^|`|\$ )make ([a-z-]+)(?=`|$|  )"


def test_the_makefile_has_the_targets_that_the_pages_name() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {word for page in PAGES for word in re.findall(MAKE, page.read_text("utf-8"), re.MULTILINE)}
    assert {"run", "test"} <= named <= targets
    assert re.search(r"^run: .*\n\t\$\(BIN\)/remit demo$", makefile, re.MULTILINE)


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def links_of(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [link for link in LINK.findall(re.sub(r"`[^`\n]*`", "", prose)) if "://" not in link]


def anchors_of(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for link in links_of(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text("utf-8"))):
            broken.append(link)
    return broken


def test_every_link_inside_the_project_leads_somewhere() -> None:
    assert {name_of(page): found for page in PAGES if (found := broken_links(page, page.read_text("utf-8")))} == {}


# --- controls ---------------------------------------------------------------------------------------------------------


def test_a_broken_link_and_a_broken_anchor_are_seen() -> None:
    said = broken_links(ROOT / "README.md", "[a](docs/none.md) [b](README.md#no-such-title) [c](README.md) `[d](e)`")
    assert said == ["docs/none.md", "README.md#no-such-title"]


def test_another_output_or_exit_code_than_shown_is_seen(tmp_path: Path) -> None:
    for page, said in (
        ("```console\n$ echo one\ntwo\n```\n", "the page shows\ntwo"),
        ("```console\n$ echo one\n```\n", "it printed\none"),
        ("```console\n$ false\n```\n", "exits with 1, not 0"),
        ("<!-- exits 1 -->\n\n```console\n$ true\n```\n", "exits with 0, not 1"),
    ):
        with pytest.raises(PageError) as seen:
            play(blocks_of(page), tmp_path)
        assert said in str(seen.value)


def test_commands_share_a_folder_and_may_go_over_several_lines(tmp_path: Path) -> None:
    typed = "$ mkdir one && cd one\n$ cat > f <<'END'\n> here\n>\n> END\n$ cat f; basename $PWD\n"
    play(blocks_of(f"```console\n{typed}here\n\none\n```\n"), tmp_path)
    assert (tmp_path / "one/f").read_text("utf-8") == "here\n\n"


def test_what_is_volatile_is_compared_by_its_form_and_dots_stand_for_anything() -> None:
    assert agrees("t_" + "0" * 24 + " after 1.0 ms", "t_" + "a" * 24 + " after 20.5 ms")
    assert agrees("one\n...\nfour", "one\ntwo\nthree\nfour")
    assert agrees("one ... four", "one two three four")
    assert agrees("one\n...", "one\ntwo\nthree")
    assert not agrees("t_12", "t_" + "a" * 24)
    assert not agrees("one\n...\nfive", "one\ntwo\nthree\nfour")
    assert not agrees("one", "one\ntwo")
    assert not agrees("one\n...\ntwo", "one")
    assert not agrees("one\n...\ntwo\n...\ntwo", "one\ntwo")
    assert not agrees("one\n...\none", "one")
    assert agrees("...\ntwo\nthree\n...", "one\ntwo\ntwo\nthree")
    assert agrees("", "")
    assert agrees("...", "")
    assert not agrees("", "one")


def test_a_block_that_is_not_run_says_why(tmp_path: Path) -> None:
    said = play(blocks_of("<!-- not run: it would take a day -->\n\n```console\n$ touch ran\n```\n"), tmp_path)
    assert said == ["not run: touch ran: it would take a day"]
    assert not (tmp_path / "ran").exists()
