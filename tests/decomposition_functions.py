"""Test functions of independent probabilities (n, d), with exact variance shares where they are known."""

import numpy as np
from scipy.special import ndtri


def ishigami(u):
    """Ishigami & Homma (1990) with a = 7, b = 0.1; (n, 1)."""
    x = (2.0 * u - 1.0) * np.pi
    return (np.sin(x[:, 0]) + 7.0 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0]))[:, None]


def ishigami_exact():
    """First, total and closed second-order shares, in closed form."""
    one = 0.5 * (1.0 + 0.1 * np.pi**4 / 5.0) ** 2
    two, both = 49.0 / 8.0, 0.01 * np.pi**8 * (1.0 / 18.0 - 1.0 / 50.0)
    first, total = np.array([one, two, 0.0]), np.array([one + both, two, both])
    closed = np.array([one + two, one + both, two])
    return np.concatenate([first, total, closed]) / (one + two + both)


G_WEIGHTS = np.array([0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0])


def g_function(u):
    """Sobol's g-function, d = 8; (n, 1)."""
    return np.prod((np.abs(4.0 * u - 2.0) + G_WEIGHTS) / (1.0 + G_WEIGHTS), axis=1)[:, None]


def g_exact():
    """First and total shares."""
    part = 1.0 / (3.0 * (1.0 + G_WEIGHTS) ** 2)
    variance = np.prod(1.0 + part) - 1.0
    return np.concatenate([part, part * np.prod(1.0 + part) / (1.0 + part)]) / variance


TEMPERATURE = np.array([3.05, 3.23, 5.27, 7.57, 10.90, 13.88, 15.89, 15.83, 13.54, 10.36, 5.98, 4.00])


def rothc_like(u, years=50, every=5):
    """Soil carbon (n, years / every), t C/ha, of RothC's pools with ten uncertain inputs.

    Monthly RothC (Coleman & Jenkinson 1996) from equilibrium, Rothamsted's mean temperatures, a moisture
    factor in place of the water balance. Normal: clay (23.4, 3 %), temperature offset (0, 0.5 degC);
    lognormal: moisture factor, old and new carbon input, k_hum, k_rpm, k_bio, inert carbon, DPM/RPM.
    """
    z = ndtri(u).T
    clay, offset = 23.4 + 3.0 * z[0], 0.5 * z[1]
    medians = (0.8, 2.0, 3.0, 0.02, 0.3, 0.66, 3.0, 1.44)
    spreads = (0.1, 0.15, 0.2, 0.2, 0.2, 0.2, 0.3, 0.2)
    moist, old, new, k_hum, k_rpm, k_bio, inert, ratio = (
        m * np.exp(s * x) for m, s, x in zip(medians, spreads, z[2:], strict=True)
    )
    respired = 1.67 * (1.85 + 1.60 * np.exp(-0.0786 * clay))
    to_bio, to_hum = 0.46 / (respired + 1.0), 0.54 / (respired + 1.0)
    rates = [47.91 / (1.0 + np.exp(106.06 / (t + offset + 18.27))) * moist * 0.6 / 12.0 for t in TEMPERATURE]

    def year(pools, carbon):
        dpm, rpm, bio, hum = pools
        for rate in rates:
            losses = [p * -np.expm1(-k * rate) for p, k in ((dpm, 10.0), (rpm, k_rpm), (bio, k_bio), (hum, k_hum))]
            turned = sum(losses)
            share = ratio / (1.0 + ratio) * carbon / 12.0
            dpm, rpm = dpm - losses[0] + share, rpm - losses[1] + carbon / 12.0 - share
            bio, hum = bio - losses[2] + to_bio * turned, hum - losses[3] + to_hum * turned
        return [dpm, rpm, bio, hum]

    zero = np.zeros_like(clay)
    rest = np.stack(year([zero] * 4, old), -1)
    units = [np.stack(year([zero + (k == j) for k in range(4)], old), -1) - rest for j in range(4)]
    pools = list(np.linalg.solve(np.eye(4) - np.stack(units, -1), rest[..., None])[..., 0].T)
    found = []
    for count in range(1, years + 1):
        pools = year(pools, new)
        if count % every == 0:
            found.append(sum(pools) + inert)
    return np.stack(found, -1)
