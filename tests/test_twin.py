"""The twin through its commands: data as it comes, exactly once, every past state kept."""

import json
import shutil
import time

import numpy as np
import pytest
from twin_studies import LINE, LINE_DATA, POOLS, POOLS_DATA, folder
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.errors import Damaged, InputError, StoreRefused
from ensemble.pipeline.twinning import update_twin
from ensemble.provenance import digest_of
from ensemble.store.lock import WriterLock
from ensemble.twin.archive import path_of
from ensemble.twin.journal import Journal, journal_folder
from ensemble.twin.twin import open_twin

HEAD, *ROWS = LINE_DATA.split()
SITE = "study/site/level/20"
SMALL = LINE.replace("particles: 1024, forecast_draws: 256", "particles: 128, forecast_draws: 64")


def begin(path, rows, text=SMALL):
    """A twin that has taken in some rows of the line's table."""
    study = folder(path, text, "\n".join([HEAD, *rows]) + "\n")
    update_twin(path / "line.zarr", study=study, quiet=True)
    return path / "line.zarr"


def arrive(store, *rows, head=HEAD, name="new.csv"):
    file = store.with_name(name)
    file.write_text("\n".join([head, *rows]) + "\n")
    return update_twin(store, [file], quiet=True)


def knowledge(store):
    """Particles after the last step."""
    twin = open_twin(journal_folder(store))
    arrays, _ = twin.snapshot(twin.steps()[-1])
    return arrays["scores"], arrays["log_weights"]


def same(first, second):
    for a, b in zip(knowledge(first), knowledge(second), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


def kinds(store):
    return [entry.kind for entry in Journal(journal_folder(store)).entries]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The twin that got everything at once."""
    return begin(tmp_path_factory.mktemp("whole"), ROWS)


def copy_of(store, path):
    """A twin of its own in another folder."""
    shutil.copytree(store.parent, path, dirs_exist_ok=True)
    return path / store.name


def test_late_and_duplicate_rows_give_what_the_whole_gives_and_are_said(tmp_path, whole):
    store = begin(tmp_path, [*ROWS[:2], *ROWS[3:5]])
    assert kinds(store) == ["received", "begin", "step", "step", "step"]
    archived = {
        file: file.read_bytes() for file in journal_folder(store).rglob("*.*") if file.suffix in (".npz", ".json")
    }
    result = arrive(store, ROWS[2], ROWS[4], *ROWS[5:])
    assert len(archived) == 11 and all(file.read_bytes() == data for file, data in archived.items())
    assert "3 new, 1 known already" in result.lines[0]
    assert any(
        "replayed from the end of 2000: measurements up to the end of 2006 came late or changed" in line
        for line in result.lines
    )
    assert any(line.startswith("one step ahead: ") for line in result.lines)
    same(store, whole)
    standing, steps = open_twin(journal_folder(store)).standing(), open_twin(journal_folder(whole)).steps()
    assert [s.data["date"] for s in standing] == [s.data["date"] for s in steps]  # the replay's, each date once
    before = len(kinds(store))
    assert any("nothing new" in line for line in update_twin(store, quiet=True).lines)
    arrive(store, *ROWS, name="again.csv")  # another file with rows that are all known
    assert len(kinds(store)) == before + 1  # the file is logged, nothing is done


def test_a_damaged_snapshot_is_made_again_from_the_last_good_one(tmp_path, whole):
    store = begin(tmp_path, ROWS[:4])
    twin = open_twin(journal_folder(store))
    last = twin.steps()[-1]
    file = path_of(twin.folder, "snapshots", last.data["digest"])
    intact = file.read_bytes()
    file.write_bytes(intact[:-20])
    result = arrive(store, *ROWS[4:])
    assert any(line.endswith("is damaged") and line.startswith("replayed from ") for line in result.lines)
    assert file.read_bytes() == intact
    same(store, whole)


def test_revised_and_withdrawn_rows(tmp_path, whole):
    wrong = ROWS[3].replace("2.8", "8.8")
    store = begin(tmp_path, [*ROWS[:3], wrong, *ROWS[4:]])
    with pytest.raises(
        InputError, match=r"new.csv:2: value: '.*2005.*' was taken in before and differs \(value 8.8 -> 2.8\)"
    ):
        arrive(store, ROWS[3])
    result = arrive(store, ROWS[3] + ",revised", head=HEAD + ",status")
    assert "1 revised" in result.lines[0] and any("replayed from the end of 2002" in line for line in result.lines)
    same(store, whole)
    twin = open_twin(journal_folder(store))
    name = next(name for name, row in twin.rows.items() if row["value"] == 5.9)
    earlier = twin.snapshot(twin.steps()[-2])[0]["scores"]
    result = arrive(store, f"{name},,,withdrawn", head="id,time,value,status", name="back.csv")
    assert "1 withdrawn" in result.lines[0] and result.lines[1].startswith("back to what was known at the end of 2008")
    np.testing.assert_array_equal(knowledge(store)[0], earlier)  # without it, what was known before it
    assert name not in open_twin(journal_folder(store)).rows
    with pytest.raises(InputError, match=f"no measurement 'nothing' to withdraw; most like it: {SITE}"):
        arrive(store, "nothing,,,withdrawn", head="id,time,value,status", name="no.csv")


def test_every_past_state_can_be_opened(whole):
    first = next(e.number for e in Journal(journal_folder(whole)).entries if e.kind == "step")
    result = CliRunner().invoke(app, ["update", str(whole), "--at", str(first)])
    assert result.exit_code == 0 and "known at the end of 2000" in result.output and "slope" in result.output
    result = CliRunner().invoke(app, ["update", str(whole), "--at", "1"])
    assert result.exit_code == 2 and "is no step" in result.output


def test_a_kill_loses_nothing_and_takes_nothing_twice(tmp_path, whole, monkeypatch):
    study = folder(tmp_path, SMALL, LINE_DATA)
    store, append, left = tmp_path / "line.zarr", Journal.append, [0]

    def dying(self, kind, data):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return append(self, kind, data)

    monkeypatch.setattr(Journal, "append", dying)
    for survived in (0, 1, 3):  # before the table is logged, before the line begins, in the middle of the dates
        left[0] = survived
        with pytest.raises(KeyboardInterrupt):
            update_twin(store, study=study, quiet=True)
    left[0] = 100
    update_twin(store, study=study, quiet=True)
    same(store, whole)
    assert sorted(kinds(store)) == sorted(kinds(whole))


def test_a_changed_prior_begins_a_new_line(tmp_path, whole):
    store = copy_of(whole, tmp_path)
    study = tmp_path / "study.yaml"
    # what only looks ahead changes no line
    study.write_text(SMALL.replace("horizon: 10", "horizon: 5"))
    update_twin(store, study=study, quiet=True)
    assert len(open_twin(journal_folder(store)).begins) == 1
    study.write_text(SMALL.replace("mean: 0, sd: 1", "mean: 0, sd: 2"))
    result = update_twin(store, study=study, quiet=True)
    assert any("line 2 begins" in line and "slope" in line for line in result.lines)
    twin = open_twin(journal_folder(store))
    assert len(twin.steps(1)) == len(twin.steps(2)) == 6
    assert not np.allclose(knowledge(store)[0], knowledge(whole)[0])


def test_an_inbox_takes_each_file_once_and_one_wrong_file_stops_no_other(tmp_path):
    store = begin(tmp_path, ROWS[:3])
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "a.csv").write_text("time,value\n1990,3\n")
    (inbox / "b.csv").write_text("\n".join([HEAD, *ROWS[3:5]]) + "\n")
    (inbox / "half.csv").write_text("time,value\n2006,4.")
    (inbox / ".hidden.csv").write_text("nonsense")
    result = CliRunner().invoke(app, ["--quiet", "update", str(store), "--inbox", str(inbox)])
    assert result.exit_code == 2
    assert "a.csv:2: time: 1990 lies outside the run" in result.output
    assert "b.csv: 2 new" in result.output and "half.csv: its last line has no end" in result.output
    (inbox / "a.csv").unlink()
    with (inbox / "half.csv").open("a") as file:
        file.write("9,\n")  # complete now, and wrong
    result = CliRunner().invoke(app, ["--quiet", "update", str(store), "--inbox", str(inbox)])
    assert result.exit_code == 2 and "half.csv:2: the row has 3 cells" in result.output
    assert "b.csv" not in result.output


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        ("time,value", "1998,3", "new.csv:2: time: 1998 lies outside the run"),  # the end of 1999 is the start
        ("site,time,value", "nowhere,2012,3", "new.csv:2: site: there is no site 'nowhere'; allowed: site"),
        ("time,value,below_detection", "2012,3,true", "below_detection: a twin takes values only"),
        ("time,value", "2012", "new.csv:2: the row has 1 cells; the header has 2"),
        (
            "time,value,status",
            "2012,3,perhaps",
            "status: 'perhaps' is not allowed; allowed: measured, revised, withdrawn",
        ),
        ("time,value,units", "2012,3,t C/ha", "new.csv:2: units: "),
        ("time,value", "2028-12-01,3", "new.csv:2: time: 2028-12-01 lies in the future"),
        ("time,value,status", "2012,3,revised", "there is no measurement 'study/site/level/2013' to revise"),
    ],
)
def test_wrong_tables_are_refused_and_nothing_is_written(tmp_path, whole, head, row, message):
    before = kinds(whole)
    with pytest.raises(InputError) as error:
        arrive(whole, row, head=head)
    assert message in str(error.value)
    assert kinds(whole) == before


VARIED = POOLS.replace(
    "  errors:\n", "  vary: {start: {by: farm, spread: {distribution: lognormal, median: 0.5, cv: 0.5}}}\n  errors:\n"
).replace("particles: 256, forecast_draws: 128", "particles: 64, forecast_draws: 32")


def test_rows_that_the_study_cannot_take_are_refused_before_they_are_logged(tmp_path):
    """A twin begins with the first farm alone; rows without the farm that another row of their arm names are refused."""
    head = "scenario,time,value,farm"
    study = folder(tmp_path, VARIED, f"{head}\nkept,2001,41,a\n")
    store = tmp_path / "pools.zarr"
    update_twin(store, study=study, quiet=True)
    before = kinds(store)
    with pytest.raises(
        InputError, match=r"new.csv: with these measurements the study cannot be followed: .*'farm' differs"
    ):
        arrive(store, "kept,2004,39", head="scenario,time,value")
    assert kinds(store) == before
    arrive(store, "more,2004,40,b", head=head)  # and goes on, with a second farm
    assert kinds(store) == [*before, "received", "step"]
    learnt = [p["name"] for p in open_twin(journal_folder(store)).steps()[-1].data["parameters"]]
    assert {"start[a]", "start[b]"} < set(learnt)


def test_a_study_that_cannot_be_followed_leaves_nothing(tmp_path):
    text = POOLS.replace("twin: {", "twin: {method: enkf, localisation: 5, ")
    study = folder(tmp_path, text, POOLS_DATA)
    with pytest.raises(InputError, match=r"cannot be followed: .*localisation"):
        update_twin(tmp_path / "pools.zarr", study=study, quiet=True)
    assert not kinds(tmp_path / "pools.zarr")


def test_a_new_line_that_cannot_be_followed_is_not_begun(tmp_path, whole):
    store, before = copy_of(whole, tmp_path), kinds(whole)
    study = store.with_name("study.yaml")
    with pytest.raises(InputError, match=r"study.yaml: with these measurements the study cannot be followed"):
        update_twin(store, study=study, overrides=["twin.method=enkf", "twin.localisation=5"], quiet=True)
    assert kinds(store) == before


def test_a_clock_that_runs_backwards_another_format_and_changed_files(tmp_path, whole, monkeypatch):
    store = copy_of(whole, tmp_path)
    entries = sorted((journal_folder(store) / "journal").iterdir())
    with monkeypatch.context() as patch:
        now = time.time()
        patch.setattr(time, "time", lambda: now - 4000)
        with pytest.raises(StoreRefused, match="the clock of this machine says"):
            update_twin(store, quiet=True)
    twin = open_twin(journal_folder(store))
    file = path_of(twin.folder, "snapshots", twin.steps()[-1].data["digest"])
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(Damaged, match="is not what was written"):
        twin.snapshot(twin.steps()[-1])
    text = entries[0].read_text()
    entries[0].write_text(text.replace("1.4", "1.5"))
    with pytest.raises(Damaged, match=r"000001.json was changed"):
        update_twin(store, quiet=True)
    body = json.loads(text)
    body.pop("digest")
    body |= {"format": 9, "version": "7.0"}
    entries[0].write_text(json.dumps({**body, "digest": digest_of(body)}))
    with pytest.raises(StoreRefused, match=r"was written by ensemble 7.0 in format 9"):
        update_twin(store, quiet=True)


def test_a_second_update_at_the_same_time_is_refused_and_a_dead_one_leaves_no_lock(whole):
    with WriterLock(journal_folder(whole)), pytest.raises(StoreRefused, match="is being written by process"):
        update_twin(whole, quiet=True)
    update_twin(whole, quiet=True)


def test_no_store_and_no_twin(tmp_path):
    result = CliRunner().invoke(app, ["update", str(tmp_path / "none.zarr")])
    assert result.exit_code == 2 and "begin one with --study FILE" in result.output
    assert not journal_folder(tmp_path / "none.zarr").exists()


def test_an_arm_that_branches_off_today_has_the_state_of_the_arm_it_continues(tmp_path):
    data = "\n".join(line for line in POOLS_DATA.split("\n") if not line.startswith("more"))
    text = POOLS.replace("twin: {", "twin: {continues: {more: kept}, ").replace("256, forecast", "64, forecast")
    study = folder(tmp_path, text, data)
    years = "\n".join(f"{year},{2 if year < 2013 else 3}" for year in range(2000, 2020))
    (tmp_path / "more.csv").write_text(f"year,drive\n{years}\n")
    update_twin(tmp_path / "pools.zarr", study=study, quiet=True)
    state = open_twin(journal_folder(tmp_path / "pools.zarr")).steps()[-1].data["state"]
    kept, more = ([(s["mean"], s["sd"]) for s in state if s["scenario"] == arm] for arm in ("kept", "more"))
    assert len(kept) == 2 and kept == more


def test_the_page_of_a_twin(whole):
    page = whole.with_name("line.twin.html").read_text()
    assert "No drift alarm: 7 of 7 measurements lie inside the 90\N{NO-BREAK SPACE}% band" in page
    for title in ("Forecast from today", "Score", "Drift alarm", "Learning", "History"):
        assert f">{title}</h2>" in page
