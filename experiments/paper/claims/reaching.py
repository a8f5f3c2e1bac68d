"""Claims of sections 1, 4.2 and 4.3 on the four reaching tasks, from state and from images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.paper.claims.examples import HEM, HER
from experiments.paper.claims.verdict import (
    GOOD,
    NOTHING,
    Claim,
    Part,
    Verdict,
    is_above,
    is_alike,
    mean,
    said,
    together,
)
from experiments.paper.results import (
    NotTestedError,
    Results,
    areas,
    at_step,
    falls,
    group,
    last,
    places,
    steps_shown,
)
from hem.paper.records import Group
from hem.paper.statistics import estimate
from hem.paper.table import spread

BINARY, CLIPPED = "HER (0/1)", "HER (0/1), clipped at 0"
STATE, IMAGE = "fig-4", "fig-5"
LOSS = 0.2  # of success: a run that falls by more does not learn stably
HOW_HER_SEES = (
    "The paper does not say how its HER sees images. Here actor and critic have convolutions of "
    "their own."
)
Measure = Callable[[Group], np.ndarray]
# Where the abstract's comparison is made: hEM against another line.
RIVALS = (("fig-3a", HER), ("fig-3a", "HPG"), ("fig-3c", HER), (STATE, HER), (STATE, BINARY),
          (IMAGE, HER), ("fig-11c", "HPG"))  # fmt: skip


def _against(
    results: Results, name: str, line: str, measure: Measure, holds: Callable[..., bool]
) -> Verdict:
    """hEM against another line in every panel, by a comparison of measures."""
    parts = []
    for panel, _ in places(results, name):
        hem, other = (measure(group(results, name, each, panel)) for each in (HEM, line))
        parts.append(Part(holds(hem, other), f"{panel}: hEM {said(hem)}, {line} {said(other)}"))
    return together(parts)


def _clearly_better(results: Results) -> Verdict:
    ranges = _against(results, STATE, BINARY, last, is_above)
    clipped = _against(results, STATE, CLIPPED, last, is_above)
    word = ranges.word if ranges.word == clipped.word else "holds partly"
    return Verdict(word, f"{ranges.evidence}; {clipped.evidence}")


def _soon(results: Results) -> Verdict:
    """hEM is good after half of the steps that are shown, and at the end."""
    parts = []
    for panel, _ in places(results, STATE):
        hem = group(results, STATE, HEM, panel)
        half, end = at_step(hem, steps_shown(hem) / 2), last(hem)
        evidence = f"{panel}: {said(half)} after half of the steps, {said(end)} at the end"
        parts.append(Part(min(mean(half), mean(end)) >= GOOD, evidence))
    return together(parts)


def _stably(results: Results) -> Verdict:
    """hEM ends good, and no run loses much of what it had."""
    parts = []
    for panel, _ in places(results, IMAGE):
        hem = group(results, IMAGE, HEM, panel)
        end, fall = last(hem), falls(hem).max()
        evidence = f"{panel}: ends at {said(end)}, a run falls by {fall:.2f} at most"
        parts.append(Part(mean(end) >= GOOD and fall <= LOSS, evidence))
    return together(parts)


def _no_gain(results: Results) -> Verdict:
    return _against(results, STATE, HER, areas, lambda hem, her: not is_above(hem, her))


def _sensitive(results: Results) -> Verdict:
    parts = []
    for panel, _ in places(results, STATE):
        shifted, binary = (last(group(results, STATE, line, panel)) for line in (HER, BINARY))
        evidence = f"{panel}: -1/0 {said(shifted)}, 0/1 {said(binary)}"
        parts.append(Part(is_above(shifted, binary), evidence))
    return together(parts)


def _slow(results: Results) -> Verdict:
    at = [panel for panel, _ in places(results, IMAGE)]
    found = {panel: areas(group(results, IMAGE, HER, panel)) for panel in at}
    slow = [panel for panel, values in found.items() if mean(values) < 0.5]
    each = ", ".join(f"{panel} {said(values)}" for panel, values in found.items())
    evidence = f"mean success over env steps below 0.5 in {len(slow)} of {len(found)}: {each}"
    return together([Part(2 * len(slow) > len(found), evidence)])


def _both_inputs(results: Results) -> Verdict:
    parts = []
    for panel, x in places(results, "fig-1"):
        found = last(group(results, "fig-1", HEM, panel, x))
        parts.append(Part(mean(found) >= GOOD, f"{x} {panel}: {said(found)}"))
    return together(parts)


def _struggles(results: Results) -> Verdict:
    """HER from images is below HER from state, after as many steps."""
    parts = []
    for panel, _ in places(results, IMAGE):
        both = [group(results, name, HER, panel) for name in (STATE, IMAGE)]
        steps = steps_shown(*both)
        state, image = (at_step(each, steps) for each in both)
        evidence = (
            f"{panel}, after {steps:,} steps: HER {said(state)} from state, "
            f"{said(image)} from images"
        )
        parts.append(Part(is_above(state, image), evidence))
    return together(parts)


def _outperforms(results: Results) -> Verdict:
    """Over all tasks together, by how soon they succeed; the bootstrap is stratified by task."""
    parts, missing = [], []
    for name, line in RIVALS:
        try:
            at = places(results, name)
            runs = {
                each: [areas(group(results, name, each, *place)) for place in at]
                for each in (HEM, line)
            }
        except NotTestedError:
            missing.append(name)
            continue
        fewest = min(len(found) for each in runs.values() for found in each)
        # As many runs of each task, or those with more would count for more.
        hem, other = (estimate([found[:fewest] for found in each]) for each in runs.values())
        evidence = f"{name}: hEM {spread(hem)}, {line} {spread(other)}"
        parts.append(Part(bool(hem.low > other.high), evidence))
    left = ", ".join(dict.fromkeys(missing))
    if not parts:
        raise NotTestedError(left)
    verdict = together(parts)
    if not left:
        return verdict
    return verdict._replace(evidence=f"{verdict.evidence}; not complete: {left}")


def _image_goals(results: Results) -> Verdict:
    position, image = (
        last(group(results, "fig-10c", f"{kind} as goals, 48x48"))
        for kind in ("positions", "images")
    )
    evidence = f"positions as goals {said(position)}, images {said(image)}"
    return together([Part(not is_above(position, image), evidence)])


def _any_size(results: Results) -> Verdict:
    sizes = {s: last(group(results, "fig-10c", f"images as goals, {s}x{s}")) for s in (48, 84)}
    evidence = ", ".join(f"{size}x{size} {said(values)}" for size, values in sizes.items())
    return together([Part(is_alike(*sizes.values()), evidence)])


def _her_on_sawyer(results: Results) -> Verdict:
    found = last(group(results, IMAGE, HER, "SawyerReach"))
    return together([Part(mean(found) <= 2 * NOTHING, f"HER ends at {said(found)}")])


CLAIMS = (
    Claim("outperforms", "hEM significantly outperforms model-free baselines on a wide range of "
          "tasks.", "abstract", _outperforms,
          "By how soon they succeed, as the mean of success over environment steps, over all tasks "
          "of a figure. HER makes more updates per environment step."),
    Claim("both-inputs", "hEM performs consistently well from state and from images.", "Figure 1",
          _both_inputs,
          "With the paper's network, Reacher from images is limited by what a policy reads from "
          "them; features that are positions are what it needs "
          "([Findings](findings.md))."),
    Claim("her-struggles", "HER degrades sharply with the dimension of its inputs.", "Figure 1",
          _struggles),
    Claim("binary", "From state, hEM performs significantly better than HER with rewards 0/1.",
          "Figure 4", _clearly_better,
          "Both ways to clip HER's targets are shown: with that of openai/baselines, 0/1 rewards "
          "leave next to nothing to learn from, so part of the gap is that clipping."),
    Claim("optimal", "From state, hEM soon comes close to optimal.", "Figure 4",
          _soon),
    Claim("no-gain", "Compared with HER (-1/0), hEM achieves no noticeable gain.", "Figure 4",
          _no_gain),
    Claim("shaping", "HER is sensitive to the shape of the reward.", "section 4.2", _sensitive),
    Claim("images", "From images, HER (-1/0) significantly underperforms hEM.", "Figure 5",
          lambda r: _against(r, IMAGE, HER, areas, is_above),
          f"{HOW_HER_SEES} Its runs took 5 to 12 times the seconds of hEM's, in which other jobs "
          "were running too."),
    Claim("slow", "From images, HER (-1/0) makes slow progress in most tasks.", "Figure 5", _slow,
          HOW_HER_SEES),
    Claim("stable", "From images, hEM learns stably on all tasks.", "Figure 5", _stably,
          "With the paper's network, Reacher from images is limited by what a policy reads from "
          "them. Frames, updates, batches, auxiliary losses and resolution were tried; features "
          "that are positions are what it needs ([Findings](findings.md))."),
    Claim("image-goals", "With images as goals, hEM does not degrade.", "Figure 10c, section 4.3",
          _image_goals,
          "It still learns at the end of these steps. The goals of an E-step matter: with those of "
          "the library's preset, `geometric`, it is at 0.95 after as many steps, and at 1.00 with "
          "positions ([Results](results.md#simulated-tasks-and-third-party-environments))."),
    Claim("any-size", "Nor does the size of the images matter.", "Figure 10c", _any_size),
    Claim("her-sawyer", "HER makes no significant progress on Sawyer even when only states are "
          "images.", "appendix C.3", _her_on_sawyer, HOW_HER_SEES),
)  # fmt: skip
