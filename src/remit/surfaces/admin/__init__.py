"""The admin API, for people and for the command line, which is its client.

app = admin_app(control, Door(["127.0.0.1:8701"]))
"""

from remit.surfaces.admin._api import admin_app
from remit.surfaces.admin._control import Control

__all__ = ["Control", "admin_app"]
