"""A run's inputs: the trigger form laid over params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import ValidationError

from pricebook.config import Params, Settings, load_params
from pricebook.errors import ConfigError, EmptyHistory
from pricebook.files import read_json

Inputs = tuple[date, Params, Settings]

# form field: where its value goes in params.yaml
PLACES = {
    "sample": "ingest.sample",
    "quarantine_limit": "validate.quarantine_limit",
    "seed": "train.seed",
    "demand_epochs": "train.demand.epochs",
    "response_epochs": "train.response.epochs",
}


def refresh_inputs(form: Mapping[str, Any], settings: Settings) -> Inputs:
    """What a stage of `refresh` takes; an empty field leaves params.yaml as it is.

    Raises:
        ConfigError: params.yaml or a field of the form is wrong.
    """
    from pipelines.ingest import resolve_as_of

    params = apply_form(form, load_params(settings.params))
    return _given(form) or resolve_as_of(params, settings), params, settings


def retrain_inputs(form: Mapping[str, Any], settings: Settings) -> Inputs:
    """What a stage of `retrain` takes: as `refresh_inputs`, as of when the features were built.

    Raises:
        ConfigError: params.yaml or a field of the form is wrong.
        EmptyHistory: there are no features yet.
    """
    params = apply_form(form, load_params(settings.params))
    return _given(form) or _features_as_of(settings), params, settings


def apply_form(form: Mapping[str, Any], params: Params) -> Params:
    """`params` with the filled fields of the form put over it.

    Raises:
        ConfigError: a value is out of its range.
    """
    tree = params.model_dump(by_alias=True)
    for field, place in PLACES.items():
        if form.get(field) is not None:
            _put(tree, place.split("."), form[field])
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"The form's {where}: {problem['msg']}. Received: {problem['input']!r}"
        ) from None


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for parent in parents:
        tree = tree[parent]
    tree[last] = value


def _given(form: Mapping[str, Any]) -> date | None:
    text = form.get("as_of")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigError(f"as_of is not a date (YYYY-MM-DD). Received: {text!r}") from None


def _features_as_of(settings: Settings) -> date:
    manifest = settings.features / "manifest.json"
    if not manifest.exists():
        raise EmptyHistory(f"No features to learn from; run refresh first. Received: {manifest}")
    return date.fromisoformat(read_json(manifest)["as_of"])
