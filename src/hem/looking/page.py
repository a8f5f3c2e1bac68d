"""The report as a page: ``page.html`` and ``page.css``, filled with what was found."""

from __future__ import annotations

import base64
import datetime
import hashlib
import importlib.resources
from collections.abc import Iterable, Sequence
from string import Template
from xml.etree.ElementTree import Element

from hem.looking import policies, reproduce, summary_table
from hem.looking.charts import Series, color_class, curves, dash_class
from hem.looking.findings import Findings
from hem.looking.markup import Content, element, html, table
from hem.runs.provenance import version
from hem.viz.plot import axis_label, band

AGAINST = ("env_steps", "wall_s")
KINDS = {"success": "success at any step", "final_success": "success at the last step"}


def page(groups: Sequence[Findings], success: float, episodes: int, seed: int) -> str:
    """The whole page.

    Args:
        groups: what was found about each group of runs.
        success: the rate that "steps to" asks for.
        episodes: fresh episodes for each policy; 0: none was run.
        seed: of the episodes.
    """
    style, today = _file("page.css"), datetime.date.today()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    runs = sum(len(group.curves) for group in groups)
    heading = _names(curve.env for group in groups for curve in group.curves)
    algos = _names(curve.algo for group in groups for curve in group.curves)
    slots: dict[str, Sequence[Content]] = {
        "title": [f"{heading}, {algos}: report"],
        "heading": [heading],
        "runs": [f"{runs} run{'s' if runs > 1 else ''}"],
        "lead": [_lead(groups, algos)],
        "summary": [summary_table.summary(groups, success)],
        "measured": [summary_table.measured(groups, episodes, seed, success)],
        "legend": [legend(groups)] if len(groups) > 1 else [],
        "curves": panels(groups),
        "band": [_band_note(groups)],
        "settings_heading": ["Settings that differ" if len(groups) > 1 else "Settings"],
        "settings": [settings(groups)],
        "reproduce": [reproduce.details(group, len(groups) > 1) for group in groups],
        "version": [version("hindsight-em")],
        "date": [f"{today:%B} {today.day}, {today.year}"],
    }
    own = {
        "style": style,
        "security": f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
        "policies": "".join(_policy(group, len(groups) > 1) for group in groups),
    }
    filled = {name: html(*contents) for name, contents in slots.items()}
    return Template(_file("page.html")).substitute(filled, **own)


def panels(groups: Sequence[Findings]) -> list[Element]:
    """Each kind of success against steps and against seconds."""
    found, drawn = [], [curve for group in groups for curve in group.curves]
    for kind, name in KINDS.items():
        for axis, against in enumerate(AGAINST):
            series = [
                Series(group.name, group.number, band(*zip(*known, strict=True)))
                for group in groups
                if (known := _known(group, axis, kind))
            ]
            if series:
                found.append(element("figure", curves(series, axis_label(against, drawn), name)))
    return found


def legend(groups: Sequence[Findings]) -> Element:
    """The groups with their colors."""
    return element(
        "ul", *(element("li", swatch(g.number), g.name) for g in groups), class_="legend"
    )


def swatch(number: int) -> Element:
    """A short line in the color and dashes of a group."""
    line = element("path", d="M0 5H22", class_=f"line {color_class(number)} {dash_class(number)}")
    drawing = element("svg", line, class_="swatch", aria_hidden="true")
    drawing.set("viewBox", "0 0 22 10")
    return drawing


def settings(groups: Sequence[Findings]) -> Element:
    """A table of the settings that differ between the groups; of one group, all its settings."""
    if len(groups) == 1:
        known = next(filter(None, groups[0].manifests), None)
        return reproduce.all_settings(known) if known else element("p", reproduce.UNKNOWN)
    found = [{"algorithm": g.curves[0].algo, "environment": g.curves[0].env} for g in groups]
    found = [first | g.curves[0].settings for first, g in zip(found, groups, strict=True)]
    names = list(dict.fromkeys(name for one in found for name in one))
    rows = [
        [name.rpartition(".")[2].replace("_", "-"), *(one.get(name, "") for one in found)]
        for name in names
        if len({one.get(name) for one in found}) > 1
    ]
    rows.append(["seeds", *(group.seeds for group in groups)])
    heads = [element("span", swatch(group.number), group.name) for group in groups]
    return table("Settings that differ", ["setting", *heads], rows)


def _policy(group: Findings, is_named: bool) -> str:
    name = [element("h3", swatch(group.number), group.name)] if is_named else []
    slots = {"name": name} | policies.slots(group)
    filled = {slot: html(*contents) for slot, contents in slots.items()}
    return Template(_file("policy.html")).substitute(filled)


def _known(group: Findings, axis: int, kind: str) -> list[tuple]:
    """x and y of each run of a group where y was measured."""
    lines = [(curve.x[axis], getattr(curve, kind)) for curve in group.curves]
    return [(x[y == y], y[y == y]) for x, y in lines if (y == y).any()]  # NaN is not itself


def _lead(groups: Sequence[Findings], algos: str) -> str:
    runs = sum(len(group.curves) for group in groups)
    if len(groups) > 1:
        return f"Trained with {algos}: {runs} runs with {len(groups)} settings."
    seeds = f"seed{'s' if runs > 1 else ''} {groups[0].seeds}" if groups[0].seeds else ""
    strategy = groups[0].curves[0].settings.get("strategy")
    how = [algos, f"strategy {strategy}" if strategy else "", seeds]
    return f"Trained with {', '.join(filter(None, how))}."


def _band_note(groups: Sequence[Findings]) -> str:
    most = max(len(group.curves) for group in groups)
    kinds = {1: "", 2: "The band is the range of two runs."}
    said = "The band is a 95% bootstrap interval of the mean over runs."
    return kinds.get(most, said)


def _names(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _file(name: str) -> str:
    return importlib.resources.files("hem.looking").joinpath(name).read_text("utf-8")
