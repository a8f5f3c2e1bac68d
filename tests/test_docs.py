"""What the documents say is true: commands run, code runs, lines are where they are said to be."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import called

from hem.cli.flags import parse_train

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# What the commands of README are given besides, so that they take seconds.
SMALL = {
    "train": "--env-steps 200 --episodes-per-iteration 4 --updates-per-iteration 2 "
    "--eval-episodes 2",
    "report": "--episodes 20",
    "card": "--episodes 20",
}
SHORTER = {"250000": "400", "3x4": "1x2"}
REFERENCES = re.findall(
    r"\[`[^`]*:(\d+)`\]\(\.\./([^)#]+)#L(\d+)\) `(\w+)`", (ROOT / "docs" / "tour.md").read_text()
)


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def run(line: str, folder: Path) -> str:
    """What a command prints, run in this process; ``>`` puts it into a file as in a shell."""
    line, _, file = line.partition(" > ")
    program, *arguments = shlex.split(line, comments=True)
    assert program == "hem"
    result = called(*arguments, cwd=folder)
    assert result.returncode == 0, result
    if file:
        (folder / file).write_text(result.stdout)
    return result.stdout


def training_commands() -> list[str]:
    """What follows ``hem train`` in code of any page, unless the page makes up a part of it."""
    found = set()
    for file in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = re.sub(r"\\\n *", "", file.read_text())
        code = [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^    .*", text, re.MULTILINE)]
        code += [line for block in blocks("bash", text) for line in block.splitlines()]
        found |= {said for line in code for said in re.findall(r"\bhem train (.*)", line)}
    named = [said for said in found if re.match("[a-z_]*[A-Z]?[a-z]", said)]
    return sorted(said for said in named if not re.search(r"Carousel|--help|\$|\.\.\.", said))


@pytest.mark.parametrize("command", training_commands())
def test_the_flags_of_a_training_command_are_taken(command, monkeypatch):
    env, *flags = shlex.split(command, comments=True)
    examples = ROOT / "docs/examples"
    inside = any(file.name in command for file in examples.glob("*.py"))
    monkeypatch.chdir(examples if inside else ROOT / "docs")
    parse_train(env, flags)


@pytest.mark.parametrize("file", sorted((ROOT / "docs").rglob("*.md")), ids=lambda file: file.stem)
def test_what_a_page_includes_is_a_file(file):
    """A marker that a formatter has broken would be shown as it is."""
    for line in re.findall(r".*\b8 ?<.*", file.read_text()):
        included = re.fullmatch(r' *--8<-- "(.+)"', line)
        assert included, line
        assert (ROOT / included[1]).is_file()


@pytest.mark.parametrize(
    "file", sorted((ROOT / "docs/algorithms").glob("*.md")), ids=lambda f: f.stem
)
def test_numbers_of_an_algorithm_s_page_are_those_of_the_results(file):
    measured = re.findall(r"## (?:Measured|Which one)\n(.*?)\n## ", file.read_text(), re.DOTALL)
    rows = re.findall(r"^\| .*", "".join(measured), re.MULTILINE)
    assert rows
    numbers = {x for row in rows for x in re.findall(r"\d[\d,.]*\d", row)}
    results = set(re.findall(r"\d[\d,.]*\d", page("results.md") + page("findings.md")))
    assert numbers <= results, numbers - results


@pytest.mark.slow
def test_the_commands_of_the_readme_run(tmp_path, trained_here):
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines]
    assert {command[1] for command in commands} == {
        "list", "train", "evaluate", "play", "resume", "plot", "export", "report", "card",
        "check", "suite", "compare", "paper",
    }  # fmt: skip
    shutil.copy(ROOT / "docs" / "my_env.py", tmp_path)
    study = Path("docs", "examples", "study.toml")
    (tmp_path / study.parent).mkdir(parents=True)
    text = (ROOT / study).read_text()
    small = {"seeds": 1, "env_steps": 200, "eval_interval": 100, "bits": [8]}
    for name, value in small.items():
        text, found = re.subn(rf"(?m)^{name} = .+$", f"{name} = {value}", text)
        assert found == 1
    (tmp_path / study).write_text(text)
    for program, *arguments in commands:
        assert program == "hem"
        asked = [SHORTER.get(word, word) for word in arguments]
        result = called(*asked, *SMALL.get(arguments[0], "").split(), cwd=tmp_path)
        assert result.returncode == 0, result
    left = {path.name for path in tmp_path.iterdir()}
    assert {"flip.gif", "curves.png", "report.html", "reach.mp4", "runs"} <= left


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path):
    shutil.copy(ROOT / "docs" / "my_env.py", tmp_path)
    code = "\n".join(blocks("python"))
    for steps, fewer in {"40_000": "20_000", "60_000": "40_000"}.items():
        code, found = re.subn(f"env_steps={steps}", f"env_steps={fewer}", code)
        assert found == 1
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "reached the goal: True" in result.stdout
    assert "drove to the goal: True" in result.stdout


@pytest.mark.slow
def test_the_examples_of_how_to_extend_it_are_found_and_learn(tmp_path):
    copy = shutil.copytree(ROOT / "src" / "hem", tmp_path / "hem")
    places = {"carousel": "envs", "window": "hindsight", "discounted": "algorithms"}
    for name, package in places.items():
        shutil.copy(ROOT / "docs" / "examples" / f"{name}.py", copy / package)
    text = page("extend.md")
    (line,) = re.findall(r"^hem train Carousel .*", text, re.MULTILINE)
    result = subprocess.run(
        [sys.executable, "-m", *shlex.split(line), "--run-dir", tmp_path / "run", "--quiet"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    *_, last = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert last["eval/success_rate"] > 0.8


def test_make_has_the_two_commands_of_the_readme():
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^    make (\w+)$", README, re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_the_tour_points_at_something():
    assert len(REFERENCES) >= 8


@pytest.mark.parametrize(("said", "path", "anchor", "name"), REFERENCES)
def test_the_tour_points_at_the_right_lines(said, path, anchor, name):
    lines = (ROOT / path).read_text().splitlines()
    defined = [i for i, line in enumerate(lines, 1) if re.match(rf"\s*def {name}\b", line)]
    assert int(said) == int(anchor)
    assert int(said) in defined, f"{path}: {name} is at {defined}"


@pytest.mark.slow
def test_the_page_on_python_runs(tmp_path):
    shutil.copy(ROOT / "docs" / "my_env.py", tmp_path)
    text = page("python.md")
    code, found = re.subn("max_time=10", "max_time=1", "\n".join(blocks("python", text)))
    assert found == 1
    (tmp_path / "page.py").write_text(code)
    result = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert float(re.findall(r"success by hand: (\S+)", result.stdout)[0]) > 0.5
    assert "python:next_step" in result.stdout


@pytest.mark.slow
def test_the_commands_of_the_page_on_python_run(tmp_path):
    configuration, completion = blocks("bash", page("python.md"))
    for line in configuration.splitlines():
        run(line, tmp_path)
    assert json.loads((tmp_path / "runs/second/config.json").read_text())["run"]["seed"] == 1
    made, line = completion.splitlines()
    home = os.environ | {"HOME": str(tmp_path)}
    subprocess.run(["bash", "-c", made], env=home, check=True)
    run(line.replace("~/", ""), tmp_path)
    (scripted,) = tmp_path.glob(".local/share/bash-completion/completions/hem")
    tab = (
        f"source {scripted}\nCOMP_WORDS=(hem train FlipBit --bi); COMP_CWORD=3\n"
        '_tyro_hem; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", tab], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["--bits"], done


@pytest.mark.slow
def test_the_page_on_policies_without_hem_runs(tmp_path):
    text = page("deploy.md")
    for name in ("my_env.py", "examples/run_onnx.py"):
        shutil.copy(ROOT / "docs" / name, tmp_path)
    (tmp_path / "bare.py").write_text(
        "import runpy, sys\n"
        "sys.modules |= dict.fromkeys(('hem', 'jax', 'flax'))  # importing them fails\n"
        "runpy.run_path(sys.argv[1])\n"
    )
    (commands,) = blocks("bash", text)
    commands, found = re.subn("--until 0.95", "--env-steps 800 --eval-episodes 5", commands)
    train, export, (python, script) = *commands.splitlines()[:2], commands.splitlines()[2].split()
    assert (found, python) == (1, "python")
    run(train, tmp_path)
    assert re.search(r"^Wrote policy.onnx; ", run(export, tmp_path), re.MULTILINE)
    result = subprocess.run(
        [sys.executable, "bare.py", script], cwd=tmp_path, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert re.search(r"^reached the goal: \w+$", result.stdout)
    (code,) = blocks("python", text)
    defined = {}
    exec(code, defined)
    made = defined["inputs"]({"arm": (3, [0.5, 1.0]), "at": 2}, "observation")
    assert {name: array.tolist() for name, array in made.items()} == {
        "observation/arm/0": [3], "observation/arm/1": [[0.5, 1.0]], "observation/at": [2],
    }  # fmt: skip


@pytest.mark.slow
def test_the_page_on_looking_at_runs_runs(tmp_path, monkeypatch):
    text = page("looking.md")
    commands = "\n".join(blocks("bash", text))
    commands = commands.replace("PointMass", "Navigation")  # which needs no MuJoCo: faster
    small = "--env-steps 400 --eval-interval 200 --eval-episodes 5 --horizon 10"
    commands, count = re.subn(r"--env-steps \d+ --eval-interval \d+", small, commands)
    commands = commands.replace("$seed", "0").replace(" runs/point-1 runs/point-2", "")
    asked = [line.strip() for line in commands.splitlines() if line.strip().startswith("hem ")]
    train, report, curves, watch = asked
    assert count == 1
    assert "Done: runs/point-0. Evaluate it with: hem evaluate runs/point-0" in run(train, tmp_path)
    run(report, tmp_path)
    run(curves, tmp_path)
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks("python", text)), {})
    script = f'set -eo pipefail\nhem() {{ {shlex.quote(sys.executable)} -m hem "$@"; }}\n{watch}'
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for name in ("report.html", "curves.html", "point.html"):
        assert "Success at any step" in (tmp_path / name).read_text()
    assert "<img" in (tmp_path / "report.html").read_text()
    assert "<img" not in (tmp_path / "curves.html").read_text()


@pytest.mark.slow
def test_minigrid_becomes_a_goal_environment():
    file = ROOT / "docs" / "examples" / "four_rooms_goal.py"
    words = ["check", f"{file}:FourRoomsGoal", "--horizon", "100", "--episodes", "3", "--quiet"]
    found = called(*words)
    assert found.stdout.endswith("No errors found.\n"), found
    assert "compare --algo hem with --algo her" in found.stdout


@pytest.mark.slow
def test_the_page_on_demonstrations_runs(tmp_path, monkeypatch, capsys):
    text = page("demonstrations.md")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    (commands,) = blocks("bash", text)
    said = "".join(run(line, tmp_path) for line in commands.splitlines())
    assert "Wrote 20 episodes" in said
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks("python", text)), {})
    found = re.findall(r"success offline: (\S+)", capsys.readouterr().out)
    assert float(found[0]) > 0.8
