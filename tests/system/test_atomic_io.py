import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from disk import Killed, contents, killed_before

from hem.errors import UserError
from hem.system.atomic_io import (
    clear_beside,
    refuse_link,
    remove,
    write_arrays,
    write_atomically,
    write_json,
)
from hem.viz import video


def arrays(path: Path) -> None:
    values = {"a": np.zeros(3)}
    write_atomically(path, lambda side: write_arrays(side, values))


def movie(path: Path) -> None:
    video.write(path, [np.zeros((8, 8, 3), np.uint8)] * 2, 10)


WRITERS = {
    "a.json": lambda path: write_json(path, {"a": 1}),
    "a.safetensors": arrays,
    "a.gif": movie,
    "a.mp4": movie,
}
every_writer = pytest.mark.parametrize(("name", "write"), WRITERS.items())
Write = Callable[[Path], None]


@every_writer
def test_a_file_has_the_mode_of_any_new_file(tmp_path, name: str, write: Write):
    for umask in (0o022, 0o077, 0o002):
        before = os.umask(umask)
        try:
            write(tmp_path / name)
        finally:
            os.umask(before)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask


@every_writer
def test_a_link_is_replaced_and_what_it_leads_to_is_left(tmp_path, name: str, write: Write):
    (tmp_path / "theirs").write_text("years of work")
    (tmp_path / name).symlink_to(tmp_path / "theirs")
    write(tmp_path / name)
    assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "theirs").read_text() == "years of work"


@every_writer
def test_a_killed_write_leaves_the_old_file_or_the_new_and_is_cleared_away(tmp_path, name, write):
    write(tmp_path / name)
    with killed_before(tmp_path, 10**9) as count:
        write(tmp_path / name)
    whole = contents(tmp_path)
    for n in range(count[0]):
        with pytest.raises(Killed), killed_before(tmp_path, n):
            write(tmp_path / name)
        clear_beside(tmp_path / name)
        assert contents(tmp_path) == whole
    write(tmp_path / name)
    assert contents(tmp_path) == whole


def test_two_at_once_and_a_process_of_the_same_number_do_not_meet(tmp_path):
    names = []

    def write(side: Path) -> None:
        names.append(side.parent.name)
        side.write_text("inner")
        if len(names) < 3:
            write_atomically(tmp_path / "a.txt", write)

    write_atomically(tmp_path / "a.txt", write)
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"\.a\.txt\.[0-9a-f]{16}\.tmp", name) for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_name_may_be_as_long_as_names_may_be(tmp_path):
    write_json(tmp_path / ("é" * 125 + ".json"), 1)
    assert len(list(tmp_path.iterdir())) == 1


def test_only_what_was_left_beside_it_is_cleared(tmp_path):
    for name in (".a.json.77.tmp.json", ".a.json.0123.tmp", ".b.json.77.tmp", "a.json", ".a.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / ".a.json.1.tmp").symlink_to(tmp_path / "a.json")
    clear_beside(tmp_path / "a.json")
    assert {path.name for path in tmp_path.iterdir()} == {".b.json.77.tmp", "a.json", ".a.json"}


def test_a_link_to_a_folder_is_refused_and_removed_alone(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    with pytest.raises(UserError, match=r"link is a symbolic link"):
        refuse_link(tmp_path / "link")
    remove(tmp_path / "link")
    assert contents(tmp_path) == {"theirs": None, "theirs/file": b""}


def test_text_that_is_none_is_a_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*a.json: .*udcff.* is not UTF-8"):
        write_json(tmp_path / "a.json", {"name": "x\udcff"})
    assert not list(tmp_path.iterdir())
