"""Draw the stored learning curves, for the documentation: ``make figures``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from experiments.curves import RESULTS
from hem.viz import plot

OUT = Path(__file__).parents[1] / "docs" / "img" / "curves"


def main() -> None:
    """Draw every file of results, by success against environment steps."""
    OUT.mkdir(exist_ok=True)
    for file in sorted(RESULTS.glob("*.json")):
        with tempfile.TemporaryDirectory() as folder:
            # As run folders, which is what curves are drawn from.
            for number, run in enumerate(json.loads(file.read_text())):
                run_dir = Path(folder, f"{number:03}")
                run_dir.mkdir()
                (run_dir / "config.json").write_text(json.dumps(run["config"]))
                lines = [json.dumps(row) for row in run["rows"]]
                (run_dir / "metrics.jsonl").write_text("\n".join(lines) + "\n")
            plot.curves([folder], OUT / f"{file.stem}.png", against=["env_steps"])


if __name__ == "__main__":
    main()
