"""Claims of section 4.4 and appendix C.5: the hybrid of hEM and HER on tasks with an object."""

from __future__ import annotations

from experiments.paper.claims.examples import HER
from experiments.paper.claims.verdict import (
    GOOD,
    MARGIN,
    Claim,
    Part,
    Verdict,
    mean,
    said,
    together,
)
from experiments.paper.results import Results, areas, at_step, group, last, places, steps_shown

HYBRID, FILTERED = "hybrid, eta 0.1", "hybrid, eta 0.1, filter"
PUSH, PICK, SLIDE = "FetchPush-v4", "FetchPickAndPlace-v4", "FetchSlide-v4"
SOME = 0.5  # success with which a weight works at all


def _marginal(results: Results) -> Verdict:
    parts = []
    for panel in (PUSH, PICK):
        her, hybrid, filtered = (
            areas(group(results, "fig-6", line, panel)) for line in (HER, HYBRID, FILTERED)
        )
        evidence = (
            f"{panel}: mean success over env steps {said(her)} of HER, {said(hybrid)} of the "
            f"hybrid, {said(filtered)} with the filter"
        )
        parts.append(Part(mean(hybrid) - mean(her) > 0.01, evidence))
    return together(parts)


def _stuck(results: Results) -> Verdict:
    """Both end below what solves the task, and no longer rise."""
    parts = []
    for line in (HER, HYBRID):
        found = group(results, "fig-6", line, SLIDE)
        half, end = at_step(found, steps_shown(found) / 2), last(found)
        evidence = f"{line}: {said(half)} after half of the steps, {said(end)} at the end"
        parts.append(Part(mean(end) < GOOD and mean(end) - mean(half) < MARGIN, evidence))
    return together(parts)


def _uniformly_well(results: Results) -> Verdict:
    parts = []
    for panel, _ in places(results, "fig-6"):
        her, hybrid = (last(group(results, "fig-6", line, panel)) for line in (HER, HYBRID))
        evidence = f"{panel}: HER ends at {said(her)}, the hybrid at {said(hybrid)}"
        well = mean(hybrid) >= max(mean(her) - MARGIN, SOME)  # single runs have no intervals
        parts.append(Part(well, evidence))
    return together(parts)


CLAIMS = (
    Claim("hybrid", "The hybrid learns marginally faster than HER on Push and Pick and Place.",
          "Figures 6 and 12", _marginal,
          "The filter, which imitates only what the critic values, is not in the paper; the weight "
          "eta that the paper took is not known here; 0.1 is used."),
    Claim("stuck", "On Slide, both get stuck at a local optimum.", "Figure 12", _stuck,
          "The object is hit through its goal and is hardly there at the last step; at any step is "
          "what counts here."),
    Claim("eta", "One weight eta works uniformly well.", "section 4.4", _uniformly_well),
)  # fmt: skip
