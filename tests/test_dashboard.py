"""The Grafana dashboard asks only for what the service tells."""

import json
import re
import subprocess
import sys

from pricebook.config import REPO_ROOT

PANELS = json.loads((REPO_ROOT / "docs" / "grafana.json").read_text())["panels"]
ASKED = {
    name
    for panel in PANELS
    for target in panel["targets"]
    for name in re.findall(r"pricebook_\w+", target["expr"])
}
TELL = """
from prometheus_client import generate_latest
from serving.metrics import Counters
counters = Counters()
print(generate_latest().decode())
"""


def test_every_metric_on_the_dashboard_is_one_of_the_service_s():
    done = subprocess.run(
        [sys.executable, "-c", TELL], cwd=REPO_ROOT, capture_output=True, text=True, check=True
    )
    told = set(re.findall(r"# TYPE (pricebook_\w+)", done.stdout))
    assert {name for name in ASKED if name not in told} == set()
    assert len(ASKED) == len({name for name in told if not name.endswith("_created")})
