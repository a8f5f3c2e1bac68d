"""The page on trackers and sharing runs, block by block, with a Hub on this machine."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import TOKEN, hub

PAGE = (Path(__file__).parents[2] / "docs" / "sharing.md").read_text()


@pytest.mark.slow
def test_the_page_on_sharing_runs(tmp_path):
    bash, python = (
        "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL))
        for language in ("bash", "python")
    )
    commands = [shlex.split(line) for line in bash.splitlines() if line]
    assert {program for program, *_ in commands} == {"hem"}
    calls = [f"main({words!r})" for _, *words in commands]  # in one process, which saves a minute
    program = tmp_path / "page.py"
    program.write_text("\n".join(["from hem.cli.main import main", *calls, python]))
    with hub() as server:
        quiet = {"WANDB_MODE": "offline", "HF_HUB_DISABLE_XET": "1", "HOME": str(tmp_path)}
        services = {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN}
        done = subprocess.run(
            [sys.executable, program], cwd=tmp_path, env=os.environ | quiet | services, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "flips bit" in done.stdout
    assert len(list(tmp_path.glob("runs/flip/wandb/offline-run-*"))) == 2
    assert (tmp_path / "card.md").exists()
    assert (tmp_path / "mlflow.db").exists()
    (commit,) = server.commits
    assert commit["message"] == "FlipBit with 8 bits"
    assert server.private == {"me/flip-bit": True}
    assert "failed" not in done.stderr
