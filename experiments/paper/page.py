"""docs/paper.md and its pictures, from stored results alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from experiments.paper.claims import CLAIMS
from experiments.paper.claims.theory import SEED, proved
from experiments.paper.claims.verdict import FAILS, HOLDS, PARTLY, UNTESTED, judged
from experiments.paper.results import Results, finished
from hem.paper.experiment_file import ExperimentFile, names, read_named
from hem.paper.picture import draw
from hem.paper.records import Record
from hem.paper.table import table
from hem.paper.theory import figures, statements
from hem.system.atomic_io import write_text

DOCS = Path(__file__).parents[2] / "docs"
HEAD = """\
# The paper, reproduced and judged

*Hindsight Expectation Maximization for Goal-conditioned Reinforcement Learning* (Tang & Kucukelbir,
AISTATS 2021), whose code was never released: what it asserts, whether that holds here, and a
picture for each figure. This page is made by `make paper` from the results in
`experiments/results/paper/`; verdicts and numbers are computed from them.

    hem paper list                    # what there is
    hem paper fig-3a                  # trains, prints the table, draws the picture
    hem paper all --budget smoke      # whether everything runs, in two minutes

In a checkout, `--stored experiments/results/paper` takes the runs that this page shows as they are
and trains only the others.

- **Seeds** are 20 and up. The presets were chosen with seeds 0 to 2; [Results](results.md) shows
  seeds 10 to 12, and 0 to 2 where it says so.
- **Success** is that of the greedy policy on 200 episodes, the same at every evaluation of a run
  and never those of training: at any step (as in the paper), and at the last step.
- **Intervals** are 95% bootstrap intervals of the interquartile mean (IQM) over runs, stratified by
  task where several are together (Agarwal et al. 2021); below 3 runs, their range.
- **Steps to** a rate are those of the first of two evaluations in a row that reach it.
- **Seconds** are those of training, without evaluations. Runs of the budget *quick* had a core each
  of a machine with two, which was busy with other work too.
- **hEM** has the paper's strategy, `future`; *hEM, geometric* has that of the library's presets (in
  Figure 3a with a discount of 0.95, where the preset has 0.9).
- **Numbers of the paper.** The text of the paper that was used here has lost its formulas and
  numbers. Formulas were [restored](theory.md); numbers of bits and dimensions, thresholds,
  networks, step sizes, noise, eta, N and budgets were chosen here.
"""


def write(results: Results, docs: Path = DOCS) -> None:
    """Write the page and its pictures below ``docs``."""
    folder = docs / "img" / "paper"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names():
        file = read_named(name)
        list(figures.draw(folder, SEED, file.pictures))
        if name in results:
            draw(results[name], file.x, file.y, folder / f"{name}.png")
    write_text(docs / "paper.md", text(results))


def text(results: Results) -> str:
    """The page, in Markdown."""
    sections = [_figure(name, read_named(name), results.get(name)) for name in names()]
    return "\n".join([HEAD, _claims(results), *sections])


def _claims(results: Results) -> str:
    verdicts = [judged(claim, results) for claim in CLAIMS]
    counts = Counter(verdict.word for verdict in verdicts)
    lines = ["## What the paper asserts", ""]
    lines += [f"| of {len(CLAIMS)} claims | |", "|---|---|"]
    lines += [f"| {word} | {counts[word]} |" for word in (HOLDS, PARTLY, FAILS, UNTESTED)] + [""]
    lines += ["| the paper says, in our words | where | verdict | evidence |", "|---|---|---|---|"]
    for claim, verdict in zip(CLAIMS, verdicts, strict=True):
        why = f" *{claim.why}*" if claim.why and verdict.word in (PARTLY, FAILS) else ""
        evidence = verdict.evidence.replace("|", "\\|")
        lines.append(f"| {claim.says} | {claim.source} | **{verdict.word}** | {evidence}.{why} |")
    return "\n".join([*lines, ""])


def _figure(name: str, file: ExperimentFile, record: Record | None) -> str:
    lines = [f"## {file.source}. {file.title}", ""]
    for picture in file.pictures:
        lines += [f"![{picture}, computed](img/paper/{picture}.png)", ""]
    if file.statements:
        lines += [*_statements(file.statements), "", f"By `hem paper {name}`.", ""]
    if record is not None:
        lines += [f"![{file.title}](img/paper/{name}.png)", "", _about(name, record), ""]
        lines += [table(record, file.x, file.success), ""]
    elif file.cases:
        lines += [f"Not run yet: `hem paper {name}`.", ""]
    return "\n".join(lines)


def _statements(sources: list[str]) -> Iterator[str]:
    yield "| | | formula | enumerated | Monte Carlo | do they agree? |"
    yield "|---|---|---|---|---|---|"
    for found in statements.of(sources, proved()):
        cells = [found.source, found.says, *statements.numbers(found)]
        cells.append("yes" if found.holds else "no")
        yield f"| {' | '.join(cells)} |"


def _about(name: str, record: Record) -> str:
    """How the results came about."""
    seeds = sorted({run.seed for group in record.groups for run in group.runs})
    versions = sorted(
        {f"jax {found['jax']}, MuJoCo {found['mujoco']}" for found in record.versions}
    )
    runs = finished(record)
    some = "" if runs == record.planned else f" of {record.planned}"
    return (
        f"`hem paper {name} --budget {record.budget}`: {runs}{some} runs, seeds {seeds[0]} to "
        f"{seeds[-1]}, {'; '.join(versions)}."
    )
