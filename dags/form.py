"""The fields of the two trigger forms.

A field left empty means: what params.yaml says. Airflow checks the types and ranges before a run
starts; `pipelines.inputs.apply_form` puts the filled ones over params.yaml.
"""

from __future__ import annotations

from airflow.sdk import Param

MODELS = ["demand", "response"]


def _as_of(section: str, otherwise: str) -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="As of",
        description=f"The cut-off: only what happened before this day is read. Empty: {otherwise}.",
        section=section,
    )


def _number(title: str, section: str, description: str, **limits: float) -> Param:
    kind = "number" if "maximum" in limits else "integer"
    note = f"{description} Empty: what params.yaml says."
    return Param(
        None, type=["null", kind], title=title, description=note, section=section, **limits
    )


def refresh_form() -> dict[str, Param]:
    """What `refresh` asks before it starts."""
    read, strict = "What to read", "How strict to be"
    return {
        "as_of": _as_of(read, "what params.yaml says, else the day after the last order"),
        "sample": _number(
            "Share of skus", read, "Keep this share of the skus (0 to 1).", minimum=0, maximum=1
        ),
        "quarantine_limit": _number(
            "Quarantine limit",
            strict,
            "Stop when more than this share of a table's rows fails its row checks (0 to 1).",
            minimum=0,
            maximum=1,
        ),
    }


def retrain_form() -> dict[str, Param]:
    """What `retrain` asks before it starts."""
    what, how, after = "What to train", "How to train", "What happens next"
    return {
        "models": Param(
            MODELS,
            type="array",
            items={"type": "string", "enum": MODELS},
            examples=MODELS,
            minItems=1,
            title="Models",
            description="A model left out is not trained: the champion's goes into the pair.",
            section=what,
        ),
        "as_of": _as_of(what, "the cut-off the features were built with"),
        "demand_epochs": _number(
            "Demand epochs", how, "Passes over the data for the demand model.", minimum=1
        ),
        "response_epochs": _number(
            "Response epochs", how, "Passes over the data for the response model.", minimum=1
        ),
        "seed": _number("Seed", how, "The same seed and data give the same model.", minimum=0),
        "promote": Param(
            True,
            type="boolean",
            title="Promote",
            description="Serve the new pair if the gate passes it. Off is a dry run: train, judge, "
            "change nothing.",
            section=after,
        ),
    }
