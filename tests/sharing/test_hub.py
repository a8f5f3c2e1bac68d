"""A run is pushed to a Hub on this machine, by the client that everyone has, and comes back."""

from __future__ import annotations

import json
import os
import shutil
import socket

import huggingface_hub
import numpy as np
import pytest
from hub_server import TOKEN, hub
from huggingface_hub import ModelCard
from running import hem

import hem as library
from hem.errors import UserError
from hem.runs import checkpoint
from hem.sharing.card import card as write_card

# The Hub's client uses its HTTP library in a way that will end.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "me/flip-bit"
QUICK = {"episodes": 4}
PUSHED = {
    "README.md", "config.json", "curve.png", "metrics.jsonl", "policy.json", "policy.safetensors",
    "replay.mp4",
}  # fmt: skip


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A Hub that this process takes for the one there is."""
    with hub() as state:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", state.url)
        files = f"{state.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # another service
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield state


@pytest.fixture
def blank_card(monkeypatch):
    """No time is spent on a card."""
    text = "---\nmodel-index: []\n---\n"
    monkeypatch.setattr("hem.sharing.hub.card", lambda run, out, *_, **__: out.write_text(text))


def test_what_is_pushed_comes_back_and_acts_the_same(server, shared_run):
    url = library.push(shared_run, REPO, **QUICK, message="Share it")
    assert url == f"{server.url}/{REPO}"
    (commit,) = server.commits
    assert (commit["repo"], commit["message"]) == (REPO, "Share it")
    assert set(commit["files"]) == PUSHED
    for name in ("policy.safetensors", "policy.json", "config.json", "metrics.jsonl"):
        assert commit["files"][name] == (shared_run / name).read_bytes()
    folder = huggingface_hub.snapshot_download(REPO)
    theirs, mine = library.load_policy(folder), library.load_policy(shared_run)
    rng = np.random.default_rng(0)
    seen = {key: rng.integers(0, 2, (20, 5)) for key in ("observation", "desired_goal")}
    assert np.array_equal(theirs.predict(seen, seed=0)[0], mine.predict(seen, seed=0)[0])
    assert library.evaluate(folder, 4)["episodes"] == 4  # it is a run folder, too
    card = ModelCard(commit["files"]["README.md"].decode())
    assert {result.metric_type for result in card.data.eval_results} == {
        "success_rate", "final_success_rate",
    }  # fmt: skip
    assert f"snapshot_download('{REPO}')" in card.text


def test_the_card_is_of_what_is_pushed_whatever_changes(server, shared_run, tmp_path, monkeypatch):
    copy = shutil.copytree(shared_run, tmp_path / "copy")

    def card(*args, **named):
        for name in ("policy.safetensors", "metrics.jsonl"):
            (copy / name).unlink()
        return write_card(*args, **named)

    monkeypatch.setattr("hem.sharing.hub.card", card)
    library.push(copy, REPO, **QUICK)
    (commit,) = server.commits
    assert set(commit["files"]) == PUSHED
    assert ModelCard(commit["files"]["README.md"].decode()).data.model_name == "flip-bit"


def test_pushing_again_is_another_commit(server, shared_run, blank_card):
    for _ in range(2):
        library.push(shared_run, REPO, **QUICK)
    assert len(server.commits) == 2


def test_checkpoints_are_pushed_if_asked_for(server, shared_run, blank_card, tmp_path):
    copy = shutil.copytree(shared_run, tmp_path / "copy")
    for leftover in (".0000000003.0123456789abcdef.tmp", ".0000000003.old"):  # of killed processes
        shutil.copytree(checkpoint.listed(copy / "checkpoints")[0], copy / "checkpoints" / leftover)
    library.push(copy, REPO, **QUICK, checkpoints=True)
    pushed = server.commits[0]["files"]
    saved = [path for path in (shared_run / "checkpoints").rglob("*") if path.is_file()]
    assert len(saved) >= 4
    assert {name for name in pushed if "checkpoints" in name} == {
        str(path.relative_to(shared_run)) for path in saved
    }
    assert all(pushed[str(path.relative_to(shared_run))] == path.read_bytes() for path in saved)


def test_a_private_one_is_private_or_nothing_is_pushed(server, shared_run, blank_card):
    library.push(shared_run, REPO, **QUICK, private=True)
    assert server.private[REPO]
    library.push(shared_run, REPO, **QUICK)  # stays private
    server.repos["me/open"], server.private["me/open"] = {}, False
    with pytest.raises(UserError, match="me/open is public"):
        library.push(shared_run, "me/open", **QUICK, private=True)
    assert not server.repos["me/open"]


@pytest.mark.parametrize("repo", ["flip", "me/you/flip", "me/", "/flip", "me/a b", "me/a--b..", ""])
def test_bad_names_are_refused_before_anything_is_asked(server, shared_run, repo):
    with pytest.raises(UserError, match="use OWNER/NAME"):
        library.push(shared_run, repo)
    assert not [asked for asked in server.asked if "POST" in asked]


def test_without_a_login_or_with_a_bad_token_nothing_is_begun(server, shared_run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrong" * 7)
    with pytest.raises(UserError, match="does not accept your token") as refused:
        library.push(shared_run, REPO)
    assert "wrong" not in str(refused.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match=r"not logged in .*hf auth login"):
        library.push(shared_run, REPO)
    assert not [asked for asked in server.asked if "POST" in asked]


@pytest.mark.parametrize(("part", "status", "said"), [
    ("/api/repos/create", 403, "you may not write to me/flip-bit"),
    ("/api/repos/create", 500, "refused me/flip-bit: it is broken"),
    ("/large/", 400, "nothing was pushed"),
    ("/commit/", 403, "you may not write to me/flip-bit"),
])  # fmt: skip
def test_what_the_hub_refuses_is_a_line(server, shared_run, blank_card, part, status, said):
    server.broken = {part: status}
    with pytest.raises(UserError, match=said) as refused:
        library.push(shared_run, REPO, **QUICK)
    assert TOKEN not in str(refused.value)
    assert server.commits == []


def test_the_name_of_another_is_refused(server, shared_run, blank_card):
    server.repos["you/theirs"] = {}
    for repo in ("you/new", "you/theirs"):
        with pytest.raises(UserError, match=f"you may not write to {repo}"):
            library.push(shared_run, repo, **QUICK)


def test_links_to_elsewhere_are_not_pushed(server, shared_run, blank_card, tmp_path):
    copy = shutil.copytree(shared_run, tmp_path / "copy")
    (tmp_path / "secret").write_text("secret")
    (copy / "policy.json").unlink()
    (copy / "policy.json").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="is a symbolic link"):
        library.push(copy, REPO)
    shutil.copy(shared_run / "policy.json", (copy / "policy.json").unlink() or copy)
    (checkpoint.listed(copy / "checkpoints")[0] / "more").symlink_to(tmp_path)
    with pytest.raises(UserError, match="is a symbolic link"):
        library.push(copy, REPO, checkpoints=True)
    assert server.commits == []


def test_a_run_without_a_policy_or_of_foreign_code_is_refused(server, shared_run, tmp_path):
    copy = shutil.copytree(shared_run, tmp_path / "copy")
    (copy / "policy.safetensors").unlink()
    with pytest.raises(UserError, match=rf"there is no policy at {copy}"):
        library.push(copy, REPO)
    theirs = tmp_path / "theirs.py"
    theirs.write_text("raise SystemExit('it ran')")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"algo": f"{theirs}:Algo"}))
    with pytest.raises(UserError, match="--trust"):
        library.push(copy, REPO)


def test_the_command_says_where_it_is_and_never_the_token(shared_run, tmp_path):
    with hub() as state:
        env = {"HF_ENDPOINT": state.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path)}
        env["HF_HUB_DISABLE_XET"] = "1"
        done = hem("push", shared_run, REPO, "--episodes", "4", "--private", env=os.environ | env)
        assert (done.returncode, done.stdout) == (0, f"Pushed to {state.url}/{REPO}\n"), done.stderr
        assert done.stderr == ""
    with socket.socket() as taken:  # a port where nobody answers
        taken.bind(("127.0.0.1", 0))
        env["HF_ENDPOINT"] = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = hem("push", shared_run, REPO, env=os.environ | env)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot reach the Hugging Face Hub" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
