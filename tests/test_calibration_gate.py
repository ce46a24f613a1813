"""The gate of a calibration: broken posteriors are caught, sound ones pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import MCMC, NUTS

from ensemble.inference.calibration.diagnostics import diagnose
from ensemble.inference.calibration.modes import find_modes
from ensemble.inference.calibration.sampling import STATISTICS, nuts

CHAINS, DRAWS, SIZE, CASES = 4, 500, 3, 20
NAMES = tuple("abc")


def verdict(draws, energy=None, diverging=None):
    """The problems of a set of draws (chains, draws, size)."""
    shape = draws.shape[:2]
    energy = np.random.default_rng(0).normal(size=shape) if energy is None else energy
    diverging = np.zeros(shape, bool) if diverging is None else diverging
    return diagnose(NAMES, draws, -0.5 * (draws**2).sum(-1), energy, diverging).problems


def sound(seed, draws=DRAWS):
    """Draws as a good sampler leaves them: hardly correlated, one distribution in every chain."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(CHAINS, draws, SIZE))
    for step in range(1, draws):
        noise[:, step] = 0.2 * noise[:, step - 1] + np.sqrt(1 - 0.2**2) * noise[:, step]
    return noise


def stuck(seed):
    draws = sound(seed)
    draws[seed % CHAINS] = draws[seed % CHAINS, :1]
    return draws


def two_modes(seed):
    draws = sound(seed)
    draws[seed % CHAINS, :, seed % SIZE] += 3.0
    return draws


def too_short(seed):
    return sound(seed, 60)


@pytest.mark.parametrize("broken", [stuck, two_modes, too_short])
def test_broken_draws_are_caught(broken):
    assert all(verdict(broken(seed)) for seed in range(CASES))


def run_nuts(potential, size, **more):
    """Many chains of one sampler at once, as sets of four."""
    kernel = NUTS(potential_fn=potential, **more)
    sampler = MCMC(
        kernel,
        num_warmup=200,
        num_samples=DRAWS,
        num_chains=CASES * CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    start = 0.5 * jax.random.normal(jax.random.key(1), (CASES * CHAINS, size))
    sampler.run(jax.random.key(2), init_params=start, extra_fields=("energy", "diverging"))
    extra = sampler.get_extra_fields(group_by_chain=True)
    parts = (sampler.get_samples(group_by_chain=True), extra["energy"], extra["diverging"])
    return [np.asarray(part).reshape(CASES, CHAINS, DRAWS, *np.shape(part)[2:]) for part in parts]


def test_funnels_and_wrong_steps_are_caught(x64):
    def funnel(x):
        return 0.5 * (x[0] / 3.0) ** 2 + 0.5 * jnp.sum(x[1:] ** 2) * jnp.exp(-x[0]) + x[0]

    def narrow(x):
        return 0.5 * jnp.sum((x / jnp.array([1.0, 0.1, 0.01])) ** 2)

    settings = {"step_size": 0.05, "adapt_step_size": False, "adapt_mass_matrix": False, "max_tree_depth": 3}
    for draws, energy, diverging in (run_nuts(funnel, SIZE), run_nuts(narrow, SIZE, **settings)):
        caught = [verdict(*case) for case in zip(draws, energy, diverging, strict=True)]
        assert all(caught)


def test_false_alarms_are_rare():
    alarms = sum(bool(verdict(sound(1000 + seed))) for seed in range(100))
    assert alarms <= 2


def test_a_mode_that_no_chain_visits_is_found_by_many_starts(x64):
    def two_valleys(x):
        return -jnp.logaddexp(-0.5 * jnp.sum(((x - 1.0) / 0.05) ** 2), -1.0 - 0.5 * jnp.sum(((x + 1.0) / 0.05) ** 2))

    modes = find_modes(two_valleys, 2, 16, 1)
    assert modes.count == 2
    assert "2 modes were found; the others lie 1 below" in modes.warning
    np.testing.assert_allclose(modes.best, [1.0, 1.0], atol=1e-3)
    np.testing.assert_allclose(modes.factor @ modes.factor.T, 0.0025 * np.eye(2), rtol=1e-3, atol=1e-6)
    draws = nuts(two_valleys, modes, 4, 200, 500, 0.9, 1)
    columns = draws.coordinates
    found = diagnose(
        ("x", "y"),
        columns,
        -draws.statistics["potential_energy"],
        draws.statistics["energy"],
        draws.statistics["diverging"],
    )
    assert found.passed  # the chains are all in one mode, and no diagnostic of theirs can know
    assert (columns > 0.5).all()


@pytest.mark.parametrize("chains", [1, 4])
def test_blocks_of_steps_are_the_steps_of_numpyro(x64, chains):
    def bent(x):
        return 0.5 * jnp.sum((x / jnp.array([1.0, 0.3, 2.0])) ** 2) + 0.1 * x[0] ** 4

    modes = find_modes(bent, 3, 4, 1)
    found = nuts(bent, modes, chains, 60, 133, 0.9, 1)
    first, second = jax.random.split(jax.random.key(1))
    start = 1.5 * jax.random.normal(first, (chains, 3))
    kernel = NUTS(
        potential_fn=lambda y: bent(jnp.asarray(modes.best) + jnp.asarray(modes.factor) @ y),
        dense_mass=True,
        target_accept_prob=0.9,
    )
    theirs = MCMC(
        kernel, num_warmup=60, num_samples=133, num_chains=chains, chain_method="vectorized", progress_bar=False
    )
    theirs.run(second, init_params=start if chains > 1 else start[0], extra_fields=STATISTICS)
    y = np.asarray(theirs.get_samples(group_by_chain=True)).reshape(chains, 133, 3)
    np.testing.assert_allclose(found.coordinates, modes.best + y @ modes.factor.T, rtol=1e-9)
    extra = theirs.get_extra_fields(group_by_chain=True)
    for name in STATISTICS:
        np.testing.assert_allclose(found.statistics[name], np.reshape(extra[name], (chains, 133)), rtol=1e-9)


def test_many_parameters_keep_trees_short(x64):
    """40 parameters: a dense mass matrix of the 25 steps of the first window would be singular, with trees of 1,023 steps."""

    def hill(x):
        return 0.5 * jnp.sum(x**2) + 0.02 * jnp.sum(x**4)

    modes = find_modes(hill, 40, 2, 1)
    draws = nuts(hill, modes, 2, 150, 100, 0.9, 1)
    assert draws.statistics["num_steps"].max() <= 31


def test_warm_up_and_sampling_are_one_program_of_any_length(x64):
    counts = []
    for length in (30, 130):
        traced = []

        def round_hill(x, traced=traced):
            traced.append(None)
            return 0.5 * jnp.sum(x**2)

        modes = find_modes(round_hill, 2, 4, 1)
        traced.clear()
        nuts(round_hill, modes, 2, length, length, 0.9, 1)
        counts.append(len(traced))
    assert counts[0] == counts[1]
