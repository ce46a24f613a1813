"""What is learned from an ensemble: calibration, diagnostics, variance decomposition."""
