"""Plug-ins: what installed packages offer as entry points.

[project.entry-points."hem.algorithms"]
my-algo = "my_package.my_algo"          # a module with NAME, Config and make, or an object
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from hem.errors import UserError, one_line, require

GROUPS = {
    "environment": "hem.environments",
    "algorithm": "hem.algorithms",
    "strategy": "hem.strategies",
}


@functools.cache
def plug_ins(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    """The plug-ins of a kind by name, usually one each. None of their code is run."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUPS[kind]):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def packages(points: tuple[EntryPoint, ...], also_hem: bool = False) -> str:
    """The packages that offer a plug-in, with their versions."""
    dists = [f"{point.dist.name} {point.dist.version}" if point.dist else "?" for point in points]
    return " and ".join([*dists, "hem itself"] if also_hem else dists)


def load_plug_in(kind: str, name: str, also_hem: bool) -> Any:
    """The object that a plug-in offers.

    Args:
        kind: its kind.
        name: its name.
        also_hem: whether it has the name of one of hem's own.

    Raises:
        UserError: several have that name, its code failed, or has no such object.
    """
    points = plug_ins(kind)[name]
    named = f"the {kind} {name} of {packages(points, also_hem)}"
    require(len(points) == 1 and not also_hem, f"{named} is ambiguous: uninstall one of these")
    try:
        return points[0].load()
    except Exception as error:  # a plug-in may do anything
        what = one_line(f"{type(error).__name__}: {error}", 300)
        raise UserError(
            f"{named} cannot be loaded ({what}): repair or uninstall that package"
        ) from error
