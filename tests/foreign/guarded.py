"""Remit on the refund desk with an organisation's own identity provider, for tests of logins that are not ours.

    with guarded(tmp_path) as (gateway, corp):
        token = corp.login("alice", DESK, f"{gateway.data}/mcp")

Whoever is in the group `support` may use agents; the clients `DESK` and `DOCUMENT` are the agent `tracker`.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import DESK as PROJECT
from tests.conftest import LISTED_URL, Gateway, free_ports, order_desk, running, stand_in
from tests.foreign.provider import DESK, DOCUMENT, Provider, provider

CLAIMS = {"groups": "groups", "attributes": {"department": "department"}, "roles": {"user": ["support"]}}


@contextmanager
def guarded(folder: Path, **settings: object) -> Iterator[tuple[Gateway, Provider]]:
    """Run the order desk, the foreign provider and the gateway; `settings` are the issuer's besides its address."""
    with provider(folder) as corp, order_desk(folder) as (tools, calls):
        issuer = {"issuer": corp.issuer, "claims": CLAIMS, **settings}
        with _gateway(folder, tools, calls, issuer) as gateway:
            yield gateway, corp


@contextmanager
def _gateway(folder: Path, tools: str, calls: Path, issuer: dict[str, object]) -> Iterator[Gateway]:
    project = folder / "project"
    shutil.copytree(PROJECT / "project", project)
    data_port, admin_port = free_ports(2)
    clients = [{"issuer": "corp", "client_id": each, "use_case": "tracking"} for each in (DESK, DOCUMENT)]
    _add(project / "remit.yaml", data={"port": data_port}, admin={"port": admin_port}, issuers={"corp": issuer})
    _add(project / "agents/tracker/agent.yaml", identity={"clients": clients})
    catalogue = project / "catalogue/orders.yaml"
    catalogue.write_text(catalogue.read_text("utf-8").replace(LISTED_URL, tools), "utf-8")
    stand_in(project, folder, served=True)
    with running([sys.executable, "-m", "remit", "up", "-C", str(project)], folder / "gateway", "ready after"):
        yield Gateway(project, data_port, admin_port, calls, folder / "gateway.out", folder / "gateway.err")


def _add(file: Path, **parts: object) -> None:
    """Add parts to a settings file; what is JSON is YAML."""
    lines = [f"{name}: {json.dumps(part)}\n" for name, part in parts.items()]
    file.write_text(file.read_text("utf-8") + "".join(lines), "utf-8")
