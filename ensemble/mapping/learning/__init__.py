"""Maps learned from samples: boosted trees, their validation, and realisations that carry the whole error."""
