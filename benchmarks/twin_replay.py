"""Long-term experiments at Rothamsted, fed to a twin date by date: python benchmarks/twin_replay.py [EXPERIMENT ...].

Every experiment is a twin of its own that begins at the prior of configs/calibrate_rothamsted.yaml. Printed are the forecasts
one step ahead, what each date taught, and the drift alarm. Results lie in results/replay_EXPERIMENT.*; a replay that was
stopped goes on where it was. With --plain the model has no error of its own, all treatments share one crop factor, and
measurements err as much as is stated: what RothC alone would have forecast.
"""

import argparse
from pathlib import Path

import numpy as np

from ensemble.pipeline.twinning import update_twin
from ensemble.twin.journal import journal_folder
from ensemble.twin.score import by_lead, summary
from ensemble.twin.twin import open_twin

ROOT = Path(__file__).parents[1]
EXPERIMENTS = {
    "broadbalk": ("broadbalk_",),
    "hoosfield": ("hoosfield_",),
    "fallow": ("highfield_fallow",),
    "ley": ("highfield_arable", "fosters_"),
}


def rows_of(experiment, folder):
    """The rows of one experiment as a table of its own."""
    lines = (ROOT / "configs" / "data" / "rothamsted_soc.csv").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    header, body = lines[0], lines[1:]
    place = header.split(",").index("scenario")
    mine = [line for line in body if line.split(",")[place].startswith(EXPERIMENTS[experiment])]
    file = folder / f"replay_{experiment}.csv"
    file.write_text("\n".join([header, *mine]) + "\n")
    return file


def replay(experiment, particles, folder, plain):
    store = folder / f"replay_{experiment}{'_plain' if plain else ''}.zarr"
    study = ROOT / "configs" / "calibrate_rothamsted.yaml"
    sets = [f"observations.file={rows_of(experiment, folder)}", f"twin.particles={particles}", "twin.horizon=30"]
    sets += ["calibrate.vary={}", "calibrate.model_error=null", "calibrate.error_scale=null"] if plain else []
    result = update_twin(store, study=study, overrides=sets)
    print(f"\n## {store.stem}, {particles} particles\n")
    print("\n".join(result.lines))
    tell(open_twin(journal_folder(store)))


def tell(twin):
    """How it forecast, what it learnt, and whether an alarm was raised."""
    scores = twin.one_step()
    print("\n| series | n | in 50 % | in 90 % | bias | RMSE | CRPS |\n| --- | --- | --- | --- | --- | --- | --- |")
    parts = [(name, part) for name, part in scores.groupby("scenario", sort=False)] + [("all", scores)]
    for name, part in parts:
        s = summary(part)
        shares = f"{s['in_50'] * s['n']:.0f} | {s['in_90'] * s['n']:.0f}"
        print(f"| {name} | {s['n']} | {shares} | {s['bias']:+.1f} | {s['rmse']:.1f} | {s['crps']:.2f} |")
    print("\n| date | values | bits | log evidence | taught most |\n| --- | --- | --- | --- | --- |")
    for step in twin.steps():
        done, best = step.data["taken_in"], max(step.data["parameters"], key=lambda p: p["bits"])
        bits = done["information"] / np.log(2)
        print(
            f"| {step.data['date'] - 1:.0f} | {len(step.data['scores'])} | {bits:.1f} | {done['log_evidence']:.1f} | "
            f"{best['name']} ({best['bits']:.2f}) |"
        )
    print("\n| parameter | variance removed | shift, prior sd | mean | sd |\n| --- | --- | --- | --- | --- |")
    for p in twin.steps()[-1].data["parameters"]:
        value = f"{p['mean']:.3g} | {p['sd']:.2g}" if "mean" in p else " | "
        print(f"| {p['name']} | {100 * p['contraction']:.0f} % | {p['score']:+.2f} | {value} |")
    print("\n| lead time | n | in 50 % | in 90 % | bias | RMSE |\n| --- | --- | --- | --- | --- | --- |")
    for row in by_lead(twin.archived()).to_dict("records"):
        shares = f"{100 * row['in_50']:.0f} % | {100 * row['in_90']:.0f} %"
        print(f"| {row['lead']} | {row['n']} | {shares} | {row['bias']:+.1f} | {row['rmse']:.1f} |")
    print("\n| watch | outside | evidence | limit |\n| --- | --- | --- | --- |")
    for w in twin.watches(0.05):
        print(f"| {w.name} | {w.outside} of {w.count} | {w.largest:.3g} | {w.limit:.3g} {'ALARM' if w.alarm else ''} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", default=list(EXPERIMENTS), choices=[*EXPERIMENTS, []])
    parser.add_argument("--particles", type=int, default=512)
    parser.add_argument("--plain", action="store_true", help="without model error and factors of single treatments")
    parser.add_argument("--out", type=Path, default=Path("results"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.experiments or EXPERIMENTS:
        replay(name, given.particles, given.out, given.plain)
