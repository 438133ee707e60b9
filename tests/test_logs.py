"""The service's log: lines of JSON that tell which quotes they are about, and of no shopper."""

import json
import logging
from datetime import datetime

from pricebook.signals import Event
from serving.http.handlers import _sold
from serving.live.event_log import EventLog
from serving.logs import Lines
from serving.state.daily_log import DailyLog

NOON = datetime.fromisoformat("2026-01-05T12:00:00+00:00")


def line(record):
    (text,) = Lines().format(record).splitlines()
    return json.loads(text)


def test_a_record_is_one_line_of_json_whatever_it_says(caplog):
    logging.getLogger("pricebook.desk").error("%s\n%s", "é", "\udcff")
    told = line(caplog.records[-1])
    assert list(told) == ["time", "level", "pid", "logger", "message"]
    assert (told["level"], told["logger"]) == ("ERROR", "pricebook.desk")
    assert told["message"] == "é\n\udcff"
    assert datetime.fromisoformat(told["time"]).tzinfo is not None


def test_of_what_is_added_only_quotes_are_told(caplog):
    about = {"quote_id": "q1", "quote_ids": ["q2"], "customer_id": "ann"}
    logging.getLogger("pricebook.desk").error("held", extra=about)
    told = line(caplog.records[-1])
    assert (told["quote_id"], told["quote_ids"], "ann" in str(told)) == ("q1", ["q2"], False)


def test_what_was_raised_is_told_whole(caplog):
    try:
        raise ValueError("of this")
    except ValueError:
        logging.getLogger("pricebook.desk").exception("it failed")
    assert line(caplog.records[-1])["error"].endswith("ValueError: of this")


def test_orders_that_are_not_joined_name_their_quotes(tmp_path, caplog):
    journal = DailyLog(tmp_path / "log", "quotes")
    journal.folder.rmdir()
    order = Event("o1", NOON, "order", "milk", quantity=2, quote_id="q1", customer_id="ann")
    _sold(journal, [order], NOON)
    told = line(caplog.records[-1])
    assert (told["quote_ids"], "ann" in str(told)) == (["q1"], False)


def test_a_line_that_is_no_event_tells_no_shopper(tmp_path, caplog):
    log = EventLog(tmp_path)
    (tmp_path / "events-2026-01-05.jsonl").write_text('{"customer_id":"ann","kind":"view"}\n')
    assert list(log.unread(NOON.date())) == []
    assert "missing. Received: 36 bytes" in caplog.text
    assert "ann" not in caplog.text
