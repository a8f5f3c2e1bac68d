"""Print the oldest versions that pyproject.toml allows, as constraints for pip."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
tested = [requirement for name in ("mujoco", "ray", "optuna") for requirement in extras[name]]
for requirement in [*project["dependencies"], *tested]:
    print(requirement.replace(">=", "=="))
