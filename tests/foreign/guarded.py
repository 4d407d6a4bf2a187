"""Remit on the refund desk with an organisation's own identity provider, for tests of logins that are not ours.

    with guarded(tmp_path) as (gateway, corp):
        token = corp.login("alice", DESK, f"{gateway.data}/mcp")

Whoever is in the group `support` may use agents. The clients `DESK` and `DOCUMENT` are the agent `tracker`, `PORTAL` is
`refunds`, and `TICKETS` is none: a channel.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.conftest import DESK as PROJECT
from tests.conftest import LISTED_URL, Gateway, free_ports, order_desk, running, stand_in
from tests.foreign.provider import DESK, DOCUMENT, PORTAL, Provider, provider

CLAIMS = {"groups": "groups", "attributes": {"department": "department"}, "roles": {"user": ["support"]}}


@contextmanager
def guarded(folder: Path, **settings: Any) -> Iterator[tuple[Gateway, Provider]]:
    """Run the order desk, the foreign provider and the gateway; `settings` are the issuer's besides its address."""
    with provider(folder) as corp, order_desk(folder) as (tools, calls):
        issuer = {"issuer": corp.issuer, "claims": CLAIMS, **settings}
        with _gateway(folder, tools, calls, issuer) as gateway:
            yield gateway, corp


@contextmanager
def _gateway(folder: Path, tools: str, calls: Path, issuer: dict[str, Any]) -> Iterator[Gateway]:
    project = folder / "project"
    shutil.copytree(PROJECT / "project", project)
    data_port, admin_port = free_ports(2)
    _add(project / "remit.yaml", data={"port": data_port}, admin={"port": admin_port}, issuers={"corp": issuer})
    _add(project / "agents/tracker/agent.yaml", identity={"clients": _clients("tracking", DESK, DOCUMENT)})
    _add(project / "agents/refunds/agent.yaml", identity={"clients": _clients("refund_request", PORTAL)})
    catalogue = project / "catalogue/orders.yaml"
    catalogue.write_text(catalogue.read_text("utf-8").replace(LISTED_URL, tools), "utf-8")
    stand_in(project, folder, served=True)
    with running([sys.executable, "-m", "remit", "up", "-C", str(project)], folder / "gateway", "ready after"):
        yield Gateway(project, data_port, admin_port, calls, folder / "gateway.out", folder / "gateway.err")


def _clients(use_case: str, *ids: str) -> list[dict[str, str]]:
    return [{"issuer": "corp", "client_id": each, "use_case": use_case} for each in ids]


def _add(file: Path, **parts: Any) -> None:
    """Add parts to a settings file, or to what it has of them."""
    said = yaml.safe_load(file.read_text("utf-8"))
    added = {name: {**said.get(name, {}), **part} for name, part in parts.items()}
    file.write_text(yaml.safe_dump({**said, **added}), "utf-8")
