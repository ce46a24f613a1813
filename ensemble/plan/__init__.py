"""The plan: a study bound to its model, its inputs and its design, checked and cut into tiles."""

from ensemble.plan.plan import Plan, make_plan, with_design, with_members

__all__ = ["Plan", "make_plan", "with_design", "with_members"]
