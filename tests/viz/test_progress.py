from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from rich.console import Console

from hem.viz import live
from hem.viz.progress import Progress

BLOCKS = "▁▂▃▄▅▆▇█"


def row(i: int, success: float | None = None, **more: Any) -> dict[str, Any]:
    """The i-th of rows that are 1,000 steps, 50 updates and half a second apart."""
    values = {
        "env_steps": 1000 * i,
        "episodes": 10 * i,
        "updates": 50 * i,
        "wall_s": 0.5 * i,
        "rollout/success_rate": 0.25,
        "train/loss": 1.5,
    }
    return values | ({} if success is None else {"eval/success_rate": success}) | more


class Screen(io.StringIO):
    """A file that a live display is drawn on."""

    def rows(self) -> list[str]:
        """What a terminal shows in the end: the few commands that rich uses, carried out."""
        screen, at = [""], 0
        for command, letter, text in re.findall(
            r"\x1b\[([\d;?]*)([A-Za-z])|([^\x1b])", self.getvalue()
        ):
            if letter == "A":
                at -= int(command or 1)
                assert at >= 0, "the cursor left the screen"
            elif letter == "K":
                screen[at] = ""
            elif text == "\n":
                at += 1
                screen += [""] * (at == len(screen))
            elif text not in ("", "\r"):
                screen[at] += text
        return screen

    def text(self) -> str:
        return "\n".join(self.rows())


def terminal(width: int = 100) -> tuple[Screen, Console]:
    screen = Screen()
    return screen, Console(file=screen, force_terminal=True, width=width, color_system=None)


def plain(width: int = 40) -> tuple[Screen, Console]:
    screen = Screen()
    return screen, Console(file=screen, force_terminal=False, width=width)


def test_the_live_display_shows_everything():
    screen, console = terminal()
    with Progress("hem · FlipBit", 1_000_000, console=console) as shown:
        for i in range(1, 401):
            shown.update(row(i, success=0.5 if i % 100 == 0 else None))
    text = screen.text()
    assert screen.rows()[0] == "hem · FlipBit"
    for words in (
        "400,000 of 1,000,000 steps",
        "evaluation success 0.50",
        "rollout success 0.25",
        "loss 1.5",
        "2k steps/s",
        "100 updates/s",
        "elapsed",
        "5:00 left",  # 600,000 steps at 2,000 a second
    ):
        assert words in text


def test_the_bar_is_as_long_as_what_is_done():
    screen, console = terminal(width=80)
    with Progress("title", 1000, console=console) as shown:
        shown.update(row(1, env_steps=500))
    (bar,) = [line for line in screen.rows() if "━" in line]
    assert bar == "━" * 40  # without colors, what is to be done is left out


def test_more_steps_than_were_asked_for_are_no_problem():
    screen, console = terminal()
    with Progress("title", 1000, console=console) as shown:
        shown.update(row(1, env_steps=900))
        shown.update(row(2, env_steps=1100, success=1.0))
    assert "1,100 of 1,000 steps" in screen.text()
    assert "0:00 left" in screen.text()
    assert max(map(len, screen.rows())) == 100


def test_the_curve_rises_with_success_and_ends_now():
    screen, console = terminal()
    with Progress("title", 100_000, console=console) as shown:
        for i in range(1, 51):
            shown.update(row(i, success=(i - 1) / 49))
    upper, lower = (line for line in screen.rows() if "▁" in line or "█" in line)
    heights = [
        BLOCKS.find(low) + 1 + BLOCKS.find(high) + 1
        for low, high in zip(lower, upper.ljust(len(lower)), strict=True)
    ]
    assert len(lower) == 50  # half of the steps, half of the width
    assert heights == sorted(heights)
    assert heights[0] == 1  # no success can be told from no evaluation
    assert heights[24:26] == [8, 8]
    assert heights[-1] == 16


def test_the_curve_holds_the_last_evaluation_and_is_blank_before_the_first():
    screen, console = terminal()
    with Progress("title", 100_000, console=console) as shown:
        for i in range(1, 41):
            shown.update(row(i, success=0.5 if i == 11 else None))
    (lower,) = (line for line in screen.rows() if "█" in line)
    assert lower == " " * 10 + "█" * 30


def test_there_is_no_curve_before_an_evaluation():
    screen, console = terminal()
    with Progress("title", 1000, console=console) as shown:
        shown.update(row(1))
    assert not set(BLOCKS) & set(screen.text())


def test_speeds_are_those_of_late():
    screen, console = terminal()
    with Progress("title", 10_000_000, console=console) as shown:
        for i in range(1, 401):  # 200 seconds, then 100 more at a tenth of the speed
            shown.update(row(i))
        for i in range(1, 201):
            late = {"env_steps": 400_000 + 100 * i, "updates": 20_000 + 5 * i}
            shown.update(row(1, wall_s=200 + 0.5 * i, **late))
    assert "200 steps/s" in screen.text()
    assert "10 updates/s" in screen.text()


def test_a_continued_run_counts_on_from_its_start():
    screen, console = terminal()
    with Progress("title", 10_000, console=console, start=row(7200, env_steps=8000)) as shown:
        shown.update(row(7201, env_steps=8100))
    assert "1:00:00 elapsed" in screen.text()  # nearly all of it before
    assert "200 steps/s" in screen.text()


def test_without_a_start_the_first_row_tells_how_long_it_went_before():
    screen, console = terminal()
    with Progress("title", 10_000, console=console) as shown:
        shown.update(row(7200, env_steps=8000))
        assert "steps/s" not in screen.text()  # it is not known since when
    assert "1:00:00 elapsed" in screen.text()


def test_a_note_stays_above_the_display_as_it_is():
    screen, console = terminal()
    with Progress("title", 10_000, console=console) as shown:
        shown.update(row(1))
        shown.note("[bold]saved[/bold] checkpoints/7")
        shown.update(row(2))
    rows = screen.rows()
    assert rows.index("[bold]saved[/bold] checkpoints/7") < rows.index("title")
    assert rows.count("title") == 1


@pytest.mark.parametrize("width", [20, 60, 200])
def test_no_line_is_wider_than_the_terminal(width: int):
    screen, console = terminal(width)
    with Progress("a title that is rather long", 10**9, console=console) as shown:
        for i in range(1, 30):
            shown.update(row(i * 10**5, success=1))
    assert max(map(len, screen.rows())) <= min(width, 100)
    assert len([line for line in screen.rows() if line]) == 7  # none was wrapped


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_the_terminal_clean(error: type[BaseException]):
    screen, console = terminal()
    before = sys.stdout, sys.stderr

    def interrupted() -> None:
        with Progress("title", 1000, console=console) as shown:
            shown.update(row(1))
            raise error

    with pytest.raises(error):
        interrupted()
    written = screen.getvalue()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is back
    assert screen.rows()[-1] == ""  # at the start of a line of its own
    assert (sys.stdout, sys.stderr) == before
    size = len(written)
    time.sleep(2 / live.REDRAWS)
    assert len(screen.getvalue()) == size  # nothing draws any more


def test_an_interrupt_at_the_very_beginning_leaves_it_clean_too():
    class Interrupted(Screen):
        def write(self, text: str) -> int:
            if "title" in text and "title" not in self.getvalue():
                super().write(text)
                raise KeyboardInterrupt
            return super().write(text)

    screen = Interrupted()
    console = Console(file=screen, force_terminal=True)
    with pytest.raises(KeyboardInterrupt):
        Progress("title", 1000, console=console).__enter__()
    assert screen.getvalue().endswith("\x1b[?25h")


def test_updates_cost_next_to_nothing_and_do_not_draw():
    screen, console = terminal()
    rows = [row(i, success=0.5 if i % 10 == 0 else None) for i in range(1, 5001)]
    with Progress("title", 5_000_000, console=console) as shown:
        start, busy = time.perf_counter(), time.process_time()
        for one in rows:
            shown.update(one)
        took, busy = time.perf_counter() - start, time.process_time() - busy
    # A fiftieth of the time that 5,000 updates at 100 a second take.
    assert busy < 5000 / 100 / 50
    assert screen.getvalue().count("title") <= 3 + 10 * took


def test_it_is_redrawn_at_most_ten_times_a_second_but_is():
    screen, console = terminal()
    start = time.perf_counter()
    with Progress("title", 1000, console=console) as shown:
        for i in range(100):
            shown.update(row(i))
            time.sleep(0.01)
    took = time.perf_counter() - start
    assert 3 <= screen.getvalue().count("title") <= 2 + 7 * took  # two at the ends


def test_elsewhere_an_evaluation_is_a_line():
    screen, console = plain()
    with Progress("title", 100_000, console=console) as shown:
        for i in range(1, 31):
            shown.update(row(i, success=i / 40 if i % 10 == 0 else None))
        shown.note("saved [there]")
    lines = screen.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[3] == "saved [there]"
    assert [re.search(r"evaluation success ([\d.]+)", line)[1] for line in lines[:3]] == [
        "0.25",
        "0.50",
        "0.75",
    ]
    for words in ("30,000 of 100,000 steps", "2k steps/s", "0:35 left", "rollout success 0.25"):
        assert words in lines[2]
    assert "\x1b" not in screen.getvalue()


def test_offline_it_is_updates_that_are_done():
    screen, console = plain()
    with Progress("offline", 200, console=console) as shown:
        for i in (1, 2):
            shown.update(row(i, 0.5, env_steps=0))
    (first, second) = screen.getvalue().splitlines()
    assert "50 of 200 updates" in first
    assert "100 of 200 updates" in second
    assert "updates/s" in second
    assert "steps" not in second


def test_a_terminal_that_can_do_nothing_gets_lines_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "dumb")
    screen, console = terminal()
    with Progress("title", 1000, console=console) as shown:
        shown.update(row(1, success=1))
    assert len(screen.getvalue().splitlines()) == 1
    assert "\x1b" not in screen.getvalue()


@pytest.mark.parametrize("make", [terminal, plain])
def test_quiet_shows_notes_only(make):
    screen, console = make()
    with Progress("title", 1000, quiet=True, console=console) as shown:
        shown.update(row(1, success=1))
        shown.note("a warning")
    assert screen.getvalue() == "a warning\n"


@pytest.mark.parametrize("make", [terminal, plain])
def test_no_text_controls_the_terminal(make):
    file, console = make()
    with Progress("a\x1b[2Jb", 9, console=console) as shown:
        shown.note("a\x1b[2Jb\nc")
    assert r"a\x1b[2Jb c" in file.getvalue()
    assert "\x1b[2J" not in file.getvalue()


def test_letters_that_are_not_unicode_draw_a_curve_too():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    with Progress("title", 10_000, console=Console(file=file, force_terminal=True)) as shown:
        shown.update(row(5, success=0.2))
        shown.update(row(10, success=1))
    file.flush()
    assert b"#" in raw.getvalue()


@pytest.mark.parametrize("make", [terminal, plain])
def test_a_place_that_takes_no_text_does_not_stop_the_run(make):
    class Full(Screen):
        full = False

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    console = make()[1]
    console.file = Full()
    with Progress("title", 1000, console=console) as shown:
        console.file.full = True
        shown.update(row(1, success=1))
        shown.note("a warning")


def test_a_closed_pipe_does_not_stop_the_run():
    script = """if True:
        import sys, time
        from hem.viz.progress import Progress
        with Progress("title", 1000) as shown:
            sys.stdin.readline()  # by now nobody reads standard error
            for i in range(100):
                shown.update({"env_steps": i, "wall_s": i, "eval/success_rate": 0.5})
        print("done")
    """
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stderr.close()
        process.stderr = None
        assert process.communicate("go\n")[0] == "done\n"


def test_ctrl_c_on_a_real_terminal():
    script = """if True:
        import time
        from hem.viz.progress import Progress
        with Progress("title", 1000) as shown:
            shown.update({"env_steps": 5, "wall_s": 1.0, "eval/success_rate": 0.5})
            time.sleep(20)
    """
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        written = b""
        while b"evaluation" not in written:
            written += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while data := os.read(ours, 4096):
                written += data
        except OSError:
            pass  # so the other end's closing is told on Linux
    os.close(ours)
    assert written.rindex(b"\x1b[?25h") > written.rindex(b"\x1b[?25l")
    assert process.returncode == -signal.SIGINT


def test_importing_it_is_cheap():
    script = "import sys, hem.viz.progress; print({'rich', 'jax'} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["push_render_hook", "pop_render_hook"])
def test_ctrl_c_halfway_through_the_display_s_begin_or_end(monkeypatch, name):
    screen, console = terminal()
    original = getattr(Console, name)

    def interrupted(*given):
        signal.raise_signal(signal.SIGINT)
        return original(*given)

    monkeypatch.setattr(Console, name, interrupted)
    with pytest.raises(KeyboardInterrupt), Progress("title", 1000, console=console):
        pass
    shown = screen.getvalue()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
