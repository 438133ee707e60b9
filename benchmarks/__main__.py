"""Every benchmark in turn, each in a process of its own, then their page of the docs.

    python -m benchmarks

One that fails does not keep the others from running; the command then ends with its name.
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
        sys.exit(f"Not every benchmark ran to its end. Received: {', '.join(failed)}")


if __name__ == "__main__":
    main()
