"""What a group's policies do: a film, and in which part of goal space they fail."""

from __future__ import annotations

from itertools import combinations
from xml.etree.ElementTree import Element

from hem.looking import goals
from hem.looking.charts import distance_bars, goal_map, mark, marked
from hem.looking.film import Film, data_uri
from hem.looking.findings import Findings
from hem.looking.goals import Judged
from hem.looking.markup import Content, element

MARKS = {"hit": "reached", "part": "sometimes reached", "miss": "missed"}


def slots(group: Findings) -> dict[str, list[Content]]:
    """The contents of the slots of ``policy.html``, but for the name."""
    film, caption = _film(group)
    found: dict[str, list[Content]] = {"film": [film], "film_caption": caption, "width": []}
    if not group.judged:
        return found | {"outcome": [], "marks": [], "maps": []}
    judged = goals.pooled(group.judged)
    pairs = list(combinations(sorted(goals.map_coordinates(judged.goal)), 2))
    return found | {
        "outcome": [_outcome(judged, pairs)],
        "width": ["wide"] if len(pairs) > 1 else [],
        "marks": _marks(judged, *pairs[0]) if pairs else [],
        "maps": [*(_map(judged, x, y) for x, y in pairs), _distances(judged)],
    }


def _outcome(judged: Judged, pairs: list[tuple[int, int]]) -> str:
    reached = f"{judged.success.sum():,} of {len(judged.goal):,} episodes reached their goal."
    if pairs:
        return reached
    if goals.is_binary(judged):
        return f"{reached} Goals of bits have no map."
    return f"{reached} These goals have no two coordinates to draw a map of."


def _marks(judged: Judged, x: int, y: int) -> list[Content]:
    """A legend for the maps."""
    kinds = [*marked(goals.rate_by_goal(judged, x, y)[1])]
    names = [content for kind in kinds for content in (mark(kind), MARKS[kind])]
    shades = "." if kinds == ["hit"] else ". The redder a cell, the more episodes fail there."
    return [*names, shades]


def _film(group: Findings) -> tuple[Content, list[Content]]:
    film = group.film
    if isinstance(film, str):
        return "", [film]
    width, height = film.size
    calm = element(
        "source",
        media="(prefers-reduced-motion: reduce)",
        srcset=data_uri("image/png", film.still),
    )
    said = "Six episodes of the policy side by side, each until its goal is reached or time is up."
    moving = element(
        "img", src=data_uri("image/gif", film.gif), alt=said, width=width, height=height
    )
    return element("picture", calm, moving), _film_caption(group, film)


def _film_caption(group: Findings, film: Film) -> list[Content]:
    steps = "" if film.stride == 1 else f" One frame for {film.stride} steps."
    return [
        element("b", "Six episodes"),
        f" of {group.curves[0].folder}. Green frame and tick: the goal was reached. Red frame and "
        f"cross: it was not.{steps}",
    ]


def _map(judged: Judged, x: int, y: int) -> Element:
    said = _where(judged, x, y)
    name = f"Success by goal[{x}] and goal[{y}]"
    return element(
        "figure",
        goal_map(judged, x, y, f"{name}, a map. {said}"),
        element("figcaption", element("b", f"{name}."), f" {said}"),
    )


def _where(judged: Judged, x: int, y: int) -> str:
    """Where success is lowest, in a sentence."""
    cells = goals.cells(judged, x, y)
    if judged.success.all() or not judged.success.any() or not cells:
        return ""
    worst = min(cells, key=lambda cell: cell.success)
    sides = (
        f"goal[{i}] is {low:.3g} to {high:.3g}" for i, (low, high) in ((x, worst.x), (y, worst.y))
    )
    where = " and ".join(sides)
    return f"Lowest where {where}: {worst.success:.2f} of {worst.episodes} episodes."


def _distances(judged: Judged) -> Element:
    name = "bits to change" if goals.is_binary(judged) else "distance to the goal"
    caption = element("b", f"Success by {name}")
    return element(
        "figure",
        distance_bars(judged),
        element("figcaption", caption, " at the start of the episode, with 95% intervals."),
    )
