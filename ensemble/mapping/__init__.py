"""Maps: zones, totals of regions, averages of models, and populations made from published statistics."""
