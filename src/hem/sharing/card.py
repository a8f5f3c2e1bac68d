"""A model card: what a policy is for, how well it works, how it was trained and how to use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hem import api, registry
from hem.errors import UserError, one_line, require
from hem.models.policy import acting
from hem.runs import film
from hem.runs.experiment import short_name
from hem.runs.run import Run
from hem.sharing.markdown import block, code, table
from hem.sharing.recipe import Recipe, recipe, without_folder
from hem.system.atomic_io import named_errors, write_text
from hem.system.conversion import checked
from hem.training.metrics import progress_of
from hem.viz import plot

RATES = {  # of an evaluation: its interval, and the name on the card
    "success_rate": ("ci95", "success at any step"),
    "final_success_rate": ("final_ci95", "success at the last step"),
}
CURVE = "curve.png"


class Facts(NamedTuple):
    """All that a card is made of."""

    title: str
    run: Run
    report: dict[str, Any]  # of the evaluation
    seed: int  # of the evaluation
    recipe: Recipe
    film: str | None  # file names beside the card
    curve: str | None
    repo: str | None  # on the Hub


@checked
def card(
    run: Any,
    out: str | Path | None = None,
    episodes: int = 200,
    seed: int = 0,
    trust: bool = False,
    repo: str | None = None,
    done: Any = lambda share: None,
) -> Path:
    """Write a model card in the layout of the Hugging Face Hub, with a film and a curve beside it.

    Args:
        run: a run or its folder.
        out: the card; by default ``README.md`` in the run's folder. A film, ``replay.mp4`` or
            ``replay.gif``, and ``curve.png`` are written into its folder.
        episodes: number of episodes of the evaluation.
        seed: their seed.
        trust: allow environment code that the run's configuration names.
        repo: the repository on the Hub that the card will be in, ``OWNER/NAME``.
        done: called with the share of the work done, 0 to 1.

    Returns:
        The card's path.

    Raises:
        UserError: there is no policy yet, or something cannot be read or written. A film or curve
            that cannot be drawn is left out.
    """
    run = run if isinstance(run, Run) else Run(Path(run), trust)
    file = run.folder / "README.md" if out is None else Path(out)
    require(file.suffix == ".md", f"cannot write {file}: its name must end in .md")
    require(file.parent.is_dir(), f"cannot write {file}: there is no folder {file.parent}")
    run = run.with_policy(run.policy)  # one policy in all parts of the card
    report = api.evaluate_run(run, episodes, seed)
    done(0.3)
    facts = Facts(
        title=(repo or run.folder.resolve().name).rpartition("/")[2],
        run=run,
        report=report,
        seed=seed,
        recipe=recipe(run.experiment),
        film=_drawn(lambda: film.record(run, file.parent, lambda share: done(0.3 + 0.6 * share))),
        curve=_drawn(lambda: _curve(run.folder, file.parent / CURVE)),
        repo=repo,
    )
    with named_errors(file):
        write_text(file, text(facts))
    done(1.0)
    return file


def text(facts: Facts) -> str:
    """The card."""
    env, algo = (without_folder(facts.run.config[part]) for part in ("env", "algo"))
    sections = [
        f"---\n{yaml.safe_dump(metadata(facts), sort_keys=False, allow_unicode=True)}---",
        f"# A policy for {code(env)}",
        f"A goal-conditioned policy that the algorithm {code(algo)} learned from sparse, binary "
        "rewards.",
        *_film(facts),
        "## How well it works",
        *_results(facts),
        "## How to use it",
        *_usage(facts),
        "## The environment",
        *_environment(facts),
        "## How it was trained",
        *_training(facts),
    ]
    return "\n\n".join(sections) + "\n"


def metadata(facts: Facts) -> dict[str, Any]:
    """The front matter, from which the Hub makes tags and tables."""
    env = one_line(without_folder(facts.run.config["env"]))
    metrics = [
        {
            "type": rate,
            "name": name,
            "value": round(facts.report[rate], 4),
            "args": {
                "interval_95": [round(bound, 4) for bound in facts.report[interval]],
                "episodes": facts.report["episodes"],
                "seed": facts.seed,
            },
        }
        for rate, (interval, name) in RATES.items()
    ]
    task = {"type": "reinforcement-learning", "name": "reinforcement-learning"}
    result = {"task": task, "dataset": {"type": short_name(env), "name": env}, "metrics": metrics}
    return {
        "library_name": "hem",
        "pipeline_tag": "reinforcement-learning",
        "tags": ["reinforcement-learning", "goal-conditioned", "hindsight", "jax", short_name(env)],
        "model-index": [{"name": one_line(facts.title), "results": [result]}],
    }


def _film(facts: Facts) -> list[str]:
    if facts.film is None:
        return []
    if facts.film.endswith(".gif"):
        return [f"![The policy in three episodes]({facts.film})"]
    return [f'<video src="{facts.film}" controls autoplay loop muted></video>']


def _results(facts: Facts) -> list[str]:
    rows = []
    for rate, (interval, name) in RATES.items():
        low, high = facts.report[interval]
        rows.append([name, f"{facts.report[rate]:.3f}", f"{low:.3f} to {high:.3f}"])
    return [
        table(["", "mean", "95% interval"], rows),
        f"In {facts.report['episodes']} episodes that never occurred in training (seed "
        f"{facts.seed}), the policy acted by {acting(facts.run.policy.policy.spec.temperature)}. "
        "Each runs to its horizon. Success at any step: the goal was reached at some step. Success "
        "at the last step: it was reached then. The intervals are Wilson's. Steps to success: "
        f"{facts.report['ep_len_mean']:.1f} on average, where a failure counts with all its steps.",
    ]


def _usage(facts: Facts) -> list[str]:
    load = ["import hem", 'policy = hem.load_policy(".")  # the folder of this file']
    if facts.repo is not None:
        load = [
            "import hem, huggingface_hub",
            f"policy = hem.load_policy(huggingface_hub.snapshot_download({facts.repo!r}))",
        ]
    act = "action, _ = policy.predict(obs)"
    return [
        block([*load, act], "python"),
        "`obs` is the dict with `observation`, `achieved_goal` and `desired_goal` that the "
        "environment's `reset` and `step` return, of one environment or a vector of them; `action` "
        "is what `step` takes.",
    ]


def _environment(facts: Facts) -> list[str]:
    env = facts.run.config["env"]
    own = registry.own("environment").get(env)  # of others, the words are not hem's
    observation, goal, action = (form.space for form in facts.run.policy.forms)
    rows = [
        ["name", code(without_folder(env))],
        *([["task", own.summary]] if own else []),
        ["observation", code(observation)],
        ["goal", code(goal)],
        ["action", code(action)],
        ["version", code(facts.run.config["version_hash"])],
    ]
    return [table(["", ""], rows)]


def _training(facts: Facts) -> list[str]:
    command, changed = facts.recipe
    how = "`config.json` has all its settings."
    if command is not None and one_line(command) == command:  # a part of one must not be pasted
        how = block([command], "bash")
    settings = "All settings are the defaults."
    if changed:
        rows = [
            [code(name), code(value), code(default)] for name, (value, default) in changed.items()
        ]
        settings = table(["setting", "value", "default"], rows)
    rows = api.read_metrics(facts.run.folder)
    unit = facts.run.experiment.run.unit
    steps = [f"It took {progress_of(rows[-1]):,} {unit}."] if rows else []
    curve = [f"![Success in evaluation against environment steps and time]({facts.curve})"]
    versions = [
        f"{code(name)} {code(number)}" for name, number in facts.run.config["versions"].items()
    ]
    return [
        how, *steps, settings, *(curve if facts.curve else []), f"Versions: {', '.join(versions)}."
    ]  # fmt: skip


def _drawn(draw: Callable[[], Path]) -> str | None:
    """The name of a file that was drawn; None if it cannot be."""
    try:
        return draw().name
    except UserError:
        return None


def _curve(folder: Path, out: Path) -> Path:
    plot.curves([folder], out)
    return out
