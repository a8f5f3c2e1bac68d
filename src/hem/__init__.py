"""Goal-conditioned reinforcement learning from sparse binary rewards with hindsight relabeling.

>>> import hem
>>> run = hem.train("FlipBit", bits=10, seed=0)
>>> policy = hem.load_policy(run.folder)
>>> action, _ = policy.predict({"observation": obs, "desired_goal": goal})

Importing hem registers its environments with Gymnasium, as ``hem/FlipBit-v0`` and so on. Everything
else is loaded on first use, so ``import hem`` does not wait for JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hem.registry import register, register_environments

if TYPE_CHECKING:
    from hem.api import evaluate, read_metrics, resume, train
    from hem.errors import UserError
    from hem.export.onnx_file import export_onnx
    from hem.looking.report import report
    from hem.runs.loaded_policy import LoadedPolicy
    from hem.runs.policy_file import load_policy
    from hem.runs.recorded import export_minari
    from hem.runs.run import Run
    from hem.runs.seeds import train_seeds
    from hem.runs.session import Iteration
    from hem.sharing.card import card
    from hem.sharing.hub import push

__all__ = [
    "Iteration",
    "LoadedPolicy",
    "Run",
    "UserError",
    "card",
    "evaluate",
    "export_minari",
    "export_onnx",
    "load_policy",
    "push",
    "read_metrics",
    "register",
    "report",
    "resume",
    "train",
    "train_seeds",
]

_HOME = {
    "Iteration": "hem.runs.session",
    "LoadedPolicy": "hem.runs.loaded_policy",
    "Run": "hem.runs.run",
    "UserError": "hem.errors",
    "card": "hem.sharing.card",
    "evaluate": "hem.api",
    "export_onnx": "hem.export.onnx_file",
    "export_minari": "hem.runs.recorded",
    "load_policy": "hem.runs.policy_file",
    "push": "hem.sharing.hub",
    "read_metrics": "hem.api",
    "report": "hem.looking.report",
    "resume": "hem.api",
    "train": "hem.api",
    "train_seeds": "hem.runs.seeds",
}


register_environments()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hem' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # also shadows a submodule of the same name, such as hem.train
    return value
