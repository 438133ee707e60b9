"""The fields of the two trigger forms.

A field that is left empty keeps the value of params.yaml. Airflow checks types and ranges before a
run starts. `pipelines.inputs.apply_form` applies the other fields.
"""

from __future__ import annotations

from airflow.sdk import Param

MODELS = ["demand", "response"]


def _as_of(section: str, default: str) -> Param:
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="As of",
        description=f"The cut-off: only data from before this day is read. Empty: {default}.",
        section=section,
    )


def _number(title: str, section: str, description: str, **limits: float) -> Param:
    kind = "number" if "maximum" in limits else "integer"
    note = f"{description} Empty: the value of params.yaml."
    return Param(
        None, type=["null", kind], title=title, description=note, section=section, **limits
    )


def refresh_form() -> dict[str, Param]:
    """The fields of the form of `refresh`."""
    read, strict = "What to read", "How strict to be"
    return {
        "as_of": _as_of(read, "the value of params.yaml, else the day after the last order"),
        "sample": _number(
            "Share of skus",
            read,
            "Read only this share of the skus (0 to 1).",
            minimum=0,
            maximum=1,
        ),
        "quarantine_limit": _number(
            "Quarantine limit",
            strict,
            "Stop if more than this share of the rows of a table fails its row checks (0 to 1).",
            minimum=0,
            maximum=1,
        ),
    }


def retrain_form() -> dict[str, Param]:
    """The fields of the form of `retrain`."""
    what, how, after = "What to train", "How to train", "What happens next"
    return {
        "models": Param(
            MODELS,
            type="array",
            items={"type": "string", "enum": MODELS},
            examples=MODELS,
            minItems=1,
            title="Models",
            description="A model that is not selected keeps the champion's version.",
            section=what,
        ),
        "as_of": _as_of(what, "the cut-off of the features"),
        "demand_epochs": _number(
            "Demand epochs", how, "Passes over the data to train the demand model.", minimum=1
        ),
        "response_epochs": _number(
            "Response epochs", how, "Passes over the data to train the response model.", minimum=1
        ),
        "seed": _number("Seed", how, "The same seed and data give the same model.", minimum=0),
        "promote": Param(
            True,
            type="boolean",
            title="Promote",
            description="Serve the new models if the gate passes them. Off is a dry run: train and "
            "judge, but change nothing.",
            section=after,
        ),
    }
