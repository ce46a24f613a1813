"""The study: what the user wrote, validated, with the line of every key. Imports no JAX."""

from ensemble.config.load import StudyFile, load_study, study_from_record
from ensemble.config.schema import StudyRecord
from ensemble.errors import InputError, SuspiciousInput

__all__ = ["InputError", "StudyFile", "StudyRecord", "SuspiciousInput", "load_study", "study_from_record"]
