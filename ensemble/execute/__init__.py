"""Who computes which tile, how progress is shown, and how a run is stopped."""
