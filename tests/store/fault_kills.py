"""Writers of a store that are killed at random moments, and what is left of their work (see fault_battery).

Every writer is a child of a process that has imported everything but computed nothing, so that a child starts
quickly and no fork follows the start of a thread of JAX or Zarr.
"""

import os
import shutil
import signal
import sys
import time
import traceback

from store_writers import PROVENANCE, make_stage, run, statistics, tile_of, whole

from ensemble.cli import main as command_line
from ensemble.execute.stopping import stop_on_signals
from ensemble.store import Claims, open_shared, open_store, open_writer
from ensemble.store.read import shard_key

MEMBERS, BLOCKS = 128, (8, 2)
KILLS_A_STORE = 5


def stage():
    """32 tiles of six arrays."""
    return make_stage(members=MEMBERS, blocks=BLOCKS)


def child(function, *arguments):
    """Run a function in a child; its process."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            function(*arguments)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return process


def ended(process):
    """Wait for a child; its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def whole_run(path):
    """The undisturbed run of a child: how long it took."""
    started = time.monotonic()
    if ended(child(run, path, stage())):
        raise SystemExit(f"the run into {path} failed")
    return time.monotonic() - started


def finished(path):
    """Finished tiles with the time at which they were entered."""
    return {t: e.time for t, e in open_store(path).entries("members").items()} if path.is_dir() else {}


def begun(path):
    """Tiles that have files but no entry: the work that a kill loses."""
    if not path.is_dir():
        return set()
    record, done = open_store(path).stage("members"), finished(path)
    left = [tile for tile in range(record.tiling.count) if tile not in done]
    return {tile for tile in left if any((path / shard_key(record, a, tile)).is_file() for a in record.owned(tile))}


def lost(before, after):
    """Finished tiles that were computed again."""
    return sum(after.get(tile) != when for tile, when in before.items())


class Tally:
    """What a series of kills left behind."""

    def __init__(self):
        self.killed = self.stores = self.equal = self.lost = self.most_begun = 0
        self.known = set()

    def note(self, before, path):
        """After a kill; tiles that an earlier kill has left begun are not counted again."""
        after, now = finished(path), begun(path)
        self.lost += lost(before, after)
        self.most_begun, self.known = max(self.most_begun, len(now - self.known)), now
        return after

    def close(self, before, path, digest):
        """Finish a store and compare it."""
        whole_run(path)
        self.stores, self.known = self.stores + 1, set()
        self.lost += lost(before, finished(path))
        self.equal += open_store(path).digest() == digest

    def row(self, name, asked, workers=1):
        """A row of the table: name, what was tried, what held, remark."""
        held = self.killed if self.equal == self.stores and not self.lost and self.most_begun <= workers else 0
        return (
            name, asked, held,
            f"{self.equal} of {self.stores} stores equal, {self.lost} finished tiles redone, "
            f"at most {self.most_begun} begun tiles lost by a kill",
        )  # fmt: skip


def kill_in_tiles(folder, kills, chance):
    """SIGKILL at a random moment of a run, again and again on each store."""
    whole_run(folder / "whole.zarr")  # the first is slower: files are read
    duration, digest = whole_run(folder / "again.zarr"), open_store(folder / "whole.zarr").digest()
    tally = Tally()
    while tally.killed < kills:
        path, before = folder / f"killed_{tally.stores}.zarr", {}
        for _ in range(min(KILLS_A_STORE, kills - tally.killed)):
            process = child(run, path, stage())
            time.sleep(chance.uniform(0.02, 0.6) * duration)
            os.kill(process, signal.SIGKILL)
            tally.killed += ended(process) == -signal.SIGKILL
            before = tally.note(before, path)
        tally.close(before, path, digest)
        shutil.rmtree(path)
    return tally.row("SIGKILL while tiles are written", kills)


def begin_statistics(path):
    """All tiles, no statistics."""
    with open_writer(path, PROVENANCE, [stage()]) as store:
        store.drop_group("statistics")
        store.write_group("statistics", statistics(store))


def kill_in_statistics(folder, kills, chance):
    """SIGKILL while the statistics are written: their group is there, their entry in the ledger is not."""
    path, digest = folder / "statistics.zarr", None
    whole_run(path)
    digest, kept = open_store(path).digest(), finished(path)
    group, entry = path / "statistics/zarr.json", path / "ledger/statistics/zarr.json"
    tally, spans = Tally(), []
    while tally.killed < kills:
        entry.unlink(missing_ok=True)
        group.unlink(missing_ok=True)
        process = child(begin_statistics, path)
        while not group.is_file():
            time.sleep(0.0005)
        if len(spans) < 3:  # how long it takes
            started = time.monotonic()
            while not entry.is_file():
                time.sleep(0.0005)
            spans.append(time.monotonic() - started)
            ended(process)
            continue
        time.sleep(chance.uniform(0, 1) * min(spans))
        os.kill(process, signal.SIGKILL)
        if ended(process) == -signal.SIGKILL and not entry.is_file():
            tally.killed += 1
            tally.note(kept, path)
            if tally.killed % KILLS_A_STORE == 0 or tally.killed == kills:
                tally.close(kept, path, digest)
    return tally.row("SIGKILL while statistics are written", kills)


def work(path, number):
    """A worker beside others, as `ensemble work`, with numbers from a formula."""
    described = stage()
    full = whole(described)
    claims, store = Claims(path), open_shared(path, PROVENANCE, lambda: [described], {"title": "field"})
    while missing := store.missing_tiles("members"):
        start = number * len(missing) // 2
        order = [*missing[start:], *missing[:start]]
        for tile in claims.take("members", order, lambda t: store.has_tile("members", t)):
            store.write_tile("members", tile, tile_of(described, full, tile))
            claims.release("members", tile)
        time.sleep(0.01)


def kill_one_of_two(folder, kills, chance):
    """Two workers on one store; one is killed, every other time both are, and two others go on."""
    whole_run(folder / "whole_2.zarr")
    digest = open_store(folder / "whole_2.zarr").digest()
    started, path = time.monotonic(), folder / "timed.zarr"
    if any([ended(process) for process in [child(work, path, number) for number in (0, 1)]]):
        raise SystemExit("a worker failed")
    duration, tally = time.monotonic() - started, Tally()
    while tally.killed < kills:
        path, before = folder / f"shared_{tally.stores}.zarr", {}
        for _ in range(min(KILLS_A_STORE, kills - tally.killed)):
            workers = [child(work, path, number) for number in (0, 1)]
            time.sleep(chance.uniform(0.05, 0.5) * duration)
            victims = workers[: 1 + tally.killed % 2]
            for process in victims:
                os.kill(process, signal.SIGKILL)
            tally.killed += ended(victims[0]) == -signal.SIGKILL
            if len(victims) == 1 and tally.killed % KILLS_A_STORE:  # the other goes on for a while
                time.sleep(chance.uniform(0, 0.1) * duration)
                os.kill(workers[1], signal.SIGKILL)
            if ended(workers[1]) not in (0, -signal.SIGKILL):
                raise SystemExit("a worker failed")
            before = tally.note(before, path)
        tally.close(before, path, digest)
        shutil.rmtree(path)
    return tally.row("SIGKILL of one or both of two workers", kills, workers=2)


def ensemble(*arguments):
    """The command line in a child that has imported it."""
    sys.argv = ["ensemble", "--quiet", *map(str, arguments)]
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    command_line()


def stoppable(path):
    """A writer that ends on a signal as the commands do."""
    stop_on_signals(lambda: f"stopped; finished tiles are kept in {path}")
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    run(path, stage())


def whole_command(study):
    """`ensemble run` of the toy study, with many small tiles."""
    settings = ["--set", "store.tile.members=16", "--set", "design.members=512"]
    return lambda path: ensemble("run", study, "--out", path, *settings)


def end_by_sigterm(folder, name, writer, times, chance):
    """SIGTERM at a random moment of a writer: it ends by itself, within 10 s, and the next one goes on."""
    path, before = folder / "undisturbed_by_signals.zarr", {}
    started = time.monotonic()
    if ended(child(writer, path)):
        raise SystemExit("the undisturbed run failed")
    duration, digest = time.monotonic() - started, open_store(path).digest()
    shutil.rmtree(path)
    sent = slowest = equal = lost_tiles = stores = early = 0
    while sent < times or before:
        process = child(writer, path)
        time.sleep(chance.uniform(0.1, 0.8) * duration)
        if sent < times:
            os.kill(process, signal.SIGTERM)
        asked = time.monotonic()
        code = ended(process)
        if code not in (0, 3, -signal.SIGTERM):
            raise SystemExit(f"a run ended with {code}")
        if code:
            sent, slowest, early = sent + 1, max(slowest, time.monotonic() - asked), early + (code < 0)
        after = finished(path)
        lost_tiles, before = lost_tiles + lost(before, after), after
        if code == 0:
            stores, equal, before = stores + 1, equal + (open_store(path).digest() == digest), {}
            shutil.rmtree(path)
    held = sent if slowest < 10 and equal == stores and not lost_tiles else 0
    remark = f"slowest {slowest:.2f} s, {early} before the program had begun; "
    return name, times, held, f"{remark}{equal} of {stores} stores equal, {lost_tiles} finished tiles redone"
