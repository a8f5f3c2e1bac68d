"""What names stand for, and that no code is run which nobody was asked about."""

import contextlib
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hem import registry
from hem.envs.adapters import env_id, probe, user_module
from hem.errors import UserError

PIECES = (
    "envpool:", "evil", ".py", "evil.py", ":", "Env", "Id-v0", "pkg", ".", "/", "./", "../", "~",
    "gymnasium_robotics:", "PointMaze_UMaze-v3", "hem/", "file:", " ", "\n", "\0", "é", "-",
)  # fmt: skip


@pytest.fixture(scope="module")
def traps(tmp_path_factory):
    """A folder whose Python files all leave a mark when they are run, whatever they are named."""
    folder = tmp_path_factory.mktemp("traps")
    for name in ("evil.py", "envpool:evil.py", "envpool:/evil.py", "pkg/__init__.py", "pkg/evil.py",
                 "file:evil.py", "PointMaze_UMaze-v3:evil.py"):  # fmt: skip
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f"with open({str(folder / 'marks')!r}, 'a') as marks: print(__file__, file=marks)\n"
            "Env = close = lambda *goals: 1 / 0\n"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        yield folder


def run_by(traps: Path, env: str, config: dict) -> tuple[str | None, set[str]]:
    """What code a configuration is said to name, and the files that are run where it is used."""
    marks = traps / "marks"
    marks.write_text("")
    for name in [name for name in sys.modules if name.startswith(("evil", "pkg"))]:
        del sys.modules[name]
    user_module._run_file.cache_clear()
    probe._look.cache_clear()
    try:
        module = registry.load("environment", env)
        made = module.Config(**config)
        named = registry.code_named(env, made)
    except UserError:
        assert not marks.read_text()
        return None, set()
    if env not in registry.entries("environment"):
        with contextlib.suppress(UserError):
            module.make(made)
    return named, set(marks.read_text().split("\n")) - {""}


@settings(max_examples=300)
@given(
    env=st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    success=st.sampled_from(("", "evil.py:close", "envpool:evil.py:close", "evil:close")),
)
@example(env="envpool:evil.py:Env", success="")
@example(env="envpool:evil.py", success="")
@example(env="envpool:/evil.py:Env", success="")
@example(env="file:evil.py:Env", success="")
@example(env="evil.py:Env", success="")
@example(env="pkg/evil.py:Env", success="")
@example(env="pkg.evil:Id-v0", success="")
@example(env="PointMaze_UMaze-v3", success="envpool:evil.py:close")
def test_code_that_is_run_is_code_that_was_named(traps, env, success):
    horizon = {"horizon": 5, "env_workers": 0}
    named, ran = run_by(traps, env, {"success": success} | horizon if success else horizon)
    for file in ran:
        inside = Path(file).relative_to(traps)
        module = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
        assert named is not None, f"{file} was run, but nobody was asked"
        assert str(inside) in named or f"{named}:".startswith((f"{module}:", f"{module}."))


def test_the_probe_sees_what_is_run(traps):
    assert run_by(traps, "evil.py:Env", {"horizon": 5}) == (
        f"{traps}/evil.py:Env",
        {f"{traps}/evil.py"},
    )
    assert run_by(traps, "pkg.evil:Id-v0", {"horizon": 5})[1] == {
        f"{traps}/pkg/__init__.py",
        f"{traps}/pkg/evil.py",
    }


def test_code_that_a_configuration_names_is_seen(traps):
    for env, success, kwargs in (
        ("evil.py:B", "", ()),
        ("module:Id-v0", "", ()),
        ("PointMaze_UMaze-v3", "/tmp/a.py:f", ()),
        ("PointMaze_UMaze-v3", "", ("xml=evil",)),
        ("PointMaze_UMaze-v3", "", ('x=[1, "evil"]',)),
        ("envpool:Some-v0", "", ('base={"a": 1}',)),
    ):
        origin = env_id.parse(env)
        assert origin is not None
        assert env_id.code_named(origin, success, kwargs)
    for env, kwargs in (
        ("PointMaze_UMaze-v3", ("a=1", "b=[1, 2.5, true, null]")),
        ("envpool:FetchPush-v4", ()),
    ):
        origin = env_id.parse(env)
        assert origin is not None
        assert env_id.code_named(origin, "", kwargs) is None


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_the_full_name_stands_for_the_same(traps, env):
    try:
        origin = env_id.parse(env)
    except UserError:
        return
    assert origin is None or env_id.parse(origin.full) == origin
