"""Where revision 2026-07-28 fixes status and error code, this gateway and the official SDK's server agree."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.conftest import Gateway, Opened, order_desk
from tests.surfaces.mcp.test_mcp_edge import CASES, DENIED, Case, headers

# The SDK's server lets these through, or reads them otherwise, where the revision leaves room and we do not.
STRICTER = {
    "duplicate_key": "a JSON reader may take the last one",
    "number_invalid": "a JSON reader may take any number",
    "member_unknown": "JSON-RPC says nothing of further members",
    "too_many_keys": "a bound of ours",
    "operation_name_invalid": "an unknown tool like any other, once its name is text",
    "outside_use_case": "a decision of ours",
    "policy_no_permit": "a decision of ours",
    "arguments_invalid": "the SDK says so in a tool error, as we do",
    "too_deep": "a bound of ours; the SDK stops where its parser does",
}
OTHERWISE = {
    "a byte-order mark": "the SDK's JSON reader skips it",
    "a surrogate in UTF-8": "the SDK's JSON reader takes it",
    "id of 129 characters": "a bound of ours",
    "the method resources/read": "the order desk serves resources",
    "the method prompts/get": "the order desk serves prompts",
    "the method subscriptions/listen": "the order desk serves subscriptions",
    "no id": "the SDK takes a request without an id for a notification and acknowledges it with 202",
    "UTF-16": "the SDK's JSON reader detects UTF-16",
    "UTF-16 without its mark": "the same",
    "a lone surrogate": "the SDK's JSON reader keeps it",
    "a lone low surrogate": "the same",
    "surrogates the wrong way round": "the same",
    "a lone surrogate in a key": "the same",
    "a lone surrogate in the method": "the same",
    "an older revision in _meta": "the header sends the request to the SDK's older transport",
    "a revision of the future": "an unknown header does the same",
    "a revision that is none": "the same",
    "a revision as a number": "the same",
    "a revision that is null": "the same",
    "no version header": "the same",
    "another version header": "the same",
    "an empty version header": "the same",
    "two versions in one header": "the same",
}
COMPARED = [case for case in CASES if case.rpc != DENIED and case.code not in STRICTER and case.what not in OTHERWISE]


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with order_desk(tmp_path_factory.mktemp("official")) as (url, _):
        yield url


def ask(url: str, case: Case) -> tuple[int, int]:
    host = urlsplit(url).netloc
    lines = [
        (name.encode("ascii"), text.encode("utf-8")) for name, text in [("Host", host), *headers("unused", case.lines)]
    ]
    answer = httpx2.post(url, content=case.body, headers=lines, trust_env=False, timeout=30)
    said = answer.json()
    return answer.status_code, said.get("error", {}).get("code", 0)


@pytest.mark.parametrize("case", COMPARED, ids=lambda case: case.what)
def test_status_and_code_are_those_of_the_official_server(
    desk: Gateway, opened: Opened, official: str, case: Case
) -> None:
    ours = desk.post("/mcp", case.body, headers(opened.token, case.lines))
    assert (ours.status, ours.rpc) == ask(official, case)
