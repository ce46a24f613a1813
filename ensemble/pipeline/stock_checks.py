"""Checks that every product made of carbon stocks over time shares: credits, rates and inventories."""

from __future__ import annotations

from ensemble.plan import Plan


def check_scenario(plan: Plan, path: tuple[str, ...], name: str) -> None:
    """Refuse a scenario that the study has not.

    Args:
        plan: of the study.
        path: key of the study that names the scenario.
        name: what it says.

    Raises:
        InputError: there is no such scenario.
    """
    if name not in plan.scenarios:
        raise plan.study.error(path, f"'{name}' is not a scenario; allowed: {', '.join(plan.scenarios)}")


def check_stock_output(plan: Plan, group: str, name: str, key: str = "output") -> None:
    """Refuse an output that is no carbon stock over time.

    Args:
        plan: of the study.
        group: part of the study that names it.
        name: what it says.
        key: where in that part.

    Raises:
        InputError: the study has no such output, or it is not in t C/ha over time.
    """
    spec = {spec.name: spec for spec in plan.outputs}.get(name)
    if spec is None or spec.units != "t C/ha" or "time" not in spec.dims:
        text = f"'{name}' is not a stock in t C/ha over time among the outputs of this study"
        raise plan.study.error((group, key), text)
