"""The card is one for the Hub's own reader, says what an evaluation says, and repeats the run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from PIL import Image
from running import FLIP

import hem as library
from hem import api
from hem.cli.flags import parse_train
from hem.cli.main import main
from hem.errors import UserError
from hem.runs.experiment import make_experiment
from hem.sharing.card import card
from hem.sharing.recipe import recipe, without_folder


@pytest.fixture(scope="module")
def written(shared_run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("card") / "README.md"
    assert library.card(shared_run, out, episodes=8, seed=5) == out
    return out


def test_the_reader_of_the_hub_finds_the_results_of_an_evaluation(written, shared_run):
    found = ModelCard.load(written)
    found.validate = None  # which would ask the Hub
    report = library.evaluate(shared_run, 8, 5)
    results = {result.metric_type: result for result in found.data.eval_results}
    for rate, interval in (("success_rate", "ci95"), ("final_success_rate", "final_ci95")):
        result = results[rate]
        assert result.task_type == "reinforcement-learning"
        assert (result.dataset_name, result.dataset_type) == ("FlipBit", "FlipBit")
        assert result.metric_value == pytest.approx(report[rate], abs=1e-4)
        assert result.metric_args["interval_95"] == pytest.approx(report[interval], abs=1e-4)
        assert (result.metric_args["episodes"], result.metric_args["seed"]) == (8, 5)
        assert f"{report[rate]:.3f}" in found.text
    assert found.data.library_name == "hem"
    assert "reinforcement-learning" in found.data.tags


def test_what_it_shows_lies_beside_it(written):
    shown = re.findall(r'(?:src="|\]\()([\w.]+)[")]', written.read_text())
    assert shown == ["replay.mp4", "curve.png"]
    assert sorted(path.name for path in written.parent.iterdir()) == sorted([written.name, *shown])
    Image.open(written.parent / "curve.png").verify()
    assert b"ftyp" in (written.parent / "replay.mp4").read_bytes()[:12]


def test_one_policy_is_in_all_parts_of_it(shared_run, tmp_path, monkeypatch):
    copy = shutil.copytree(shared_run, tmp_path / "run")
    evaluate = api.evaluate_run

    def then_gone(*args):
        report = evaluate(*args)
        (copy / "policy.safetensors").unlink()
        return report

    monkeypatch.setattr(api, "evaluate_run", then_gone)
    assert "replay.mp4" in card(copy, episodes=2).read_text()


@pytest.mark.parametrize(
    ("temperature", "words"), [(0, "the most likely action"), (0.7, "samples at temperature 0.7")]
)
def test_it_says_how_the_policy_acted(shared_run, tmp_path, monkeypatch, temperature, words):
    run = library.Run(shared_run)
    monkeypatch.setattr("hem.runs.film.record", _no_film)
    sampling = run.with_policy(run.policy.at_temperature(temperature))
    text = card(sampling, tmp_path / "README.md", episodes=2).read_text()
    assert (
        f"In 2 episodes that never occurred in training (seed 0), the policy acted by {words}."
        in text
    )


def test_its_three_lines_use_the_policy(written, shared_run, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", written.read_text(), re.DOTALL)
    monkeypatch.chdir(shared_run)
    space = {"obs": {"observation": [0] * 5, "achieved_goal": [0] * 5, "desired_goal": [1] * 5}}
    exec(code, space)
    assert space["action"] in range(5)


def test_its_command_repeats_the_run(written, shared_run):
    (command,) = re.findall(r"```bash\n(.*?)```", written.read_text(), re.DOTALL)
    hem, train, env, *flags = shlex.split(command)
    assert (hem, train) == ("hem", "train")
    assert parse_train(env, flags).experiment == library.Run(shared_run).experiment


@pytest.mark.parametrize(("names", "settings"), [
    (("FlipBit",), {}),
    (("FlipBit", "her"), {"double_q": False, "zero_start": True, "seed": 9}),
    (("FlipBit", "hem", "final"), {}),
    (("FlipBit", "hem", "geometric"), {"distance_discount": 0.5, "hidden_dims": (7, 7)}),
    (("FourRooms", "gcsl"), {"env_steps": 7}),
    (("FetchPush-v4", "hem"), {}),  # another one suits it
    (("FetchPush-v4", "hem-her"), {"env_steps": 7}),
    (("Navigation", "hem-her", "episode"), {"terminates_on_success": False}),
])  # fmt: skip
def test_the_command_of_any_experiment_makes_the_same_one(names, settings):
    experiment = make_experiment(*names, **settings)
    found = recipe(experiment)
    _, _, env, *flags = shlex.split(found.command)
    assert parse_train(env, flags).experiment == experiment
    assert {name: value for name, (value, _) in found.changed.items()} == settings
    assert all(value != default for value, default in found.changed.values())


def test_an_object_of_a_program_has_no_command():
    experiment = make_experiment("FlipBit", "hem", lambda key, replay, index: index.step + 1)
    assert recipe(experiment).command is None


@pytest.mark.parametrize(("name", "shown"), [
    ("/home/me/my_env.py:MyEnv", "my_env.py:MyEnv"), ("/home/me/my_algo.py", "my_algo.py"),
    ("C:\\me\\my_env.py:MyEnv", "my_env.py:MyEnv"), ("robots/Arm-v0", "robots/Arm-v0"),
    ("package.module:Env", "package.module:Env"), ("FlipBit", "FlipBit"),
])  # fmt: skip
def test_no_folder_of_this_machine_is_told(name, shown):
    assert without_folder(name) == shown


NASTY = '"]\n---\n# Owned <img src=x onerror=alert(1)> `$(touch owned)` | x |'


def test_texts_of_a_strangers_folder_are_only_text(shared_run, tmp_path, monkeypatch):
    copy = shutil.copytree(shared_run, tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    config["versions"] = {NASTY: NASTY}
    config["version_hash"] = NASTY
    (copy / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("hem.runs.film.record", _no_film)
    text = card(copy, tmp_path / "README.md", episodes=2, repo="me/x").read_text()
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)  # inline code and blocks of it
    for part in ("Owned", "onerror", "touch"):
        assert part in text
        assert part not in outside
    assert ModelCard(text).data.model_name == "x"
    assert "replay" not in text


def _no_film(*_):
    raise UserError("it cannot be drawn")


def test_the_names_of_a_run_cannot_leave_the_front_matter(shared_run, tmp_path, monkeypatch):
    run = library.Run(shared_run)
    run.config = run.config | {"env": NASTY}
    monkeypatch.setattr("hem.runs.film.record", _no_film)
    found = ModelCard(card(run, tmp_path / "README.md", episodes=2).read_text())
    assert found.data.to_dict().keys() == {"library_name", "pipeline_tag", "tags", "model-index"}
    assert found.data.eval_results[0].dataset_name == " ".join(NASTY.split("\n"))
    assert found.text.startswith("\n# A policy for `")


@pytest.mark.parametrize(("out", "said"), [
    ("card.txt", "must end in .md"), ("no/README.md", "there is no folder"),
])  # fmt: skip
def test_a_card_that_cannot_be_written_takes_no_time(shared_run, tmp_path, out, said):
    with pytest.raises(UserError, match=said):
        card(shared_run, tmp_path / out)
    assert not any(tmp_path.iterdir())


def test_the_command_line_writes_it_into_the_run(shared_run, tmp_path, capsys):
    copy = shutil.copytree(shared_run, tmp_path / "run")
    main(["card", str(copy), "--episodes", "2"])
    assert capsys.readouterr().out == f"Wrote {copy / 'README.md'}\n"
    assert (copy / "README.md").read_text().startswith("---\nlibrary_name: hem\n")
    with pytest.raises(SystemExit):
        main(["card", str(tmp_path)])
    assert "is not a run folder" in capsys.readouterr().err


def test_the_run_is_that_of_the_fixture(shared_run):
    assert library.Run(shared_run).experiment.run.env_steps == FLIP["env_steps"]
