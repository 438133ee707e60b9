"""The model card is what the code and the results say."""

from benchmarks.model_card import CARD, card
from benchmarks.report import load_results
from models.demand.grid import COVARIATES, STATIC
from pipelines.feature_store import feature_repo


def test_the_card_is_what_the_code_and_the_results_say():
    assert CARD.read_text() == card(load_results()), "run `python -m benchmarks.model_card`"


def test_every_input_of_the_models_is_on_the_card():
    card_text = CARD.read_text()
    names = [name for name in feature_repo()["SHOPPER_FEATURES"] if not name.endswith("_at")]
    assert all(name.replace("_", " ") in card_text for name in (*COVARIATES, *STATIC, *names))


def test_a_missed_target_is_marked_on_the_card():
    bar = {"what": "WAPE", "figure": 0.4, "bar": 0.3, "at_most": True, "met": False}
    assert "WAPE: 0.4 (target: at most 0.3, **missed**)" in card({"forecast": {"bars": [bar]}})
