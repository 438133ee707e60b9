"""MLflow: runs, the model registry and its aliases. No other module imports MLflow.

Two registered models, `demand` and `response`, are promoted as a pair. The alias `champion` names
the versions that the service runs, `previous` those that it ran before.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from models.artifacts import update_artifact_paths
from pricebook.config import Settings
from pricebook.errors import RegistryError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MODELS = ("demand", "response")
CHAMPION, PREVIOUS = "champion", "previous"
EXPERIMENT = "pricebook"
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


class Run:
    """An open MLflow run."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self.id = client, run_id

    def params(self, params: Mapping[str, Any]) -> None:
        for name, value in params.items():
            self._client.log_param(self.id, name, value)

    def metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self.id, name, float(value), step=step)

    def tags(self, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._client.set_tag(self.id, name, value)

    def record(self, value: Mapping[str, Any], name: str) -> None:
        self._client.log_dict(self.id, dict(value), name)

    def figure(self, figure: Figure, name: str) -> None:
        self._client.log_figure(self.id, figure, f"plots/{name}.png")


class Registry:
    """Runs and model versions in one MLflow tracking store.

    Methods raise RegistryError for a version that does not exist.
    """

    def __init__(self, settings: Settings) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        import mlflow

        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)
        settings.state.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(settings.mlflow)
        self._mlflow = mlflow
        self._artifacts = settings.state / "mlartifacts"
        with FileLock(settings.state / "mlflow.lock"):  # only one process may create the tables
            self._client = mlflow.MlflowClient(settings.mlflow)
            self._experiment()
            if settings.mlflow_url is None:
                update_artifact_paths(settings.state / "mlflow.db", EXPERIMENT, self._artifacts)

    def _experiment(self) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        location = None if self._artifacts_are_remote() else self._artifacts.as_uri()
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=location))

    def _artifacts_are_remote(self) -> bool:
        return self._mlflow.get_tracking_uri().startswith("http")

    @contextmanager
    def run(self, name: str) -> Iterator[Run]:
        """Open a run; it ends as FINISHED, or as FAILED if the block raises."""
        run = self._mlflow.start_run(experiment_id=self._experiment(), run_name=name)
        with run as opened:
            yield Run(self._client, opened.info.run_id)

    def register(self, name: str, folder: Path, example: pd.DataFrame, output: pd.DataFrame) -> str:
        """Log a saved model in the open run and register it.

        Args:
            name: of the registered model; the package `models.<name>` must define `_load_pyfunc`.
            folder: the files that the model's `save` wrote.
            example: a few input rows; with their `output` they define the signature.

        Returns:
            the new version.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of guessed types; the signature sets them
            logged = self._mlflow.pyfunc.log_model(
                name=name,
                loader_module=f"models.{name}",
                data_path=str(folder),
                signature=self._mlflow.models.infer_signature(example, output),
                pip_requirements=["pricebook[pipelines]"],
            )
        with redirect_stderr(StringIO()):  # MLflow prints the new version; the caller logs it
            return str(self._mlflow.register_model(logged.model_uri, name).version)

    def newest(self, name: str) -> str:
        """The newest version of a model.

        Raises:
            RegistryError: the model has no version.
        """
        versions = self._client.search_model_versions(f"name = '{name}'")
        if not versions:
            raise RegistryError(f"Train the {name} model first. Received: no version of it")
        return str(max(int(version.version) for version in versions))

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(name, version, key, value)

    def download(self, name: str, version: str, folder: Path) -> Path:
        """Copy the files that the model's `save` wrote into `folder`.

        Raises:
            RegistryError: there is no such version, or its files are lost.
        """
        source = self._version(name, version).source
        with tempfile.TemporaryDirectory() as scratch:
            try:
                downloaded = self._mlflow.artifacts.download_artifacts(source, dst_path=scratch)
                (saved,) = (Path(downloaded) / "data").iterdir()
            except (self._mlflow.exceptions.MlflowException, OSError) as error:
                raise RegistryError(
                    f"The files of {name} {version} cannot be read: {error}. Received: {source}"
                ) from None
            shutil.copytree(saved, folder, dirs_exist_ok=True)
        return folder

    def origin(self, name: str, version: str) -> Mapping[str, Any]:
        """The params, metrics and tags of the run that trained a version."""
        data = self._client.get_run(self._version(name, version).run_id).data
        return {"params": data.params, "metrics": data.metrics, "tags": data.tags}

    def recorded(self, name: str, version: str, file: str) -> dict[str, Any]:
        """A JSON file that the run which trained a version has recorded."""
        source = f"runs:/{self._version(name, version).run_id}/{file}"
        return dict(self._mlflow.artifacts.load_dict(source))

    def aliased(self, alias: str) -> dict[str, str]:
        """The versions with an alias, by model name; empty if there are none yet.

        >>> Registry(settings).aliased("champion")  # doctest: +SKIP
        {'demand': '3', 'response': '4'}
        """
        versions = {name: self._aliased(name, alias) for name in MODELS}
        return {name: version for name, version in versions.items() if version is not None}

    def _aliased(self, name: str, alias: str) -> str | None:
        registered = self._client.search_registered_models(f"name = '{name}'")
        return (
            str(registered[0].aliases[alias])
            if registered and alias in registered[0].aliases
            else None
        )

    def _version(self, name: str, version: str) -> Any:
        try:
            return self._client.get_model_version(name, version)
        except self._mlflow.exceptions.MlflowException as error:
            raise RegistryError(
                f"No {name} model {version}: {error}. Received: {version}"
            ) from None

    def promote(self, pair: Mapping[str, str]) -> None:
        """Make `pair` the champion and the champion `previous`; a second call changes nothing."""
        champion = self.aliased(CHAMPION)
        if champion == dict(pair):
            return
        for name, version in pair.items():
            self._version(name, version)
        for name, version in champion.items():
            self._client.set_registered_model_alias(name, PREVIOUS, version)
        for name, version in pair.items():
            self._client.set_registered_model_alias(name, CHAMPION, version)
