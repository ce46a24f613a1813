"""Long work shows how far it is, in plain lines where there is no terminal."""

import re

from ensemble.execute import progress as shown


def test_no_rate_before_the_first_piece_has_ended(monkeypatch, capsys):
    monkeypatch.setattr(shown, "LOG_EVERY", 0.0)
    with shown.progress("starts", 4, 0, "ended") as advance:
        advance(0)
        advance(1)
        advance(3)
    first, second, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"starts: 0/4 ended, none ended in [\d,]+ s", first)
    assert re.fullmatch(r"starts: 1/4 ended, [\d,.]+ ended/s, [\d,]+ s left", second)
    assert last.startswith("starts: 4/4 ended") and last.endswith(", 0 s left")


def test_what_was_there_before_does_not_count_as_fast(monkeypatch, capsys):
    monkeypatch.setattr(shown, "LOG_EVERY", 0.0)
    with shown.progress("run", 100, 90, "members") as advance:
        advance(0)
    assert "none ended" in capsys.readouterr().err


def test_a_finished_job_and_a_quiet_one_say_nothing(capsys):
    for total, done, quiet in ((4, 4, False), (4, 0, True)):
        with shown.progress("run", total, done, "members", quiet) as advance:
            advance(4)
    assert capsys.readouterr().err == ""
