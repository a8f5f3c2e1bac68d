"""Files, modules and packages: what a name finds, whichever process looks for it."""

import subprocess
import sys

import gymnasium
import jax
import numpy as np
import pytest
import robots

import hem
from hem import registry
from hem.envs.adapters import user_module
from hem.errors import UserError


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a test imports is forgotten."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    before = set(sys.modules)
    yield
    gymnasium.registry.pop("Robo/Line-v0", None)
    for name in set(sys.modules) - before:
        if name.startswith(("robopkg", "line", "alone")):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a package that is found nowhere else."""
    monkeypatch.chdir(robots.package(tmp_path, "robopkg"))
    return tmp_path


def world_of(name: str, **settings):
    module = registry.load("environment", name)
    return module.make(module.Config(slots=2, **settings))


@pytest.mark.parametrize("name", robots.names("robopkg"))
def test_every_name_of_what_is_in_a_package_in_the_current_folder(folder, run, name):
    there, here = (run(world_of(name, env_workers=workers), 3) for workers in (1, 0))
    jax.tree.map(np.testing.assert_array_equal, there, here)
    assert there.length.max() == 6


@pytest.mark.parametrize("name", robots.names("robopkg"))
def test_so_it_is_for_the_installed_command(folder, name):
    command = [sys.executable, "-P", "-m", "hem", "check", name, "--episodes", "2", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_version_follows_the_environments_own_file(folder):
    name = "robopkg.envs.line:Line"
    before = world_of(name, env_workers=0).task.version_hash
    file = folder / "robopkg" / "envs" / "line.py"
    file.write_text(f"{file.read_text()}\n# changed\n")
    assert before != world_of(name, env_workers=0, horizon=5).task.version_hash


def test_what_is_there_but_makes_nothing_is_refused(folder):
    (folder / "line_alone.py").write_text(f"{robots.ALONE}\nSTEP = 1\n")
    said = r"^'STEP' in .*line_alone.py is not a class or function: it has Line$"
    with pytest.raises(UserError, match=said):
        world_of("line_alone.py:STEP", env_workers=0)


def test_what_a_module_lacks_is_said(folder):
    for name, said in (
        ("robopkg.envs.line:Lin", r"no 'Lin': it has Line"),
        ("robopkg.envs.lin:Line", "there is no module robopkg.envs.lin"),
        ("nowhere:Line", f"there is no module nowhere, neither .* nor in {folder}"),
        ("nowhere.at.all:Line-v0", "there is no module nowhere,"),
    ):
        with pytest.raises(UserError, match=said) as error:
            world_of(name, env_workers=0)
        assert "\n" not in str(error.value)


def test_nothing_in_the_current_folder_hides_what_is_installed(folder):
    (folder / "colorsys.py").write_text("raise AssertionError")
    assert user_module.imported("colorsys").__file__ != str(folder / "colorsys.py")


def test_a_file_that_does_without_its_package_is_a_script(folder):
    """Its package may be somebody else's by name, or not be importable at all."""
    text = (
        "try:\n    from .robopkg import utils\nexcept ImportError:\n    import alone_utils as utils"
    )
    (folder / "alone_utils.py").write_text("STEP = 3")
    test = folder / "json"  # as a package that Python finds elsewhere
    test.mkdir()
    for place in (test, folder):
        (place / "alone.py").write_text(text)
    assert user_module.load_file(str(test / "alone.py")).utils.STEP == 3
    assert user_module.load_file(str(folder / "alone.py")).utils.STEP == 1


def test_a_run_whose_file_was_moved_says_where_to_write_its_new_place(folder):
    (folder / "line_alone.py").write_text(robots.ALONE)
    (folder / "success.py").write_text("def close(a, b): return (abs(a - b) < 0.5).all(-1)\n")
    settings = {
        "env_steps": 24,
        "episodes_per_iteration": 2,
        "updates_per_iteration": 1,
        "hidden_dims": (8,),
        "env_workers": 0,
    }
    settings |= {"eval_interval": 24, "eval_episodes": 2, "success": "success.py:close"}
    hem.train("line_alone.py:Line", run_dir="run", **settings)
    config = folder / "run" / "config.json"
    (folder / "elsewhere").mkdir()
    for name in ("line_alone.py", "success.py"):
        (folder / name).rename(folder / "elsewhere" / name)
        for use in (hem.evaluate, hem.resume):
            with pytest.raises(UserError, match=rf"no file .*/{name}.* new path into .*config"):
                use("run", trust=True)
        config.write_text(config.read_text().replace(f"/{name}:", f"/elsewhere/{name}:"))
        assert hem.evaluate("run", episodes=2, trust=True)["episodes"] == 2
