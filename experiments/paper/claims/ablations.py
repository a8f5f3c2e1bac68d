"""Claims of sections 3.1, 4 and 4.5 and appendix C.3: noise, N, and workers."""

from __future__ import annotations

import numpy as np

from experiments.paper.claims.verdict import (
    Claim,
    Part,
    Verdict,
    is_above,
    mean,
    said,
    together,
)
from experiments.paper.results import Results, areas, deviations, group, last, places


def _by_n(results: Results, name: str, measure=areas) -> dict[int, np.ndarray]:
    """A measure of the runs of each N, in order."""
    places(results, name)  # or it is not stored
    lines = dict.fromkeys(found.line for found in results[name].groups)
    found = {int(line.removeprefix("N = ")): measure(group(results, name, line)) for line in lines}
    return dict(sorted(found.items()))


def _larger_is_better(results: Results, name: str, task: str) -> Part:
    """The largest N is clearly above the smallest, and none is clearly above the largest."""
    found = _by_n(results, name, last)
    values = ", ".join(f"{said(values)} for N = {n}" for n, values in found.items())
    smallest, *between, largest = found.values()
    best = is_above(largest, smallest) and not any(is_above(n, largest) for n in between)
    return Part(best, f"{task}: {values}")


def _n(results: Results) -> Verdict:
    return together(
        [
            _larger_is_better(results, "fig-10a", "flip bit"),
            _larger_is_better(results, "fig-10b", "Fetch Reach from images"),
        ]
    )


def _small_n(results: Results) -> Verdict:
    found = _by_n(results, "fig-10a")
    small, *larger = found.values()
    best = max(larger, key=mean)
    evidence = (
        f"mean success over env steps {said(small)} for N = {min(found)}, else up to {said(best)}"
    )
    return together([Part(is_above(best, small), evidence)])


def _noise(results: Results) -> Verdict:
    parts = []
    for panel, _ in places(results, "exploration"):
        noisy, plain = (
            last(group(results, "exploration", f"{word} noise", panel))
            for word in ("with", "without")
        )
        evidence = f"{panel}: {said(noisy)} with noise, {said(plain)} without"
        parts.append(Part(is_above(noisy, plain), evidence))
    return together(parts)


def _spread(results: Results) -> Verdict:
    parts = []
    for panel, _ in places(results, "workers"):
        halves = [
            np.split(deviations(group(results, "workers", line, panel)), 2)
            for line in ("1 worker", "8 workers")
        ]
        for half, one, eight in zip(("first", "second"), *halves, strict=True):
            evidence = (
                f"{panel}, {half} half of the steps: standard deviation over seeds "
                f"{one.mean():.3f} with 1 worker, {eight.mean():.3f} with 8"
            )
            parts.append(Part(bool(eight.mean() < one.mean()), evidence))
    return together(parts)


CLAIMS = (
    Claim("noise", "Exploration is critical: without noise hEM may end up worse.",
          "section 3.1", _noise,
          "Without noise, hEM still acts by samples of its policy."),
    Claim("larger-n", "More trajectories N per iteration lead to better performance at the same "
          "number of steps.", "Figures 10a and 10b, section 4.5", _n,
          "With more trajectories per iteration, the same steps give fewer updates: beyond some N "
          "that costs more than the coverage of goals gains."),
    Claim("small-n", "With a small N, flip bit is learned slowly.", "Figure 10a", _small_n),
    Claim("workers", "Parallel workers make the spread between seeds small, the authors suspect.",
          "section 4, evaluations", _spread,
          "With eight workers success rises more steeply, so that being a little ahead is more "
          "spread; later, seeds agree more. But 200 episodes have a standard error of 0.02 to 0.03 "
          "by themselves at such rates, so none of this is certain."),
)  # fmt: skip
