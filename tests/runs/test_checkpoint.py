import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import msgspec
import numpy as np
import pytest
from disk import Killed, contents, killed_before

from hem.errors import UserError
from hem.runs import checkpoint, state_file
from hem.runs.checkpoint import BadCheckpoint


@dataclass(frozen=True)
class Counters:
    iteration: Annotated[int, msgspec.Meta(ge=0)]


class State(NamedTuple):
    weights: dict
    rows: np.ndarray


def state(seed: int = 0, rows: int = 3) -> State:
    rng = np.random.default_rng(seed)
    weights = {"w": rng.normal(size=(2, 3)).astype(np.float32), "n": np.int32(seed)}
    return State(weights, rng.integers(0, 9, (rows, 4)).astype(np.int8))


def save(folder: Path, iteration: int, seed: int = 0, best: bool = False, rows: int = 3) -> Path:
    saved = checkpoint.save(folder, iteration, {0: state(seed, rows)}, Counters(iteration))
    checkpoint.keep_latest(folder, iteration if best else None)
    return saved


def load(saved: Path) -> tuple[State, Counters]:
    return checkpoint.load(saved, state(), Counters)


def equal(a: State, b: State) -> bool:
    return jax.tree.all(jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b))


def test_what_is_saved_is_read_back(tmp_path):
    saved = save(tmp_path, 7, seed=1)
    loaded, counters = checkpoint.load(saved, state(), Counters)
    assert equal(loaded, state(1))
    assert counters.iteration == 7
    assert not equal(loaded, state(2))


def test_rows_that_were_not_filled_come_back_as_zeros(tmp_path):
    loaded, _ = checkpoint.load(save(tmp_path, 1, rows=2), state(rows=5), Counters)
    assert np.array_equal(loaded.rows[:2], state(rows=2).rows)
    assert not loaded.rows[2:].any()


def test_the_latest_three_and_the_best_are_kept(tmp_path):
    for iteration in range(1, 8):
        save(tmp_path, iteration, best=iteration == 2)
    assert [int(p.name) for p in checkpoint.listed(tmp_path)] == [2, 5, 6, 7]


def test_the_newest_is_loaded(tmp_path):
    for iteration in (9, 10, 11):
        save(tmp_path, iteration, seed=iteration)
    (loaded, counters), complaints = checkpoint.load_latest(tmp_path, load)
    assert (counters.iteration, complaints) == (11, [])
    assert equal(loaded, state(11))


def truncate(at: Path) -> None:
    file = at / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def flip_a_bit(at: Path) -> None:
    file = at / "state.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def come_from_the_future(at: Path) -> None:
    meta = json.loads((at / "checkpoint.json").read_text())
    (at / "checkpoint.json").write_text(json.dumps(meta | {"schema": checkpoint.SCHEMA + 1}))


def lose_the_description(at: Path) -> None:
    (at / "checkpoint.json").unlink()


def scramble_the_description(at: Path) -> None:
    (at / "checkpoint.json").write_text("{")


def lose_the_arrays(at: Path) -> None:
    (at / "state.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "checksum"),
        (flip_a_bit, "checksum"),
        (come_from_the_future, "newer"),
        (lose_the_description, "there is no file"),
        (scramble_the_description, "is damaged"),
        (lose_the_arrays, "cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path, damage, reason):
    save(tmp_path, 1, seed=1)
    damage(save(tmp_path, 2, seed=2))
    (loaded, counters), complaints = checkpoint.load_latest(tmp_path, load)
    assert counters.iteration == 1
    assert equal(loaded, state(1))
    assert len(complaints) == 1
    assert reason in complaints[0]
    assert "0000000002" in complaints[0]


def numbers(folder: Path) -> list[int]:
    return [int(saved.name) for saved in checkpoint.listed(folder)]


def fallen_back(folder: Path) -> int:
    """Go on from the newest usable checkpoint, which it returns."""
    checkpoint.recover(folder)
    (_, counters), _ = checkpoint.load_latest(folder, load)
    checkpoint.put_aside(folder, counters.iteration)
    return counters.iteration


def with_damage(folder: Path) -> Path:
    """The latest three are damaged, and the best is not."""
    for iteration in (10, 20, 30, 40):
        save(folder, iteration, best=iteration == 10)
    for iteration in (20, 30, 40):
        truncate(folder / f"{iteration:010d}")
    return folder


def test_a_damaged_checkpoint_takes_no_place_of_a_good_one(tmp_path):
    with_damage(tmp_path)
    assert fallen_back(tmp_path) == 10
    for iteration, kept in ((15, [10, 15]), (20, [10, 15, 20]), (25, [10, 15, 20, 25])):
        save(tmp_path, iteration)
        assert numbers(tmp_path) == kept
        assert fallen_back(tmp_path) == iteration
    aside = sorted(path.name for path in tmp_path.glob(".*"))
    assert aside == [".0000000030.unusable", ".0000000040.unusable"]
    save(tmp_path, 41)
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"{iteration:010d}" for iteration in (10, 20, 25, 41)), "best.json",
    }  # fmt: skip


def test_falling_back_may_be_killed_anywhere(tmp_path):
    def go_on(folder: Path) -> None:
        fallen_back(folder)
        save(folder, 15)

    with killed_before(with_damage(tmp_path / "count"), 10**9) as count:
        go_on(tmp_path / "count")
    seen = []
    for n in range(count[0]):
        folder = with_damage(tmp_path / str(n))
        with pytest.raises(Killed), killed_before(folder, n):
            go_on(folder)
        damaged = [path for path in folder.iterdir() if path.name.endswith(("20", "20.unusable"))]
        assert len(damaged) == 1  # until training has passed it
        seen.append(fallen_back(folder))
        go_on(folder)
        assert numbers(folder) == [10, 15]
    assert seen == sorted(seen)
    assert set(seen) == {10, 15}


def test_what_is_usable_after_all_can_be_had_back(tmp_path):
    """Such as one that could not be read for lack of a permission."""
    save(tmp_path, 1)
    meta = save(tmp_path, 2, seed=2) / "checkpoint.json"
    meta.rename(tmp_path / "elsewhere")
    assert fallen_back(tmp_path) == 1
    aside = tmp_path / ".0000000002.unusable"
    (tmp_path / "elsewhere").rename(aside / "checkpoint.json")
    aside.rename(tmp_path / "0000000002")
    assert fallen_back(tmp_path) == 2


def test_no_usable_checkpoint_is_the_users_error(tmp_path):
    truncate(save(tmp_path, 1))
    with pytest.raises(UserError, match="checksum"):
        checkpoint.load_latest(tmp_path, load)
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoint.load_latest(tmp_path / "nothing", load)


@pytest.mark.parametrize(
    "other",
    [
        State({"w": np.zeros((2, 3), np.float32)}, state().rows),
        State(state().weights, np.zeros((3, 5), np.int8)),
        State(state().weights, np.zeros((2, 4), np.int8)),
        State(state().weights, np.zeros((3, 4), np.int32)),
    ],
)
def test_another_configuration_is_refused(tmp_path, other):
    with pytest.raises(BadCheckpoint, match="another configuration"):
        checkpoint.load(save(tmp_path, 1), other, Counters)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_file, "write_arrays", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["0000000001"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    (tmp_path / ".0000000001.999.tmp").mkdir(parents=True)
    (tmp_path / ".best.json.999.tmp.json").touch()
    save(tmp_path, 2)
    checkpoint.recover(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["0000000002"]


def test_a_checkpoint_made_again_is_the_old_one_or_the_new_whenever_killed(tmp_path):
    def prepare(name: str) -> Path:
        save(tmp_path / name, 2, seed=1, best=True)
        return tmp_path / name

    with killed_before(prepare("count"), 10**9) as count:
        save(tmp_path / "count", 2, seed=2, best=True)
    seen = set()
    for n in range(count[0]):
        folder = prepare(str(n))
        with pytest.raises(Killed), killed_before(folder, n):
            save(folder, 2, seed=2, best=True)
        checkpoint.recover(folder)
        assert sorted(p.name for p in folder.iterdir()) == ["0000000002", "best.json"]
        (loaded, _), complaints = checkpoint.load_latest(folder, load)
        assert complaints == []
        seen.add(next(seed for seed in (1, 2) if equal(loaded, state(seed))))
    assert seen == {1, 2}


def test_links_are_neither_written_through_nor_emptied(tmp_path):
    theirs = tmp_path / "theirs"
    for iteration in range(5):
        save(theirs / "checkpoints", iteration, best=True)
    before = contents(theirs)
    (tmp_path / "checkpoints").symlink_to(theirs / "checkpoints")
    for act in (lambda f: save(f, 9), checkpoint.recover):
        with pytest.raises(UserError, match="symbolic link"):
            act(tmp_path / "checkpoints")
    mine = tmp_path / "mine"
    save(mine, 1)
    for name in ("0000000000", "0000000009", ".0000000003.old", ".0000000004.1.tmp"):
        (mine / name).symlink_to(theirs / "checkpoints" / "0000000004")
    (mine / "best.json").symlink_to(theirs / "checkpoints" / "best.json")
    for iteration in range(5, 12):
        save(mine, iteration, best=iteration == 9)
        checkpoint.recover(mine)
    assert contents(theirs) == before
