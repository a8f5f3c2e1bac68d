"""Nothing is used that Windows or macOS lack, but where it is asked for first.

Here is neither: what they lack is taken away from a Python, and looked for in every file.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hem"
TOY = f"{Path(__file__).parent / 'envs' / 'adapters' / 'toys.py'}:Reach"

MODULES = ["fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"]
LINUX_ONLY = {
    "os": """
        WCONTINUED WEXITED WNOWAIT WSTOPPED P_ALL P_PID P_PGID P_PIDFD waitid
        sched_getaffinity sched_setaffinity pidfd_open memfd_create eventfd getrandom
        sendfile splice posix_fadvise posix_fallocate getxattr setxattr listxattr removexattr
        """,
    "select": "epoll",
    "signal": "pidfd_send_signal sigtimedwait sigwaitinfo",
}
POSIX_ONLY = {
    "os": """
        fork forkpty killpg setsid setpgid setpgrp getpgid getpgrp getsid tcgetpgrp tcsetpgrp nice
        wait waitid wait3 wait4 WNOHANG WUNTRACED getuid geteuid getgid getegid setuid setgid
        getgroups getpriority setpriority uname sync statvfs fstatvfs chown fchown fchdir
        chroot mkfifo mknod openpty ttyname ctermid getloadavg pread pwrite preadv
        pwritev readv writev lockf confstr sysconf pathconf posix_spawn
        register_at_fork O_NOFOLLOW O_DIRECTORY O_CLOEXEC O_NONBLOCK O_SYNC O_DSYNC sched_yield
        """,
    "select": "poll kqueue",
    "signal": """
        SIGKILL SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGALRM SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGPIPE
        SIGWINCH alarm pause setitimer getitimer siginterrupt sigwait sigpending pthread_kill
        pthread_sigmask
        """,
    "socket": "AF_UNIX send_fds recv_fds CMSG_LEN",
}
OF_POPEN = "pass_fds process_group preexec_fn user group extra_groups umask"

ABSENT = {
    "macos": {module: LINUX_ONLY.get(module, "").split() for module in ("os", "select", "signal")},
    "windows": {
        module: (LINUX_ONLY.get(module, "") + POSIX_ONLY[module]).split() for module in POSIX_ONLY
    },
}

MACOS = """
import os, select, signal, socket, subprocess, sys
import numpy, psutil  # they look at which system it is when they are imported

for module, names in {absent!r}.items():
    for name in names:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
"""
WINDOWS = (
    MACOS
    + """
for module in {modules!r}:
    sys.modules[module] = None

opened, synced, started = os.open, os.fsync, subprocess.Popen.__init__
READ_ONLY = set()

def open_(path, flags, *more, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    descriptor = opened(path, flags, *more, **named)
    (READ_ONLY.discard if flags & (os.O_RDWR | os.O_WRONLY) else READ_ONLY.add)(descriptor)
    return descriptor

def fsync(descriptor):
    if descriptor in READ_ONLY:
        raise OSError(9, "Bad file descriptor")
    synced(descriptor)

def start(self, *arguments, **named):
    if wrong := sorted(set(named) & set({of_popen!r})):
        raise ValueError(f"{{wrong[0]}} is not supported on Windows")
    started(self, *arguments, **named)

os.open, os.fsync, subprocess.Popen.__init__ = open_, fsync, start
"""
)
PREAMBLES = {"macos": MACOS, "windows": WINDOWS}

LEARN = """
import numpy as np
import hem
from hem.cli.main import main

small = "--episodes-per-iteration 4 --updates-per-iteration 2".split()
small += "--hidden-dims 8 --eval-episodes 2".split()
main(["list"])
main(["train", "FlipBit", "--bits", "4", *small, "--env-steps", "40", "--run-dir", "flip"])
main(["resume", "flip", "--env-steps", "80"])
main(["play", "flip", "--episodes", "1", "--out", "flip.gif"])
policy = hem.load_policy("flip")
obs = {{"observation": np.zeros(4, np.int8), "desired_goal": np.ones(4, np.int8)}}
assert policy.predict(obs, deterministic=True)[0] in range(4)
"""

ANOTHER_S = """
import sys
from hem import registry
from hem.system.subprocesses import can_launch
import numpy as np

module = registry.load("environment", {toy!r})

def processes(workers):
    environment = module.make(module.Config(horizon=8, env_workers=workers))
    state, _ = environment.reset(np.zeros((2, 2), np.uint32))
    environment.step(state, np.zeros((2, 2), np.float32))
    import psutil
    return len([p for p in psutil.Process().children() if "worker" in " ".join(p.cmdline())])

assert can_launch() is {launches}
assert (processes(-1) > 0) is {launches}
assert processes(0) == 0
if {launches}:
    assert processes(1) == 1
else:
    try:
        processes(1)
    except ValueError as error:
        print(error)
"""


def ran_on(system: str, code: str, folder: Path, **named) -> str:
    """What a Python without what ``system`` lacks prints when it runs ``code``."""
    whole = PREAMBLES[system] + code
    whole = whole.format(
        absent=ABSENT[system], modules=MODULES, of_popen=OF_POPEN.split(), toy=TOY, **named
    )
    file = folder / "script.py"
    file.write_text(whole, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", file.name],
        cwd=folder,
        capture_output=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )
    assert done.returncode == 0, done.stderr.decode("cp1252")
    return done.stdout.decode("cp1252")


@pytest.mark.parametrize("system", ABSENT)
def test_worlds_written_in_jax_are_learnt_on(system, tmp_path):
    printed = ran_on(system, LEARN, tmp_path)
    assert "FlipBit" in printed
    assert {"flip", "flip.gif"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(("system", "launches"), [("macos", True), ("windows", False)])
def test_environments_of_others_run_in_processes_of_their_own_where_there_can_be(
    system, launches, tmp_path
):
    printed = ran_on(system, ANOTHER_S, tmp_path, launches=launches)
    assert ("--env-workers 0" in printed) is not launches


def lacking(code: str, absent: dict[str, list[str]]) -> list[str]:
    """What the code names of that which a system lacks."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in MODULES]
        elif isinstance(node, ast.ImportFrom):
            named = absent.get(node.module or "", [])
            found += [alias.name for alias in node.names if alias.name in named]
            found += [node.module] if node.module in MODULES else []
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [node.attr] if node.attr in absent.get(node.value.id, []) else []
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("subprocess."):
            found += [k.arg for k in node.keywords if k.arg in OF_POPEN.split()]
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import fcntl",
        "from fcntl import flock",
        "from os import fork",
        "def f():\n    import os\n    return os.waitid",
        "import signal\nsignal.signal(signal.SIGHUP, print)",
        "import subprocess\nsubprocess.run([], pass_fds=[3])",
    ],
)
def test_what_windows_lacks_is_found(code):
    assert lacking(code, ABSENT["windows"])


def test_only_where_processes_are_launched_is_used_what_windows_lacks():
    found = {
        file.relative_to(SOURCE).as_posix(): names
        for file in SOURCE.rglob("*.py")
        if (names := lacking(file.read_text(encoding="utf-8"), ABSENT["windows"]))
    }
    # There it asks first, by ``can_launch`` or ``hasattr``.
    guarded = {"sched_getaffinity", "killpg", "SIGKILL", "pass_fds", "process_group"}
    assert set(found) == {"system/subprocesses.py"}
    assert set(found["system/subprocesses.py"]) == guarded
