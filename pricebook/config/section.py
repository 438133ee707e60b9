"""What the sections of params.yaml have in common."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of params.yaml: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Severity(StrEnum):
    """What a failing check does: stop the run, quarantine its rows, or only raise an alert."""

    CRITICAL = "critical"
    ROW = "row"
    WARNING = "warning"
