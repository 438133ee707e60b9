"""The only features of a shopper are purchases; models read no attribute of a person."""

import json
import re
import shutil
from datetime import date

import pandas as pd
import pytest

from pipelines.evaluation.panel import panel
from pipelines.feature_store import SERVICES, open_store
from pipelines.featurize import featurize
from pricebook.config import Demand, Response, Settings

AS_OF = date(2018, 1, 1)


def words(*names):
    """The single words of names such as `household_size`; of a plural also the singular."""
    matches = {word for name in names for word in re.findall(r"[a-z]+", name.lower())}
    return matches | {word.removesuffix("s") for word in matches}


PROTECTED = words(
    "age birth birthday born income salary wealth marital married marriage household family kids",
    "children pregnant pregnancy gender sex race ethnic ethnicity religion nationality citizenship",
    "language disability health orientation union politics home ownership postcode zip",
)


@pytest.fixture(scope="module")
def history(featured, params):
    """The training series; only twenty of them, so that the tests are quick."""
    rows = panel(AS_OF, params, featured)
    return rows[rows.sku.isin(sorted(rows.sku.unique())[:20])]


@pytest.fixture(scope="module")
def segments(featured):
    rows = pd.read_parquet(featured.features / "segment_period.parquet")
    return rows.assign(period=pd.to_datetime(rows.period))


@pytest.fixture(scope="module")
def response(history, segments):
    from models.response.model import fit

    return fit(history, segments, Response(epochs=5), seed=7)


@pytest.fixture
def panel_with_attributes(history):
    """The same series with attributes that no model may read."""
    spread = range(len(history))
    return history.assign(age=spread, income=[-x for x in spread], household_size=spread)


def attributes(settings):
    customers = pd.read_parquet(settings.validated / "customers.parquet")
    return {name for row in customers.attributes.dropna() for name in json.loads(row)}


def test_the_word_list_matches_the_default_shop_s_demographics(featured):
    known = attributes(featured)
    assert {"age", "income", "marital_status", "household_size", "household_comp"} <= known
    assert all(PROTECTED & words(name) for name in known)


def test_no_feature_file_has_a_protected_column(featured):
    files = list(featured.features.glob("*.parquet"))
    columns = {name for file in files for name in pd.read_parquet(file).columns}
    assert {"discount_affinity", "segment"} <= columns
    assert not PROTECTED & words(*columns)
    assert not attributes(featured) & columns


def test_no_feature_in_the_store_is_protected(featured):
    store = open_store(featured)
    views = {field.name for view in store.list_feature_views() for field in view.features}
    services = [store.get_feature_service(name) for name in SERVICES]
    read = {
        f.name
        for service in services
        for view in service.feature_view_projections
        for f in view.features
    }
    assert {"discount_affinity", "segment"} <= views
    assert not PROTECTED & words(*views, *read)


def test_shopper_attributes_change_no_feature(featured, params, tmp_path):
    home = Settings(home=tmp_path)
    shutil.copytree(featured.validated, home.validated)
    file = home.validated / "customers.parquet"
    customers = pd.read_parquet(file)
    customers.assign(attributes='{"age": "99", "income": "none"}').to_parquet(file, index=False)
    featurize(AS_OF, params, home)
    for file in home.features.glob("*.parquet"):
        assert file.read_bytes() == (featured.features / file.name).read_bytes(), file.name


def test_the_demand_model_reads_no_protected_column(history, panel_with_attributes):
    from models.demand.model import fit

    quick, last = Demand(epochs=1, max_series=20), history.period.max() - pd.Timedelta(weeks=3)

    def forecast(rows):
        past, planned = rows[rows.period < last], rows[rows.period >= last]
        model = fit(past, quick, 4, 7, lambda *_: None)
        return model.forecast(past, planned.drop(columns="units"))

    pd.testing.assert_frame_equal(forecast(panel_with_attributes), forecast(history))


def test_the_response_model_reads_no_protected_column(panel_with_attributes, segments, response):
    from models.response.model import fit

    fitted = fit(
        panel_with_attributes, segments.assign(age=1), Response(epochs=5), seed=7
    ).elasticities()
    pd.testing.assert_frame_equal(fitted, response.elasticities())


def test_the_exported_model_takes_a_product_a_segment_and_a_price(response, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    from models.export import export
    from models.runtime import MODEL, TABLES

    export(response, tmp_path)
    inputs = Interpreter(str(tmp_path / MODEL)).get_signature_list()["serving_default"]["inputs"]
    tables = json.loads((tmp_path / TABLES).read_text())
    known = tables["vocabularies"]
    assert "segment" in known
    assert not PROTECTED & words(*inputs, *tables, *known, *known["segment"])


def test_the_service_reads_only_segment_and_consent_of_a_shopper():
    from serving.state.online_store import FEATURES

    assert set(FEATURES) == {"shopper:segment", "shopper:consent_personalised"}
