"""The inputs of a run: params.yaml with the values of the trigger form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import ValidationError

from pricebook.config import Params, Settings, load_params
from pricebook.errors import ConfigError, EmptyHistory
from pricebook.files import read_json

Inputs = tuple[date, Params, Settings]

# form field: the key in params.yaml that it replaces
FIELDS = {
    "sample": "ingest.sample",
    "quarantine_limit": "validate.quarantine_limit",
    "seed": "train.seed",
    "demand_epochs": "train.demand.epochs",
    "response_epochs": "train.response.epochs",
}


def refresh_inputs(form: Mapping[str, Any], settings: Settings) -> Inputs:
    """The inputs of a stage of `refresh`. An empty field leaves the value of params.yaml.

    Raises:
        ConfigError: params.yaml or a field of the form is wrong.
    """
    from pipelines.ingest import resolve_as_of

    params = apply_form(form, load_params(settings.params))
    return _as_of(form) or resolve_as_of(params, settings), params, settings


def retrain_inputs(form: Mapping[str, Any], settings: Settings) -> Inputs:
    """The inputs of a stage of `retrain`: as `refresh_inputs`, at the cut-off of the features.

    Raises:
        ConfigError: params.yaml or a field of the form is wrong.
        EmptyHistory: the home has no features.
    """
    params = apply_form(form, load_params(settings.params))
    return _as_of(form) or _features_as_of(settings), params, settings


def apply_form(form: Mapping[str, Any], params: Params) -> Params:
    """Return `params` with the values of the form.

    Raises:
        ConfigError: a value is out of its range.
    """
    tree = params.model_dump(by_alias=True)
    for field, key in FIELDS.items():
        if form.get(field) is not None:
            _set(tree, key.split("."), form[field])
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"The form's {where}: {problem['msg']}. Received: {problem['input']!r}"
        ) from None


def _set(tree: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for parent in parents:
        tree = tree[parent]
    tree[last] = value


def _as_of(form: Mapping[str, Any]) -> date | None:
    text = form.get("as_of")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigError(f"as_of is not a date (YYYY-MM-DD). Received: {text!r}") from None


def _features_as_of(settings: Settings) -> date:
    manifest = settings.features / "manifest.json"
    if not manifest.exists():
        raise EmptyHistory(
            f"No features to train on. Run `refresh` first. Received: {manifest} is missing"
        )
    return date.fromisoformat(read_json(manifest)["as_of"])
