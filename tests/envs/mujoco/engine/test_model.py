"""Finding, compiling and fingerprinting models."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from hem.envs.mujoco import fetch
from hem.envs.mujoco.engine.model import asset, compile_model, import_mujoco, version_hash
from hem.errors import UserError


@pytest.fixture(scope="module")
def reach():
    return asset("gymnasium_robotics", "gymnasium-robotics", "envs/assets/fetch/reach.xml")


def test_a_missing_package_is_named_with_the_command_that_gets_it():
    with pytest.raises(UserError, match=re.escape("pip install 'absent-robots==2'")):
        asset("absent_robots", "absent-robots==2", "arm.xml")


def test_a_file_missing_from_a_package_is_named():
    with pytest.raises(UserError, match=r"envs/arm\.xml was not found in the package gymnas"):
        asset("gymnasium_robotics", "gymnasium-robotics", "envs/arm.xml")


def test_a_mujoco_that_cannot_be_imported_is_the_users_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco.rollout", None)
    with pytest.raises(UserError, match=r"pip install 'hindsight-em\[mujoco\]'"):
        import_mujoco()


def test_a_task_can_be_listed_without_importing_a_simulator():
    code = (
        "import sys; from hem.envs.mujoco import fetch_reach; fetch_reach.Config();"
        "print({'mujoco', 'gymnasium_robotics'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_sensors_leave_the_model_as_it_was(reach):
    bare, sensing = compile_model(reach, {}), compile_model(reach, fetch.SENSORS)
    assert (bare.nsensor, sensing.nsensor) == (0, 4)
    for name in ("body_mass", "geom_size", "dof_damping", "eq_data", "mesh_vert", "qpos0"):
        np.testing.assert_array_equal(getattr(sensing, name), getattr(bare, name))


def test_the_fingerprint_is_the_same_wherever_the_package_lies(reach, tmp_path):
    assets = reach.parent.parent
    for part in ("fetch", "stls/fetch", "textures"):
        shutil.copytree(assets / part, tmp_path / "other" / part)
    here = version_hash(compile_model(reach, fetch.SENSORS), 20)
    there = compile_model(tmp_path / "other" / "fetch" / "reach.xml", fetch.SENSORS)
    assert version_hash(there, 20) == here
    assert re.fullmatch("[0-9a-f]{16}", here)


def test_the_fingerprint_tells_dynamics_apart(reach, monkeypatch):
    model = compile_model(reach, {})
    prints = [version_hash(model, 20), version_hash(model, 10)]
    model.body_mass[5] *= 1.001
    prints.append(version_hash(model, 20))
    monkeypatch.setattr(import_mujoco(), "__version__", "3.3.1")
    prints.append(version_hash(model, 20))
    assert len(set(prints)) == 4
