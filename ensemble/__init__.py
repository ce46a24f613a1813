"""ensemble: soil organic carbon with an honest error bar."""

__version__ = "0.1.0"
