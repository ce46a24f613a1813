"""Models as immutable records: look them up in :mod:`ensemble.models.registry`."""
