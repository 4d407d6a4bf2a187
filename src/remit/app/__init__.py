"""The composition root: the only place that knows every room, adapter and surface.

async with serving(Path("my-project"), observe=False) as (address, stop):
    await stop.wait()
"""

from remit.app._gateway import App, start
from remit.app._serving import Address, serving
from remit.app._workshop import LocalWorkshop

__all__ = ["Address", "App", "LocalWorkshop", "serving", "start"]
