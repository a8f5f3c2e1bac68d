"""The report: its numbers are those of hem.evaluate, and a browser finds nothing wrong with it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from running import hem as command
from running import rows
from scipy.stats import binomtest, bootstrap

import hem
from hem.envs import flip_bit
from hem.errors import UserError
from hem.looking import goals
from hem.looking.findings import Findings

EPISODES = 120
PWNED = "<img src=x onerror=document.title='pwned'><svg onload=document.title='pwned'>"


@pytest.fixture(scope="module")
def told() -> list[float]:
    """How much of the page of one run was said to be done."""
    return []


@pytest.fixture(scope="module")
def pages(tmp_path_factory, flips, point, told) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    one = hem.report(point, folder / "one.html", episodes=EPISODES, seed=3, done=told.append)
    return {
        "one": one,
        "many": hem.report([*flips, point], folder / "many.html", episodes=0),
    }


@pytest.fixture(scope="module")
def one(pages, browse) -> dict:
    return browse(pages["one"], 360)


@pytest.fixture(scope="module")
def many(pages, browse) -> dict:
    return browse(pages["many"], 1000, "dark")


@pytest.mark.parametrize("name", ["one", "many"])
def test_a_browser_finds_nothing_wrong_and_nothing_leaves(name, request, pages):
    seen = request.getfixturevalue(name)
    assert seen["console"] == []
    assert seen["requests"] == [pages[name].resolve().as_uri()]
    assert seen["overflow"] == 0
    assert seen["scripts"] == 0
    assert seen["outside"] == []
    assert len(seen["images"]) == (name == "one")
    for width, height, words in seen["images"]:
        assert min(width, height) > 100
        assert words
    assert all(seen["charts"])
    assert set(seen["scopes"]) <= {"col", "row"}
    assert not re.search(r"\bnan\b|None|\$\w", seen["text"])


def test_its_film_is_of_the_policy_that_it_judges(flips, tmp_path, monkeypatch):
    copy = shutil.copytree(flips[0], tmp_path / "run")
    judge = goals.judge

    def then_gone(*args):
        judged = judge(*args)
        (copy / "policy.safetensors").unlink()
        return judged

    monkeypatch.setattr(goals, "judge", then_gone)
    page = hem.report(copy, tmp_path / "page.html", episodes=5).read_text()
    assert "There is no film" not in page
    assert "greedy" not in page  # it samples
    assert "data:image/gif" in page


def test_light_and_dark_are_two_pages(one, many):
    light, dark = (sum(map(int, re.findall(r"\d+", seen["background"]))) for seen in (one, many))
    assert light > 3 * 200
    assert dark < 3 * 60


def test_the_large_numbers_are_those_of_evaluate(one, point):
    report = hem.evaluate(point, episodes=EPISODES, seed=3)
    low, high = report["ci95"]
    tiles = one["tiles"]
    assert tiles["Success at any step"] == [
        f"{report['success_rate']:.3f}",
        f"{low:.3f} to {high:.3f}",
    ]
    final = report["final_success_rate"]
    bounds = binomtest(round(final * EPISODES), EPISODES).proportion_ci(0.95, "wilson")
    assert tiles["At the last step"] == [f"{final:.3f}", f"{bounds.low:.3f} to {bounds.high:.3f}"]
    assert tiles["Trained for"][0] == f"{rows(point)[-1]['env_steps']:,}"
    assert tiles["Steps to 0.95"] == ["\N{EN DASH}", "not reached"]


def test_every_goal_is_on_the_map_as_reached_or_missed(one, point):
    reached = round(hem.evaluate(point, EPISODES, 3)["success_rate"] * EPISODES)
    assert 0 < reached < EPISODES
    assert sum(one["hits"]) == reached
    assert sum(one["misses"]) == EPISODES - reached
    assert f"{reached} of {EPISODES} episodes reached their goal" in one["text"]


def test_the_table_has_a_line_for_each_setting(many, flips):
    heads, first, second, third = many["tables"][0]
    assert heads[:2] == ["runs", "Success at any step"]
    assert [line[0] for line in (first, third)] == [first[0], "Navigation, hem"]
    assert "learning_rate 0.01" in second[0]
    assert first[0] != second[0]
    success = [row["eval/success_rate"] for row in rows(flips[0]) if "eval/success_rate" in row]
    assert first[1].split() == [f"{success[-1]:.3f}"] * 2 + ["to", f"{success[-1]:.3f}"]
    assert "Of two: the range" in many["text"]


def test_several_runs_count_by_their_means():
    rng = np.random.default_rng(0)
    judged = [goals.Judged(np.zeros((50, 1)), np.zeros((50, 1)), *(rng.random((2, 50)) < share))
              for share in (0.2, 0.5, 0.6, 0.9)]  # fmt: skip
    found = Findings("", 0, [], [], [], judged, "")
    for name in ("success", "final_success"):
        means = np.array([getattr(one, name).mean() for one in judged])
        rate = found.rate(name)
        assert rate.mean == pytest.approx(means.mean())
        expected = bootstrap((means,), np.mean, method="percentile", random_state=0)
        np.testing.assert_allclose(rate.interval, expected.confidence_interval, atol=0.03)
    two = found._replace(judged=judged[1:3]).rate("success")
    assert two.interval == tuple(sorted(one.success.mean() for one in judged[1:3]))


def test_the_settings_that_differ_are_there_and_no_others(many):
    lines = {line[0]: line[1:] for line in many["tables"][1]}
    assert lines["environment"] == ["FlipBit", "FlipBit", "Navigation"]
    assert lines["learning-rate"][1] == "0.01"
    assert lines["learning-rate"][0] != "0.01"
    assert lines["seeds"] == ["0, 1", "0", "0"]
    assert lines["bits"] == ["5", "5", ""]
    assert "hidden-dims" not in lines  # the same everywhere
    assert "algorithm" not in lines


def test_the_command_and_the_versions_are_there(flips, tmp_path):
    by_shell = tmp_path / "shell"
    config = json.loads((flips[0] / "config.json").read_text())
    shutil.copytree(flips[0], by_shell)
    given = config | {"command": ["/usr/bin/hem", "train", "FlipBit", "--bits", "5 5"]}
    (by_shell / "config.json").write_text(json.dumps(given))
    text = hem.report(by_shell, tmp_path / "a.html", episodes=0).read_text()
    assert "hem train FlipBit --bits '5 5'" in text
    assert f"jax {config['versions']['jax']}" in text
    text = hem.report(flips[0], tmp_path / "a.html", episodes=0).read_text()  # a program's
    assert f"hem config {flips[0]} &gt; run.toml &amp;&amp; hem train --config run.toml" in text


def test_steps_to_a_rate_are_the_first_of_two_evaluations(flips, tmp_path):
    run = shutil.copytree(flips[0], tmp_path / "run")
    rates = iter([0.2, 0.9, 0.1, 0.9, 0.95])
    lines = [row | ({"eval/success_rate": next(rates)} if "eval/success_rate" in row else {})
             for row in rows(run)]  # fmt: skip
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    fourth = [line for line in lines if "eval/success_rate" in line][3]
    text = hem.report(run, tmp_path / "a.html", episodes=0, success=0.9).read_text()
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))
    assert tiles["Steps to 0.9"] == f"{fourth['env_steps']:,}<small>steps</small>"
    assert tiles["Seconds to 0.9"] == f"{fourth['wall_s']:.1f}<small>seconds</small>"
    assert tiles["Success at any step"] == "0.950<small>last evaluation</small>"


def test_nothing_from_a_stranger_s_folder_runs(flips, tmp_path, browse):
    folder = tmp_path / f"{PWNED}<script>document.title='pwned'<" / "script>"
    shutil.copytree(flips[0], folder)
    config = json.loads((folder / "config.json").read_text())
    bad = PWNED + "<script>document.title='pwned'</script></style></title>$title"
    config |= {"env": bad, "algo": bad, "command": ["hem", "train", bad], "devices": [bad]}
    config |= {"versions": {bad: bad}, "version_hash": bad, "time": f"{bad}\x00\x1b[2J\u202e"}
    config["env_config"] = {bad: bad}
    (folder / "config.json").write_text(json.dumps(config))
    other = shutil.copytree(flips[1], tmp_path / "other")
    page = hem.report([folder, other], tmp_path / "page.html", episodes=0)
    seen = browse(page)
    assert "pwned" in seen["title"]  # as text
    assert seen["title"] != "pwned"
    assert seen["scripts"] == 0
    assert seen["images"] == []
    assert seen["console"] == []
    assert seen["requests"] == [page.resolve().as_uri()]
    assert seen["whole"].count(bad) >= 6
    assert "\\x1b" in seen["whole"]
    assert "\u202e" not in page.read_text()
    assert "pwned" in seen["tables"][1][1][1]


def test_an_environment_that_cannot_be_drawn_costs_the_film_only(flips, tmp_path):
    def cannot(state, goal):
        raise RuntimeError("no <b>screen</b>")

    module = SimpleNamespace(
        NAME="Mine",
        Config=flip_bit.Config,
        make=lambda config: flip_bit.make(config)._replace(render=cannot),
    )
    text = hem.report(flips[0], tmp_path / "a.html", episodes=10, env=module).read_text()
    assert "<img" not in text
    assert "There is no film: no &lt;b&gt;screen&lt;/b&gt;." in text
    assert "Success against bits" in text


def test_without_episodes_no_code_is_run(flips, tmp_path):
    theirs = tmp_path / "theirs.py"
    theirs.write_text("raise SystemExit")
    run = shutil.copytree(flips[0], tmp_path / "run")
    config = json.loads((run / "config.json").read_text()) | {"algo": f"{theirs}:Theirs"}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"add --trust.*--episodes 0"):
        hem.report(run, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
    text = hem.report(run, tmp_path / "a.html", episodes=0).read_text()
    assert "No policy was run" in text


def test_a_run_without_a_configuration_is_a_curve(flips, tmp_path):
    run = shutil.copytree(flips[0], tmp_path / "run")
    (run / "config.json").unlink()
    text = hem.report(run, tmp_path / "a.html", episodes=0).read_text()
    assert "no config.json" in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"runs": "no/such/run"}, ["no/such/run"]),
        ({"out": "a.pdf"}, ["a.pdf", ".html"]),
        ({"out": "no/such/a.html"}, ["no/such"]),
        ({"episodes": -1}, ["episodes", "at least 0"]),
        ({"episodes": 2.5}, ["episodes"]),
        ({"seed": -1}, ["seed"]),
        ({"success": 2}, ["success"]),
        *(({"runs": runs}, ["run"]) for runs in (3, [None], [], {"a": 1})),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path, flips, arguments, parts, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        hem.report(**{"runs": flips[0]} | arguments)
    for part in parts:
        assert part in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_the_command_says_where_the_page_is_or_what_is_wrong(flips, tmp_path):
    done = command("report", *flips[:2], "--out", tmp_path / "a.html", "--episodes", "0")
    assert (done.returncode, done.stdout) == (0, f"Wrote {tmp_path / 'a.html'}\n")
    done = command("report", tmp_path, "--out", tmp_path / "b.html")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


def test_a_full_disk_keeps_the_old_page(flips, tmp_path):
    out = tmp_path / "a.html"
    out.write_text("old")
    under = ("bash", "-c", 'ulimit -S -f 1; exec "$@"', "_")
    done = command("report", flips[0], "--out", out, "--episodes", "0", under=under)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert str(out) in done.stderr
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_how_much_is_done_is_told(pages, told):
    assert told == sorted(told)
    assert len(told) >= 2 + 5  # parts of the episodes, and steps of the film
    assert told[-1] == 1.0
