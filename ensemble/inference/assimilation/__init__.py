"""Measurements taken in as they arrive: particles for parameters, an exact Kalman filter for what they leave open."""
