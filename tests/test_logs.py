"""The service's log: JSON lines that name the quotes they are about, and no shopper."""

import json
import logging
from datetime import datetime

from pricebook.events import Event
from serving.http.handlers import log_orders
from serving.live.event_log import EventLog
from serving.logs import JsonFormatter
from serving.state.daily_log import DailyLog

NOON = datetime.fromisoformat("2026-01-05T12:00:00+00:00")


def parsed(record):
    (line,) = JsonFormatter().format(record).splitlines()
    return json.loads(line)


def test_a_record_is_one_json_line_whatever_its_message():
    # Made here, not logged: pytest cannot send a captured lone surrogate between its processes.
    record = {"name": "pricebook.desk", "levelname": "ERROR", "msg": "%s\n%s"}
    line = parsed(logging.makeLogRecord(record | {"args": ("é", "\udcff")}))
    assert list(line) == ["time", "level", "pid", "logger", "message"]
    assert (line["level"], line["logger"]) == ("ERROR", "pricebook.desk")
    assert line["message"] == "é\n\udcff"
    assert datetime.fromisoformat(line["time"]).tzinfo is not None


def test_of_the_extra_fields_only_quote_ids_are_written(caplog):
    extra = {"quote_id": "q1", "quote_ids": ["q2"], "customer_id": "zoe"}
    logging.getLogger("pricebook.desk").error("locked", extra=extra)
    line = parsed(caplog.records[-1])
    assert (line["quote_id"], line["quote_ids"], "zoe" in str(line)) == ("q1", ["q2"], False)


def test_an_exception_is_written_with_its_traceback(caplog):
    try:
        raise ValueError("of this")
    except ValueError:
        logging.getLogger("pricebook.desk").exception("it failed")
    assert parsed(caplog.records[-1])["error"].endswith("ValueError: of this")


def test_when_orders_cannot_be_logged_the_error_names_their_quotes(tmp_path, caplog):
    journal = DailyLog(tmp_path / "log", "quotes")
    journal.folder.rmdir()
    order = Event("o1", NOON, "order", "milk", quantity=2, quote_id="q1", customer_id="zoe")
    log_orders(journal, [order], NOON)
    line = parsed(caplog.records[-1])
    assert (line["quote_ids"], "zoe" in str(line)) == (["q1"], False)


def test_the_error_about_an_unreadable_event_does_not_name_the_shopper(tmp_path, caplog):
    log = EventLog(tmp_path)
    (tmp_path / "events-2026-01-05.jsonl").write_text('{"customer_id":"zoe","kind":"view"}\n')
    assert list(log.unread(NOON.date())) == []
    assert "missing. Received: 36 bytes" in caplog.text
    assert "zoe" not in caplog.text
