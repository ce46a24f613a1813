"""Rules by which a model is validated for a carbon standard, as pure functions of a table of measurements."""
