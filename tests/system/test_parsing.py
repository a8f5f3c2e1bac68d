import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem.errors import UserError
from hem.system import parsing
from hem.system.parsing import AbsentError, open_file, parse_json, parse_toml, read_json


class Note(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    names: tuple[str, ...]
    share: float


GOOD = {"schema": 2, "names": ["a", "b"], "share": 0.5}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def write(folder: Path, content: Any) -> Path:
    file = folder / "note.json"
    text = content if isinstance(content, (bytes, str)) else json.dumps(content)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_what_is_of_its_type_is_read(tmp_path):
    assert read_json(write(tmp_path, GOOD), Note, 2) == Note(2, ("a", "b"), 0.5)
    assert read_json(write(tmp_path, GOOD | {"share": 1}), Note).share == 1.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("nonsense", "malformed"),
        (b'{"schema": 2, "names": ["\xff"]}', "not UTF-8"),
        ("[" * 100_000, "too deeply"),
        ("[" * 60 + "]" * 60, "too deeply"),
        (GOOD | {"names": "ab"}, r"Expected `array`, got `str` - at `\$.names`"),
        (GOOD | {"names": ["a", 1]}, r"at `\$.names\[1\]`"),
        (GOOD | {"share": "0.5"}, r"at `\$.share`"),
        (GOOD | {"share": True}, r"at `\$.share`"),
        (GOOD | {"share": None}, r"at `\$.share`"),
        (json.dumps(GOOD).replace("0.5", "NaN"), "malformed"),
        (json.dumps(GOOD).replace("0.5", "1e999"), "out of range"),
        (json.dumps(GOOD).replace("0.5", "9" * 9999), "out of range"),
        (GOOD | {"more": 1}, "unknown field `more`"),
        ({"schema": 2, "names": []}, "missing required field `share`"),
        ([GOOD], "no schema version"),
        ({**GOOD, "schema": None}, "no schema version"),
        ({**GOOD, "schema": True}, "no schema version"),
        ({**GOOD, "schema": 3, "more": 1}, "newer hem .schema 3; this one reads 2.: upgrade"),
        ({**GOOD, "schema": 1, "share": "half"}, "older hem .schema 1; this one reads 2.: use"),
    ],
)
def test_what_is_wrong_is_a_line_with_the_file_and_the_place(tmp_path, content, reason):
    file = write(tmp_path, content)
    with pytest.raises(UserError, match=reason) as error:
        read_json(file, Note, 2)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "value",
    ["9" * 5000, "9" * 400, "0x" + "F" * 5000, str(2**63), "[[1, 9223372036854775808]]",
     "{ low = 1, high = -1000000000000000000000 }"],
)  # fmt: skip
def test_an_integer_of_more_than_64_bits_is_no_toml(tmp_path, value):
    file = tmp_path / "mine.toml"
    file.write_text(f"[search]\nbits = {value}\n")
    with pytest.raises(UserError, match="not a TOML file: an integer exceeds 64 bits") as error:
        parse_toml(file, dict[str, Any])
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)
    file.write_text(f"bits = {2**63 - 1}")
    assert parse_toml(file, dict[str, int]) == {"bits": 2**63 - 1}


def test_a_file_without_end_is_not_read_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(parsing, "LARGEST", 100)
    with pytest.raises(UserError, match="more than 100 bytes"):
        read_json(write(tmp_path, '"' + "a" * 100), str)


def test_absent_forbidden_and_damaged_are_told_apart(tmp_path, monkeypatch):
    for path in (tmp_path / "none.json", write(tmp_path, GOOD) / "inside"):
        with pytest.raises(AbsentError, match="there is no file"):
            read_json(path, Note)

    def forbid(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbid)
    with pytest.raises(UserError, match=r"cannot read .*note.json: Permission denied") as error:
        read_json(tmp_path / "note.json", Note)
    assert not isinstance(error.value, AbsentError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of POSIX")
def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "zeros", "circle", "folder"):
        with pytest.raises(UserError, match=f"cannot read .*{name}"), open_file(tmp_path / name):
            pass


def assert_works_or_is_refused(data: bytes) -> None:
    try:
        parsed = parse_json(data, Note, "it", 2)
    except UserError as error:
        parsed, said = None, str(error)
    assert isinstance(parsed, Note) or "\n" not in said


@given(VALUES)
def test_any_json_is_of_the_type_or_refused_in_a_line(value):
    assert_works_or_is_refused(json.dumps(value).encode())


@given(st.integers(0, 60), st.binary(max_size=3), st.integers(0, 3))
def test_any_bytes_are_of_the_type_or_refused_in_a_line(place, added, dropped):
    data = json.dumps(GOOD).encode()
    assert_works_or_is_refused(data[:place] + added + data[place + dropped :])
