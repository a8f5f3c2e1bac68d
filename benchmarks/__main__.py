"""Run every benchmark, or those named: ``python -m benchmarks [m_step ...]``."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks
from benchmarks import Figure


def main(names: list[str]) -> None:
    known = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name[0] != "_"]
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}: known are {', '.join(known)}")
    print("| figure | value | ratio | against |\n|---|---|---|---|")
    for name in names or known:
        figures: list[Figure] = importlib.import_module(f"benchmarks.{name}").measure()
        for figure in figures:
            ratio = "" if figure["ratio"] is None else f"{figure['ratio']:.2f}"
            value = f"{figure['value']:,.4g} {figure['unit']}"
            print(f"| {figure['name']} | {value} | {ratio} | {figure['against']} |", flush=True)


main(sys.argv[1:])
