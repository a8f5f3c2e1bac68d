"""Two hosts, one of which is cut off in the middle of a run: how soon it ends, and what is lost.

The hosts are network namespaces of this machine, joined by a virtual cable, so it needs Linux and
root:

    sudo python -m experiments.two_hosts --cuts 3
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tyro

from hem.runs import checkpoint
from hem.runs.suites.execute import flag

HOSTS = ("hem-host-0", "hem-host-1")
ADDRESSES = ("10.73.0.1", "10.73.0.2")
PORT = 7733
SETTINGS = {"bits": 10, "workers": 2, "episodes_per_iteration": 8, "eval_interval": 2000}


def main(cuts: int = 3, env_steps: int = 20_000, seed: int = 0) -> None:
    """Cut the cable in each of several sessions, and compare with a run that was left alone.

    Args:
        cuts: Sessions that are cut.
        env_steps: Budget of the run.
        seed: Seed of the moments.
    """
    chance = random.Random(seed)
    settings = [word for name, value in SETTINGS.items() for word in flag(name, value)]
    train = ["train", "FlipBit", *settings, "--env-steps", str(env_steps), "--quiet", "--run-dir"]
    with tempfile.TemporaryDirectory() as folder, _hosts():
        run, unharmed = Path(folder, "run"), Path(folder, "unharmed")
        for number in range(cuts):
            processes = _start(
                [*train, str(run)] if number == 0 else ["resume", str(run), "--quiet"]
            )
            _await_checkpoint(run, processes)
            time.sleep(chance.uniform(0, 3))
            _link("down")
            start = time.monotonic()
            said = [process.communicate()[0].strip() for process in processes]
            seconds = time.monotonic() - start
            _link("up")
            print(f"cut {number + 1}: both ended after {seconds:.1f} s")
            for host, line in enumerate(said):
                print(f"  host {host}: {line}")
        _finish(["resume", str(run), "--quiet"])
        _finish([*train, str(unharmed)])
        print("equal to an unharmed run:", kept(run) == kept(unharmed))


@contextmanager
def _hosts() -> Iterator[None]:
    try:
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            _ip("netns", "add", host)
            names = Path("/etc/netns", host)
            names.mkdir(parents=True, exist_ok=True)
            (names / "hosts").write_text(f"127.0.0.1 localhost\n{address} {socket.gethostname()}\n")
        _ip("link", "add", "cable", "netns", HOSTS[0], "type", "veth", "peer", "name", "cable",
            "netns", HOSTS[1])  # fmt: skip
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            _ip("-n", host, "address", "add", f"{address}/24", "dev", "cable")
            _ip("-n", host, "link", "set", "lo", "up")
        _link("up")
        yield
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host], check=False)
            Path("/etc/netns", host, "hosts").unlink(missing_ok=True)
            Path("/etc/netns", host).rmdir()


def _link(state: str) -> None:
    for host in HOSTS:
        _ip("-n", host, "link", "set", "cable", state)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def launched(
    words: list[str], host: str = "127.0.0.1", under: Sequence[Sequence[str]] = ((), ())
) -> list[subprocess.Popen[str]]:
    """The command as two processes of a launcher, each ``under`` another command."""
    given = {"JAX_COORDINATOR_ADDRESS": f"{host}:{PORT}", "JAX_NUM_PROCESSES": "2"}
    return [
        subprocess.Popen(
            [*prefix, sys.executable, "-m", "hem", *words],
            env=os.environ | given | {"JAX_PROCESS_ID": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, prefix in enumerate(under)
    ]


def kept(run: Path) -> list[bytes]:
    """The arrays of a run's latest checkpoint."""
    latest = checkpoint.listed(run / "checkpoints")[-1]
    return [file.read_bytes() for file in sorted(latest.glob("state*.safetensors"))]


def _start(words: list[str]) -> list[subprocess.Popen[str]]:
    """The command on both hosts."""
    return launched(words, ADDRESSES[0], [("ip", "netns", "exec", host) for host in HOSTS])


def _await_checkpoint(run: Path, processes: list[subprocess.Popen[str]]) -> None:
    known = checkpoint.listed(run / "checkpoints")
    while checkpoint.listed(run / "checkpoints") == known:
        for process in processes:
            if process.poll() is not None:
                sys.exit(process.communicate()[0])
        time.sleep(0.05)


def _finish(words: list[str]) -> None:
    for process in _start(words):
        said = process.communicate()[0]
        if process.returncode:
            sys.exit(said)


if __name__ == "__main__":
    tyro.cli(main)
