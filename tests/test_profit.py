"""The profit backtest: its imports, its prices and its robustness to absurd rows."""

from __future__ import annotations

import subprocess
import sys

from pricebook.config import REPO_ROOT


def test_models_are_judged_without_importing_tensorflow():
    script = (
        "import models.evaluation.holdout, models.evaluation.plots, models.evaluation.profit\n"
        "import models.registry, sys\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPO_ROOT, check=True)
