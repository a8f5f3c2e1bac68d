"""``policy.onnx``: a run's greedy policy for programs that have onnxruntime, but not hem."""

from __future__ import annotations

from pathlib import Path

from hem.errors import require
from hem.export.agreement import Agreement, compare
from hem.runs.policy_file import load_policy
from hem.system.atomic_io import named_errors, write_bytes
from hem.system.conversion import checked
from hem.system.packages import is_installed

ONNX = "ONNX is not installed: run `pip install 'hindsight-em[onnx]'`"


@checked
def export_onnx(run_dir: str | Path, file: str | Path) -> Agreement:
    """Write a run's greedy policy as an ONNX graph, and check that it acts as ``predict`` does.

    The graph's inputs are the leaves of the environment's own observation and goal spaces, its
    output is an action of the environment's action space, and its metadata describe both. The file
    is written only if the check succeeds: on 1,000 random observations, actions must be equal to
    those of ``predict`` or, where they are continuous, within 1e-5 of half their range.

    Args:
        run_dir: a run's folder, or a ``policy.safetensors``; no environment is needed.
        file: the file, which ends in .onnx.

    Returns:
        How well the two agree.

    Raises:
        UserError: there is no policy, ONNX is not installed, an input is not an array, the file
            cannot be written, or the check fails.
    """
    file = Path(file)
    require(file.suffix.lower() == ".onnx", f"cannot write {file}: its name must end in .onnx")
    require(file.parent.is_dir(), f"cannot write {file}: there is no folder {file.parent}")
    require(is_installed("onnx") and is_installed("onnxruntime"), ONNX)
    import onnx  # noqa: PLC0415

    from hem.export.policy_graph import build  # noqa: PLC0415

    loaded = load_policy(run_dir)
    model = build(loaded).SerializeToString()
    onnx.checker.check_model(model, full_check=True)
    agreement = compare(model, loaded)
    with named_errors(file):
        write_bytes(file, model)
    return agreement
