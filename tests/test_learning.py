"""Maps learned from samples: parts against closed forms and the library."""

import numpy as np
import pytest

pytest.importorskip("lightgbm")

from ensemble.mapping.averaging import stacked_weights
from ensemble.mapping.learning.applicability import applicability
from ensemble.mapping.learning.importance import interactions, partial_dependence
from ensemble.mapping.learning.intervals import covered, cv_plus
from ensemble.mapping.learning.learned import LearnSettings, class_shares, learn
from ensemble.mapping.learning.metrics import five_numbers_and_mean, skill
from ensemble.mapping.learning.next_samples import next_samples
from ensemble.mapping.learning.residuals import FieldParameters, Places, field_posterior, normal_scores, variogram
from ensemble.mapping.learning.simulation import conditional_covariance, score_fields
from ensemble.mapping.learning.trees import TreeSettings, fit_trees, predict, split_gain, tree_tables
from ensemble.mapping.learning.tuning import candidates, tune
from ensemble.mapping.learning.validation import block_folds, cross_validate, permutation_importance, random_folds

FAST = TreeSettings(40, 9, 0.1, 5, 0.65)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 4))
    y = 2 * x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=150)
    return x, y, rng.uniform(0, 100, (150, 2))


# --- trees -------------------------------------------------------------------------------------------------------


def test_tables_predict_what_the_library_does(data):
    x, y, _ = data
    model = fit_trees(x, y, FAST, 1)
    there = np.concatenate([x, np.random.default_rng(1).normal(size=(500, 4)) * 2])
    np.testing.assert_allclose(tree_tables(model).predict(there), predict(model, there), atol=1e-6)
    assert split_gain(model).sum() == pytest.approx(1)
    assert np.argmax(split_gain(model)) == 0


def test_depth_counts_splits_and_leaves_grow_best_first(data):
    x, y, _ = data
    model = fit_trees(x, y, FAST, 1)
    trees = model.dump_model()["tree_info"]
    assert max(tree["num_leaves"] for tree in trees) == FAST.splits + 1

    def depth(node):
        return 1 + max(depth(node[side]) for side in ("left_child", "right_child")) if "left_child" in node else 0

    depths = [depth(tree["tree_structure"]) for tree in trees]
    assert max(depths) > 4  # a balanced tree of 10 leaves has depth 4; best first goes deeper on one side
    few = fit_trees(x, y, FAST._replace(splits=1), 1)
    assert max(tree["num_leaves"] for tree in few.dump_model()["tree_info"]) == 2


def test_one_full_tree_is_the_best_split(data):
    """One tree of one split, no bagging, all of it taken: the split with the least squared error, by hand."""
    x, y, _ = data
    model = fit_trees(x, y, TreeSettings(1, 1, 1.0, 5, 1.0), 1)
    best = (np.inf, None)
    for k in range(4):
        for cut in np.sort(x[:, k])[5:-5]:
            left, right = y[x[:, k] <= cut], y[x[:, k] > cut]
            error = ((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum()
            best = min(best, (error, (left.mean(), right.mean())))
    np.testing.assert_allclose(sorted(set(predict(model, x).round(9))), sorted(np.round(best[1], 9)), atol=1e-6)


# --- validation --------------------------------------------------------------------------------------------------


def test_scores_by_hand():
    found = skill([1.0, 2.0, 4.0], [1.5, 2.0, 3.0])
    assert found.rmse == pytest.approx(np.sqrt(1.25 / 3)) and found.mae == pytest.approx(0.5)
    assert found.r2 == pytest.approx(1 - 1.25 / (14 / 3))
    assert found.pearson == pytest.approx(np.corrcoef([1, 2, 4], [1.5, 2, 3])[0, 1])
    a, b = np.array([1.0, 2, 4]), np.array([1.5, 2, 3])
    assert found.concordance == pytest.approx(
        2 * np.cov(a, b, ddof=0)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    )
    half = skill([1.0, 2.0, 4.0], [0.5, 1.0, 2.0])
    assert half.pearson == pytest.approx(1) and half.r2 < 0  # Pearson forgives what 1 - SSE/SST does not
    np.testing.assert_allclose(five_numbers_and_mean([1.0, 2, 3, 4, 10]), [1, 2, 3, 4, 4, 10])


def test_folds(data):
    _, _, km = data
    doubled = np.concatenate([km, km[:10]])
    part = random_folds(doubled, 10, 1, 0)
    assert (part[:10] == part[150:]).all()  # two samples of one place are never apart
    assert np.bincount(part).min() >= 14
    assert (random_folds(km, 10, 1, 0) != random_folds(km, 10, 1, 1)).any()
    blocks = block_folds(km, 25.0, 5, 1, 0)
    near = np.linalg.norm(km[:, None] - km[None], axis=-1) + 1e3 * np.eye(150)
    apart = (blocks[near.argmin(axis=1)] != blocks).mean()
    assert apart < 0.35 < (part[:150][near.argmin(axis=1)] != part[:150]).mean()
    with pytest.raises(ValueError, match="fewer than 10 folds"):
        random_folds(km[:5], 10, 1, 0)
    with pytest.raises(ValueError, match="fewer than 5 folds"):
        block_folds(km, 500.0, 5, 1, 0)


def test_cross_validation_never_saw_its_samples(data):
    """A target of pure noise cannot be predicted, so any skill would be a leak."""
    x, _, km = data
    noise = np.random.default_rng(3).normal(size=150)
    folds = np.stack([random_folds(km, 5, 1, r) for r in range(2)])
    found = cross_validate(x, noise, FAST, folds, 1, keep=1, threads=2, shuffle=True)
    assert skill(noise, found.predictions[0]).r2 < 0.1
    assert len(found.models) == 1 and len(found.models[0]) == 5
    again = cross_validate(x, noise, FAST, folds, 1)
    np.testing.assert_array_equal(found.predictions, again.predictions)  # whatever the threads


def test_importance_finds_what_made_the_target(data):
    x, y, km = data
    folds = random_folds(km, 5, 1, 0)[None]
    found = cross_validate(x, y, FAST, folds, 1, keep=1, shuffle=True)
    rise = permutation_importance(y, found)[0]
    assert np.argmax(rise) == 0 and abs(rise[3]) < 0.1
    tables = [tree_tables(model) for model in found.models[0]]
    curve = partial_dependence(tables, x, 0)
    assert (np.diff(curve.answers.mean(axis=0)) > -0.2).all() and np.ptp(curve.answers.mean(axis=0)) > 4
    pair = interactions(tables[:2], x, found.gains.mean(axis=(0, 1)))[0]
    assert (pair.first, pair.second) == (1, 2) and pair.strength > 0.2


def test_nested_tuning_chooses_what_helps(data):
    x, y, km = data
    tried = candidates(FAST, trees=[1, 40], splits=[])
    assert [t.trees for t in tried] == [1, 40]
    found = tune(x, y, km, tried, random_folds(km, 3, 1, 0), 1, 1)
    assert found.settings.trees == 40 and all(c.trees == 40 for c in found.chosen)
    assert skill(y, found.nested).r2 > 0.5


def test_stacking_finds_the_better_model():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=2000)
    models = np.stack([truth + rng.normal(size=2000), truth + 0.5 * rng.normal(size=2000)])
    weights = stacked_weights(models, truth)
    np.testing.assert_allclose(weights, [0.2, 0.8], atol=0.05)  # inverse variances 1 and 4
    assert weights.sum() == pytest.approx(1)


# --- residuals and realisations ----------------------------------------------------------------------------------


def test_normal_scores_go_back():
    value = np.random.default_rng(0).gamma(2, size=200)
    found = normal_scores(value)
    np.testing.assert_allclose(found.residuals(found.scores), value, atol=1e-12)
    assert abs(found.scores.mean()) < 1e-12 and found.scores.std() == pytest.approx(1, abs=0.02)
    assert found.residuals(9.0) > value.max()


def test_likelihood_finds_the_field():
    """The weights favour the range and nugget that made the scores; neighbouring ranges differ by a factor near 2."""
    rng = np.random.default_rng(2)
    places = Places(rng.uniform(0, 100, (130, 2)), rng.normal(size=(130, 2)))
    truth = FieldParameters(25.0, 0.15)
    lower = np.linalg.cholesky(truth.smooth(*places.distances(places)) + 0.15 * np.eye(130))
    found = field_posterior(places, lower @ rng.normal(size=130))
    alone = field_posterior(places, rng.normal(size=130))
    assert 8 < found.mean("range") < 60
    assert found.mean("nugget") < 0.5 < alone.mean("nugget")
    assert found.mean("spatial") > 0.4 > alone.mean("spatial")
    assert found.weights.sum() == pytest.approx(1)


CLASSES = np.eye(3)[np.arange(30) % 3]


@pytest.mark.parametrize("terms", [None, CLASSES])
@pytest.mark.parametrize("parameters", [FieldParameters(30.0, 0.2, 1.5), FieldParameters(30.0, 0.1, 1.0, 0.5, 1.0)])
def test_realisations_have_the_conditional_mean_and_covariance(parameters, terms):
    """Kriging with one unknown mean, and with one for each class, in closed form against 4000 realisations."""
    rng = np.random.default_rng(1)
    samples = Places(rng.uniform(0, 100, (30, 2)), rng.normal(size=(30, 2)), terms)
    sites = Places(rng.uniform(0, 100, (12, 2)), rng.normal(size=(12, 2)), None if terms is None else terms[:12])
    z = rng.normal(size=30)
    fields = score_fields([samples], [sites], z[None], [[parameters]], None, 5)
    drawn = fields.draw(range(4000))[:, 0].astype(float)
    among = parameters.smooth(*samples.distances(samples)) + parameters.nugget * np.eye(30)
    cross = parameters.smooth(*samples.distances(sites))
    inverse = np.linalg.inv(among)
    f, g = (np.ones((len(p.km), 1)) if terms is None else p.terms for p in (samples, sites))
    mean = np.linalg.solve(f.T @ inverse @ f, f.T @ inverse @ z)
    expected = g @ mean + cross.T @ inverse @ (z - f @ mean)
    nugget = parameters.variance * parameters.nugget * np.eye(12)
    covariance = conditional_covariance(samples, sites, parameters) + nugget
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((drawn.mean(axis=0) - expected) / (sd / np.sqrt(4000))).max() < 4
    np.testing.assert_allclose(np.cov(drawn, rowvar=False) / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=0.09)


def test_a_class_that_is_wrong_in_one_direction_is_corrected_and_moves_no_other():
    """What is added to the scores of a class is added to its sites, and changes neither weights nor other classes."""
    rng = np.random.default_rng(3)
    samples = Places(rng.uniform(0, 100, (30, 2)), rng.normal(size=(30, 2)), CLASSES)
    sites = samples._replace(km=samples.km + 20)
    z = rng.normal(size=30)
    shifted = z + 5.0 * CLASSES[:, 1]
    before, after = field_posterior(samples, z), field_posterior(samples, shifted)
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-6)
    assert before.degrees == 27
    parameters = [before.draw(20, 1, "shift")]
    one, two = (
        score_fields([samples], [sites], scores[None], parameters, None, 5).draw(range(20)) for scores in (z, shifted)
    )
    np.testing.assert_allclose(two - one, np.broadcast_to(5.0 * CLASSES[:, 1], (20, 1, 30)), atol=2e-4)


def test_classes_with_too_few_samples_have_no_mean_of_their_own():
    shares = class_shares(["a"] * 6 + ["b"] * 2 + ["c"])
    assert shares == {"a": 0.75, "b": 0.25}
    assert class_shares([]) == {} and class_shares(["a", "b"]) == {}


def test_the_next_sample_lowers_the_total_as_the_closed_form_says():
    rng = np.random.default_rng(4)
    samples = Places(rng.uniform(0, 50, (20, 2)), np.zeros((20, 1)))
    sites = Places(rng.uniform(0, 100, (60, 2)), np.zeros((60, 1)))
    parameters, weights = FieldParameters(25.0, 0.3, 2.0), rng.uniform(1, 2, 60)
    found = next_samples(samples, sites, weights, parameters, 3)

    def variance(extra):
        more = Places(np.concatenate([samples.km, sites.km[extra]]), np.zeros((20 + len(extra), 1)))
        return weights @ conditional_covariance(more, sites, parameters) @ weights

    now = variance([])
    chosen = [item.site for item in found]
    for count in (1, 2, 3):
        assert found[count - 1].sd_after == pytest.approx(np.sqrt(variance(chosen[:count]) / now), rel=1e-6)
    assert variance(chosen[:1]) == pytest.approx(min(variance([k]) for k in range(60)))
    assert np.linalg.norm(sites.km[chosen[0]]) > 50  # where there are no samples yet


def test_cv_plus_covers_and_intervals_are_counted(data):
    x, y, km = data
    folds = random_folds(km, 5, 1, 0)
    found = cross_validate(x, y, FAST, folds[None], 1, keep=1)
    rng = np.random.default_rng(9)
    there = rng.normal(size=(2000, 4))
    truth = 2 * there[:, 0] + there[:, 1] * there[:, 2] + 0.3 * rng.normal(size=2000)
    low, high = cv_plus([predict(m, there) for m in found.models[0]], folds, y - found.predictions[0], 0.9)
    assert 0.85 < ((truth >= low) & (truth <= high)).mean() < 0.97
    draws = np.arange(101.0)[:, None] * np.ones(2)
    np.testing.assert_array_equal(covered(draws, [50.0, 3.0], 0.9), [True, False])


def test_applicability_marks_what_is_unlike_the_samples():
    rng = np.random.default_rng(0)
    x, km = rng.normal(size=(200, 3)), rng.uniform(0, 10, (200, 2))
    there = rng.normal(size=(200, 3))
    there[100:150, 0] += 8
    there[150:, 2] += 8
    found = applicability(x, there, [1.0, 1.0, 0.0], random_folds(km, 5, 1, 0), km, np.zeros((200, 2)) + 100)
    assert found.inside[:100].mean() > 0.8 and not found.inside[100:150].any()
    assert found.inside[150:].mean() > 0.8  # the third covariate does not count
    assert (found.extrapolated[100:150] >= 1).all() and (found.distance > 100).all()


def test_variogram_of_noise_is_level():
    rng = np.random.default_rng(0)
    found = variogram(rng.uniform(0, 10, (400, 2)), rng.normal(size=400))
    assert np.abs(found.value[2:] - 1).max() < 0.25 and found.pairs.sum() > 0


def test_a_class_has_a_scale_of_its_own_and_few_samples_say_little_of_it():
    rng = np.random.default_rng(5)
    counts, sds = {"crop": 300, "wetland": 300, "rare": 3}, {"crop": 1.0, "wetland": 3.0, "rare": 2.0}
    use = np.repeat(list(counts), list(counts.values()))
    x, km = rng.normal(size=(len(use), 3)), rng.uniform(0, 100, size=(len(use), 2))
    y = x[:, 0] + rng.normal(size=len(use)) * [sds[u] for u in use]
    folds = random_folds(km, 5, 0, 0)[None]
    settings = LearnSettings(TreeSettings(40, 4, 0.1, 10, 0.65), bootstraps=5, map_repeats=1)
    learned = learn(x, y, km, folds, settings, 1, classes=list(use))
    sd = dict(zip([*learned.classes, "elsewhere"], np.sqrt(learned.unexplained), strict=True))
    assert 0.9 < sd["crop"] < 1.6 and 2.5 < sd["wetland"] < 3.4
    assert abs(sd["rare"] / sd["elsewhere"] - 1) < 0.15  # three samples do not make a class of their own
    scale = learned.scale(np.zeros((3, 3)), ["crop", "wetland", "unheard of"])
    assert scale[0] < scale[2] < scale[1]
    inside = np.abs(learned.residuals) < 1.645 * learned.scale(x, list(use))
    for name in ("crop", "wetland"):
        assert 0.85 < inside[use == name].mean() < 0.95
