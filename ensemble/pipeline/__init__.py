"""The only wiring: one function a stage, used by the command line and the public API."""

from ensemble.pipeline.calibrating import CalibrationResult, calibrate_plan, check_calibration
from ensemble.pipeline.describe import describe_plan, plan_notes
from ensemble.pipeline.hand_over import export_store
from ensemble.pipeline.learning import MapResult, learn_maps
from ensemble.pipeline.loading import load_plan, store_of
from ensemble.pipeline.reporting import report_store
from ensemble.pipeline.run import RunResult, decompose_plan, run_plan
from ensemble.pipeline.submitting import next_round, submit_plan
from ensemble.pipeline.working import plan_of_store, work_plan

__all__ = [
    "CalibrationResult",
    "MapResult",
    "RunResult",
    "calibrate_plan",
    "check_calibration",
    "decompose_plan",
    "describe_plan",
    "export_store",
    "learn_maps",
    "load_plan",
    "next_round",
    "plan_notes",
    "plan_of_store",
    "report_store",
    "run_plan",
    "store_of",
    "submit_plan",
    "work_plan",
]
