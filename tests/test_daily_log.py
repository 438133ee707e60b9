"""DailyLog: what one process appends, the others read, once."""

import os
import time
from datetime import datetime, timedelta

import pytest

from serving.state.daily_log import DailyLog

NOON = datetime.fromisoformat("2026-01-05T12:00:00+00:00")
DAY = timedelta(days=1)


@pytest.fixture
def reader(tmp_path):
    return DailyLog(tmp_path, "quotes", writer="reader")


def unread(log, since=NOON):
    return list(log.unread(since.date()))


def test_a_process_reads_the_lines_of_others_once_and_not_its_own(tmp_path, reader):
    DailyLog(tmp_path, "quotes", writer="other").append([b"1\n", b"2\n"], NOON)
    reader.append([b"own\n"], NOON)
    assert unread(reader) == [b"1\n", b"2\n"]
    assert unread(reader) == []


def test_a_file_created_right_after_a_listing_is_read(tmp_path, reader):
    for number in range(50):
        assert unread(reader) == []
        DailyLog(tmp_path, "quotes", writer=f"{number}").append([b"x\n"], NOON)
        assert unread(reader) == [b"x\n"]


def test_in_a_folder_unchanged_for_long_new_lines_and_files_are_read(tmp_path, reader):
    other = DailyLog(tmp_path, "quotes", writer="other")
    other.append([b"1\n"], NOON)
    long_ago = time.time() - 60
    os.utime(tmp_path, (long_ago, long_ago))
    assert unread(reader) == [b"1\n"]
    other.append([b"2\n"], NOON)
    assert unread(reader) == [b"2\n"]
    other.append([b"3\n"], NOON + DAY)  # creates a file
    assert unread(reader) == [b"3\n"]


def test_files_of_days_before_are_not_read(tmp_path, reader):
    other = DailyLog(tmp_path, "quotes", writer="other")
    other.append([b"1\n"], NOON)
    other.append([b"2\n"], NOON + DAY)
    assert unread(reader, NOON + DAY) == [b"2\n"]
    assert unread(reader, NOON) == [b"1\n"]


def test_a_line_is_read_when_its_end_has_been_written(tmp_path, reader):
    other = DailyLog(tmp_path, "quotes", writer="other")
    other.append([b"1\n2"], NOON)
    assert unread(reader) == [b"1\n"]
    other.append([b"3\n"], NOON)
    assert unread(reader) == [b"23\n"]


def test_a_missing_folder_has_no_lines(tmp_path):
    log = DailyLog(tmp_path / "log", "quotes")
    log.folder.rmdir()
    assert unread(log) == []
