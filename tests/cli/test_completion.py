"""What a shell offers on Tab."""

import subprocess

import pytest
from running import called


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    file = tmp_path_factory.mktemp("completion") / "hem.bash"
    file.write_text(called("completion", "bash").stdout)
    return file


def offered(script, *words: str) -> list[str]:
    typed = " ".join(("hem", *words))
    tab = f"source {script}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}\n"
    tab += '_tyro_hem; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", tab], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "among"),
    [
        (("train", "FlipBit", "--"), "--acting-temperature"),
        (("check", "FlipBit", "--"), "--episodes"),
        (("evaluate", "--"), "--episodes"),
        (("paper", "--"), "--budget"),
        (("export", "--"), "--onnx"),
    ],
)
def test_flags_are_offered_and_not_what_they_mean(script, words, among):
    flags = offered(script, *words)
    assert among in flags
    assert all(flag.startswith("--") and " " not in flag for flag in flags)


def test_a_flag_is_found_by_its_beginning(script):
    assert offered(script, "train", "FlipBit", "--zero") == ["--zero-start"]


def test_environments_are_offered(script):
    assert "FlipBit" in offered(script, "train", "Fl")
