"""The command that writes what a run learned for other programs."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from hem.cli.looking import RunFolder
from hem.errors import require


def export(
    run: RunFolder,
    onnx: Annotated[Path | None, arg(metavar="FILE")] = None,
) -> None:
    """Write what a run learned for other programs.

    Args:
        run: Run folder.
        onnx: Write its greedy policy to this file, as an ONNX graph.
    """
    targets = {"--onnx FILE": onnx}
    given = [flag for flag, value in targets.items() if value is not None]
    require(len(given) == 1, f"say what to write, and only one thing: {' or '.join(targets)}")
    if onnx is not None:
        _to_onnx(run, onnx)


def _to_onnx(run: Path, file: Path) -> None:
    from hem.export.onnx_file import export_onnx

    found = export_onnx(run, file)
    ties = f", {found.ties} ties aside" if found.ties else ""
    print(
        f"Wrote {file}; largest difference from predict on {found.observations:,} random "
        f"observations: {found.difference:.1e}{ties}"
    )
