"""The exported response model: the same numbers as Keras, without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from models.export_check import export_error
from models.runtime import ResponseRuntime, Series
from pricebook.config import REPO_ROOT, Response
from pricebook.errors import RegistryError

SKUS, PERIODS = 20, 40


@pytest.fixture(scope="module")
def model():
    from models.response.model import fit

    random = np.random.default_rng(5)
    size = SKUS * PERIODS
    sku = np.repeat(np.arange(SKUS), PERIODS)
    log_price = random.normal(0, 0.15, size)
    rows = pd.DataFrame(
        {
            "sku": [f"s{number}" for number in sku],
            "zone": "all",
            "period": list(pd.date_range("2025-01-06", periods=PERIODS, freq="7D").date) * SKUS,
            "price": 300 * np.exp(log_price),
            "department": "GROCERY",
            "category": [f"c{number % 2}" for number in sku],
            "product_type": [f"t{number % 4}" for number in sku],
        }
    )
    units = random.poisson(20 * np.exp(-1.5 * log_price))
    thirds = [units // 3, units - units // 3]
    segments = pd.concat(
        rows[["sku", "zone", "period", "price"]].assign(segment=name, units=part)
        for name, part in zip(["lapsed", "regular"], thirds, strict=True)
    )
    return fit(rows.assign(units=units), segments, Response(epochs=30), seed=7)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    from models.export import export

    directory = tmp_path_factory.mktemp("export")
    export(model, directory)
    return directory


@pytest.fixture(scope="module")
def runtime(folder):
    return ResponseRuntime.load(folder)


def test_the_export_gives_the_same_numbers_as_keras(model, runtime):
    from models.export import keras_outputs

    assert export_error(keras_outputs(model), runtime) < 1e-5


def test_the_export_of_another_model_is_detected(model, runtime):
    import keras

    from models.export import keras_outputs
    from models.response.model import ResponseModel

    other = ResponseModel(keras.models.clone_model(model.network), model.tables)
    assert export_error(keras_outputs(other), runtime) > 1e-2


def test_elasticities_and_standard_errors_equal_those_of_the_table(model, runtime):
    table = model.elasticities()
    rows = [Series(row.sku, row.zone, row.segment) for row in table.itertuples()]
    assert np.allclose(runtime.elasticity(rows), table["elasticity"], rtol=1e-5)
    assert np.allclose(runtime.stderr(rows), table["stderr"], rtol=1e-5)


def test_the_exported_table_equals_the_models_table(model, folder):
    written = json.loads((folder / "response.json").read_text())["elasticities"]
    table = model.elasticities().groupby("segment")["elasticity"]
    for segment, values in table:
        assert np.allclose(written[segment]["elasticity"], values, atol=1e-6)


def test_the_demand_ratio_at_the_reference_price_is_one(runtime):
    assert runtime.demand_ratio([Series("s1")], np.ones((1, 1))) == pytest.approx(1.0)


def test_a_higher_price_has_lower_demand(runtime):
    ladder = np.tile(np.linspace(0.4, 1.6, 50), (SKUS, 1))
    demand = runtime.demand_ratio([Series(f"s{i}") for i in range(SKUS)], ladder)
    assert (np.diff(demand, axis=1) < 0).all()


def test_an_unknown_sku_has_the_elasticity_of_its_type_and_a_larger_error(runtime):
    labels = {"department": "GROCERY", "category": "c1", "product_type": "t1"}
    known, unknown = Series("s1"), Series("never seen", **labels)
    value = runtime.elasticity([known, unknown])
    assert value[1] == pytest.approx(value[0], abs=0.3)
    assert np.diff(runtime.stderr([known, unknown])) > 0


def test_fewer_known_labels_give_a_larger_error(runtime):
    labels = {"department": "GROCERY", "category": "c1", "product_type": "t1"}
    depths = [{}, {"department": "GROCERY"}, labels]
    spread = runtime.vocabulary.variance(
        runtime.vocabulary.indices([Series("never seen", **known) for known in depths])
    )
    assert (np.diff(spread) < 0).all()


def test_an_unknown_segment_is_treated_as_everyone(runtime):
    unknown, other = runtime.elasticity([Series("s1", segment="martian"), Series("s1")])
    assert unknown == other


@pytest.mark.parametrize(("rows", "rungs"), [(1, 30), (1000, 30), (7, 1), (3, 0), (0, 5)])
def test_any_batch_size_and_ladder_length_works(runtime, rows, rungs):
    demand = runtime.demand_ratio([Series("s1")] * rows, np.full((rows, rungs), 0.9))
    assert demand.shape == (rows, rungs)
    assert runtime.elasticity([Series("s1")] * rows).shape == (rows,)


def test_a_batch_gives_the_same_numbers_as_single_rows(runtime):
    rows = [Series("s1"), Series("s2", segment="regular"), Series("never seen")]
    ratios = np.array([[0.8, 1.1], [0.7, 0.9], [0.6, 1.0]])
    singles = [runtime.demand_ratio([row], ratios[[i]])[0] for i, row in enumerate(rows)]
    assert np.allclose(runtime.demand_ratio(rows, ratios), singles)


def test_threads_with_different_batches_get_their_own_results(runtime):
    def ask(number: int) -> bool:
        rows = [Series(f"s{number % SKUS}")] * (1 + number % 5)
        demand = runtime.demand_ratio(rows, np.full((len(rows), 1 + number % 3), 0.9))
        return bool(np.allclose(demand, expected[number % SKUS]))

    series = [Series(f"s{number}") for number in range(SKUS)]
    expected = runtime.demand_ratio(series, np.full((SKUS, 1), 0.9))[:, 0]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2000)))


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_a_price_ratio_that_is_not_finite_and_positive_is_refused(runtime, wrong):
    with pytest.raises(ValueError, match=r"finite and above 0\. Received"):
        runtime.demand_ratio([Series("s1")], np.array([[wrong]]))


def test_ratios_with_another_number_of_rows_are_refused(runtime):
    with pytest.raises(ValueError, match=r"must be \[1, k\]. Received: \(2, 3\)"):
        runtime.demand_ratio([Series("s1")], np.ones((2, 3)))


def test_a_missing_export_is_named(tmp_path):
    with pytest.raises(RegistryError, match=r"response.tflite"):
        ResponseRuntime.load(tmp_path)


def test_another_format_is_refused(folder, tmp_path):
    (tmp_path / "response.tflite").write_bytes((folder / "response.tflite").read_bytes())
    (tmp_path / "response.json").write_text('{"format": 99}')
    with pytest.raises(RegistryError, match="Received: 99"):
        ResponseRuntime.load(tmp_path)


def test_the_runtime_never_imports_tensorflow(folder):
    script = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from models.runtime import ResponseRuntime, Series\n"
        f"runtime = ResponseRuntime.load(Path({str(folder)!r}))\n"
        "runtime.demand_ratio([Series('s1')], np.ones((1, 30)))\n"
        "assert not {'tensorflow', 'keras', 'pandas'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPO_ROOT, check=True)


def test_a_ladder_takes_less_than_half_a_millisecond(runtime):
    ladder, times = np.linspace(0.7, 1.0, 30)[None], []
    for _ in range(200):
        start = time.perf_counter()
        runtime.demand_ratio([Series("s1")], ladder)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 5e-4
