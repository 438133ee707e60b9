"""Run all benchmarks one after the other, each in its own process, then write docs/benchmarks.md.

    python -m benchmarks

If one fails, the others still run. The command then exits with an error that names it.
"""

import argparse
import subprocess
import sys

RUNS = (
    ("forecast",),
    ("forecast", "--series", "all"),
    ("training",),
    ("response",),
    ("censoring",),
    ("profit",),
    ("anyshop",),
    ("offpolicy",),
    ("personal",),
    ("featurize",),
    ("serving",),
)


def run(name: str, *arguments: str) -> bool:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    failed = [" ".join(words) for words in RUNS if not run(*words)]
    run("report")
    if failed:
        sys.exit(f"Some benchmarks failed. Received: {', '.join(failed)}")


if __name__ == "__main__":
    main()
