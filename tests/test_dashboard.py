"""The Grafana dashboard uses exactly the metrics that the service exports."""

import json
import re
import subprocess
import sys

from pricebook.config import REPO_ROOT

PANELS = json.loads((REPO_ROOT / "docs" / "grafana.json").read_text())["panels"]
USED = {
    name
    for panel in PANELS
    for target in panel["targets"]
    for name in re.findall(r"pricebook_\w+", target["expr"])
}
PRINT_METRICS = """
from prometheus_client import generate_latest
from serving.metrics import ServiceMetrics
metrics = ServiceMetrics()
print(generate_latest().decode())
"""


def test_the_dashboard_and_the_service_have_the_same_metrics():
    command = [sys.executable, "-c", PRINT_METRICS]
    run = subprocess.run(command, cwd=REPO_ROOT, capture_output=True, text=True, check=True)
    exported = set(re.findall(r"# TYPE (pricebook_\w+)", run.stdout))
    assert {name for name in USED if name not in exported} == set()
    assert len(USED) == len({name for name in exported if not name.endswith("_created")})
