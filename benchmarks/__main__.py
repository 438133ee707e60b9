"""Every benchmark in turn, each in a process of its own: `python -m benchmarks`."""

import subprocess
import sys

for name in ("forecast", "featurize"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
