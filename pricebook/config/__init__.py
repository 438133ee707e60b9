"""Configuration: `Params` from params.yaml, and `Settings` from PRICEBOOK_* variables.

Params are decisions about the shop and its models. Settings say where files and servers are. No
other code reads the environment or params.yaml. Importing this package reads neither.
"""

from pricebook.config.params import Params, cutoff, load_params
from pricebook.config.personal import Personal, Purpose
from pricebook.config.section import Section, Severity, Share
from pricebook.config.settings import REPO_ROOT, Settings
from pricebook.config.shop import Costs, Shop, TableFile
from pricebook.config.stages import (
    Demand,
    Experiment,
    Featurize,
    Gate,
    Ingest,
    Materialize,
    Objective,
    PriorPrice,
    Promote,
    Quote,
    Response,
    Train,
    Validate,
)

__all__ = [
    "REPO_ROOT",
    "Costs",
    "Demand",
    "Experiment",
    "Featurize",
    "Gate",
    "Ingest",
    "Materialize",
    "Objective",
    "Params",
    "Personal",
    "PriorPrice",
    "Promote",
    "Purpose",
    "Quote",
    "Response",
    "Section",
    "Settings",
    "Severity",
    "Share",
    "Shop",
    "TableFile",
    "Train",
    "Validate",
    "cutoff",
    "load_params",
]
