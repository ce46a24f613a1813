"""Bayesian calibration: from observations to a joint posterior, with the checks that decide whether to trust it."""
