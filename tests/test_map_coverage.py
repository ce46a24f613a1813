"""Do the intervals of learned maps hold the truth as often as they say? Averaged over simulated landscapes."""

import numpy as np
import pytest

pytest.importorskip("lightgbm")

from ensemble.inputs.grids import Grid
from ensemble.mapping.learning.checking import NORMAL
from ensemble.mapping.learning.intervals import covered, cv_plus
from ensemble.mapping.learning.learned import LearnSettings, learn
from ensemble.mapping.learning.simulation import score_fields
from ensemble.mapping.learning.trees import TreeSettings, fit_trees, tree_tables
from ensemble.mapping.learning.validation import random_folds
from ensemble.mapping.northeast import AREAS, TABLE_1, TABLE_2, make_landscape
from ensemble.mapping.synthetic import make_population

SHAPE, CELL, SAMPLES, DRAWS, SEED = (24, 24), 37.0, 150, 100, 20
# Fewer, stronger trees and fewer repeats than a real study, so that 400 landscapes fit in minutes.
SETTINGS = LearnSettings(TreeSettings(60, 9, 0.06, 10, 0.65), bootstraps=6, map_repeats=1)
LEVELS = (0.5, 0.9)


@pytest.fixture(scope="module")
def population():
    kept = {name: moments for name, moments in TABLE_1.items() if name != "SOCpE"}
    return make_population(kept, {pair: value for pair, value in TABLE_2.items() if "SOCpE" not in pair})


def potential(soil):
    """Eq. 3 less the carbon that is there, 30 cm without stones, kg m-2."""
    return 0.3 * soil["bulk_density"] * (4.09 + 0.37 * soil["silt_and_clay"] - soil["soc_concentration"])


def one_landscape(population, number, settings=SETTINGS):
    """Coverage (level, pixels and totals of all land and each class) of the realisations, CV+ and the paper's way."""
    land = make_landscape(population, SHAPE, CELL, SEED, number)
    cells = np.arange(len(land.place))
    truth = potential(land.soil(cells, 10_000 + number))
    sampled = np.random.default_rng([SEED, number]).choice(len(cells), SAMPLES, replace=False)
    observed, x, km = potential(land.soil(sampled, 20_000 + number)), land.covariates[sampled], land.place[sampled]
    folds = random_folds(km, 5, number, 0)
    use = [str(k) for k in land.land_use]
    of_samples = [use[k] for k in sampled]
    learned = learn(x, observed, km, folds[None], settings, number, classes=of_samples)
    grid = Grid(SHAPE, "", (0.0, CELL, SHAPE[0] * CELL, -CELL), True, 1000.0, *np.divmod(cells, SHAPE[1]))
    parameters = [learned.field.draw(DRAWS, number, "coverage")]
    places = [learned.places(km, x, of_samples)], [learned.places(land.place, land.covariates, use)]
    fields = score_fields(*places, learned.scores.scores[None], parameters, grid, SEED)
    scores = fields.draw(range(number * DRAWS, (number + 1) * DRAWS))[:, 0]
    realised = learned.realise(learned.mean(land.covariates), learned.scale(land.covariates, use), scores)
    fits = [fit_trees(x, observed, settings.trees, 1000 * number + k) for k in range(6)]
    repeats = np.array([tree_tables(fit).predict(land.covariates) for fit in fits])
    regions = np.stack([np.ones(len(cells), bool), *(land.land_use == k for k in range(len(AREAS)))])
    regions = regions / regions.sum(axis=1, keepdims=True)
    each = [model.predict(land.covariates) for model in learned.models]
    found = np.empty((len(LEVELS), 3 + 2 * len(regions)))
    for k, level in enumerate(LEVELS):
        low, high = cv_plus(each, folds, learned.residuals, level)
        inside = np.abs(truth - repeats.mean(axis=0)) <= NORMAL[level] * repeats.std(axis=0, ddof=1)
        totals = repeats @ regions.T
        paper = np.abs(regions @ truth - totals.mean(axis=0)) <= NORMAL[level] * totals.std(axis=0, ddof=1)
        found[k] = [
            covered(realised, truth, level).mean(), ((truth >= low) & (truth <= high)).mean(), inside.mean(),
            *covered(realised @ regions.T, regions @ truth, level), *paper,
        ]  # fmt: skip
    return found


def report(found):
    """Means over landscapes with their standard errors, printed: pixels three ways, totals two ways."""
    mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
    names = ["pixels", "pixels CV+", "pixels paper"]
    names += [f"total {kind} {way}".strip() for way in ("", "paper") for kind in ("all", *AREAS)]
    print(f"\n{len(found)} landscapes")
    for k, name in enumerate(names):
        print(f"{name:22s}" + "".join(f"{100 * mean[i, k]:8.1f} +- {100 * error[i, k]:.1f}" for i in range(2)))
    return mean, error


@pytest.mark.slow
def test_intervals_hold_over_400_landscapes(population):
    found = np.array([one_landscape(population, number) for number in range(400)])
    mean, error = report(found)
    totals = found[:, :, 3 : 4 + len(AREAS)].mean(axis=2)
    mean_totals, error_totals = totals.mean(axis=0), totals.std(axis=0, ddof=1) / np.sqrt(len(found))
    print("all totals", mean_totals, error_totals)
    for k, (low, high) in enumerate(((0.47, 0.53), (0.88, 0.92))):
        for value, slack in ((mean[k, 0], error[k, 0]), (mean[k, 3], error[k, 3]), (mean_totals[k], error_totals[k])):
            assert low - 2 * slack <= value <= high + 2 * slack
    assert mean[1, 2] < 0.5  # the paper's way holds less than half of what it should
    assert mean[1, 4 + len(AREAS)] < 0.8


def test_one_landscape_is_covered(population):
    found = one_landscape(population, 1)
    assert 0.8 < found[1, 0] < 0.99
    assert found[1, 2] < 0.6  # sd over repeated fits
    assert found[0, 0] < found[1, 0]
