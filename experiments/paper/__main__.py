"""Store what `hem paper` has run, and make docs/paper.md of what is stored.

python -m experiments.paper store --out runs/paper
python -m experiments.paper page                    # the same as `make paper`
"""

from __future__ import annotations

from pathlib import Path

import tyro

from experiments.paper import page as pages
from experiments.paper import results


def store(out: Path = Path("runs", "paper"), budget: str = "quick", name: str = "") -> None:
    """Store the finished runs of all experiments, or of one.

    Args:
        out: The folder that was given to `hem paper`.
        budget: The budget that was.
        name: Only this experiment.
    """
    for line in results.store(out, budget, name):
        print(line)


def page() -> None:
    """Make docs/paper.md and its pictures, of what is stored."""
    pages.write(results.stored())


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"store": store, "page": page})
