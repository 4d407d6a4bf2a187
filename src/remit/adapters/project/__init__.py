"""The user's project on disk: read, checked, compiled, and written for the first time.

Promises: nothing runs from a project with a mistake in it, and every mistake is said at once, with its file, line and
fix; the same files always compile to the same bundle, under one digest.

    settings = read_settings(root)
    checked = check_project(read_sources(root, root / settings.catalogue.trust))    # or ProjectInvalidError, with all
    checked.snapshot.digest                             # "sha256:..."
    [str(warning) for warning in checked.warnings]
    write_project(root, new_project("desk"))            # the first files of a new project
"""

from remit.adapters.project._compile import Checked, check_project, compile_snapshot, digest_of_sources
from remit.adapters.project._decisions import Decisions, decisions_changed, decisions_of, decisions_unknown, row_json
from remit.adapters.project._import import ClientServer, Imported, from_mcp_json, servers_of
from remit.adapters.project._models import Kind, schema_for
from remit.adapters.project._review import lock_text, served_text
from remit.adapters.project._scaffold import new_project
from remit.adapters.project._settings import (
    SETTINGS_FILE,
    AuthzenSettings,
    CatalogueSettings,
    DevelopmentSettings,
    HoldsSettings,
    InputSettings,
    Listen,
    NotifySettings,
    RecordsSettings,
    Settings,
    StoreSettings,
    TaskSettings,
    Tls,
    TokenSettings,
    UpstreamSettings,
    read_settings,
)
from remit.adapters.project._signed_lists import SignedList, signed_lists
from remit.adapters.project._sources import FILES_MAX, read_sources
from remit.adapters.project._unmatched import bundles_missing, unmatched
from remit.adapters.project._write import write_project
from remit.adapters.project._yaml import FILE_BYTES_MAX

__all__ = [
    "FILES_MAX",
    "FILE_BYTES_MAX",
    "SETTINGS_FILE",
    "AuthzenSettings",
    "CatalogueSettings",
    "Checked",
    "ClientServer",
    "Decisions",
    "DevelopmentSettings",
    "HoldsSettings",
    "Imported",
    "InputSettings",
    "Kind",
    "Listen",
    "NotifySettings",
    "RecordsSettings",
    "Settings",
    "SignedList",
    "StoreSettings",
    "TaskSettings",
    "Tls",
    "TokenSettings",
    "UpstreamSettings",
    "bundles_missing",
    "check_project",
    "compile_snapshot",
    "decisions_changed",
    "decisions_of",
    "decisions_unknown",
    "digest_of_sources",
    "from_mcp_json",
    "lock_text",
    "new_project",
    "read_settings",
    "read_sources",
    "row_json",
    "schema_for",
    "served_text",
    "servers_of",
    "signed_lists",
    "unmatched",
    "write_project",
]
