"""The pages' examples are a project that compiles, and their codes are the code's."""

import re
from pathlib import Path

import pytest

from remit.adapters.project import check_project, read_settings, read_sources

ROOT = Path(__file__).parents[3]
PAGES = ("docs/01-charter.md", "docs/04-catalogue.md")


def block(page: str) -> str:
    found = re.search(r"```yaml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def test_the_examples_of_the_pages_compile_together() -> None:
    charter, catalogue = (block(page) for page in PAGES)
    operation = catalogue.partition("operations:\n")[2]
    look_up = operation.replace("refund_order", "get_order").replace("refundOrder", "getOrder")
    # (The agent that the page's own hands work on to: the same, but that it hands on nothing.)
    other = charter.replace("agent: refunds", "agent: tracker").replace("delegates_to: [tracker]", "delegates_to: []")
    sources = {
        "agents/refunds/agent.yaml": charter,
        "agents/tracker/agent.yaml": other,
        "catalogue/orders.yaml": catalogue + look_up,
    }
    checked = check_project({path: text.encode() for path, text in sources.items()})
    assert set(checked.snapshot.descriptors) == {"get_order", "refund_order"}
    assert "never_permitted" in {warning.code for warning in checked.warnings}


def test_the_refund_desks_project_lacks_nothing_but_its_reviews() -> None:
    root = ROOT / "examples/refund_desk/project"
    people = read_settings(root).development.people
    checked = check_project(read_sources(root))
    unreviewed = {"descriptor_unsigned", "manifest_missing", "served_unpinned"}
    assert {warning.code for warning in checked.warnings} == unreviewed | {"bearer_allowed"}
    assert {name for name, said in checked.snapshot.registrations.items() if said.bearer} == {"refunds", "tracker"}
    assert checked.snapshot.flows["refunds", "send_mail"].sources == {"to": ("user", "get_order/customer_email")}
    for (agent, _), flow in checked.snapshot.flows.items():
        for role in flow.reviewers if agent == "refunds" else ():
            assert any(role in person.roles for person in people.values())
    assert {cap.name: cap.max for cap in checked.snapshot.caps["refunds"]} == {"writes": 5, "reads": 500, "at_once": 4}


@pytest.mark.parametrize("page", PAGES)
def test_every_code_of_a_page_is_one_that_the_code_gives(page: str) -> None:
    rooms = ("adapters/project", "catalogue", "charter", "app")
    source = "\n".join(path.read_text("utf-8") for room in rooms for path in (ROOT / "src/remit" / room).glob("*.py"))
    tables = "\n".join(
        line.split("|")[1] for line in (ROOT / page).read_text("utf-8").splitlines() if line[:3] == "| `"
    )
    codes = re.findall(r"`([a-z_0-9]+)`", tables)
    assert codes
    for code in codes:
        whole = f'"{code}"' in source
        built = code.endswith("_duplicate") and '_duplicate"' in source
        assert whole or built, code
