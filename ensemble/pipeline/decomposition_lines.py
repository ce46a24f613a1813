"""What a decomposition says, as lines for a terminal."""

from __future__ import annotations

import numpy as np
import xarray as xr

SHOWN = 12


def decomposition_lines(data: xr.Dataset) -> tuple[str, ...]:
    """A table of every output at its last record and first site (or class of sites), and the notes."""
    data = data.rename({"class": "site"}) if "class" in data.dims else data
    anova = "coefficient" in data.coords
    ending = "_eta_squared" if anova else "_total"
    names = [str(name).removesuffix(ending) for name in data.data_vars if str(name).endswith(ending)]
    names = [name for name in names if "_generalised" not in name and not name.endswith(("_pick_freeze", "_surrogate"))]
    lines: list[str] = []
    for name in names:
        lines += _anova(data, name) if anova else _shares(data, name)
    notes = np.atleast_1d(data.attrs.get("notes", []))
    return (*lines, *(str(note) for note in notes))


def _shares(data: xr.Dataset, name: str) -> list[str]:
    lines = []
    for scenario in data["scenario"].values:
        here = data.isel(site=0).sel(scenario=scenario)
        here = here.isel({dim: -1 for dim in here.dims if dim in ("time", "depth")})
        what = f"{data.attrs['what']} of {name}" if "what" in data.attrs else name
        if not np.isfinite(here[f"{name}_total"].values).any():
            lines.append(f"{what}, {scenario}: does not vary between members at the end, so it has no shares (0/0)")
            continue
        lines.append(f"{what}, {scenario}: shares of the variance at the end, with 95 % intervals")
        lines.append(f"  {'input':24}{'alone':>18}{'in all':>18}{'Shapley':>10}{'fall if error is halved':>25}")
        total = here[f"{name}_total"].values
        for g in np.argsort(-np.nan_to_num(total), kind="stable")[:SHOWN]:
            row = f"  {here['parameter'].values[g]!s:24}"
            for kind in ("first_order", "total"):
                value, width = (float(here[f"{name}_{kind}{end}"].values[g]) for end in ("", "_half_width"))
                row += f"{value:10.3f} ±{width:6.3f}"
            shapley = here[f"{name}_shapley"].values[g] if f"{name}_shapley" in here else np.nan
            share = float(here[f"{name}_fall_if_halved"].values[g]) / float(here[f"{name}_variance"])
            row += f"{'–' if np.isnan(shapley) else f'{shapley:.3f}':>10}"
            lines.append(row + f"{'–' if np.isnan(share) else f'{100 * share:.1f} %':>25}")
    return lines


def _anova(data: xr.Dataset, name: str) -> list[str]:
    lines = [f"{name}: type-II ANOVA, adjusted R2 {float(data[f'{name}_adjusted_r2']):.3f}"]
    lines.append(f"  {'term':32}{'eta squared':>12}{'F clustered':>13}{'p':>10}")
    eta = data[f"{name}_eta_squared"].values
    for k in np.argsort(-eta, kind="stable"):
        f, p = (float(data[f"{name}_{key}_clustered"].values[k]) for key in ("f", "p"))
        lines.append(f"  {data['parameter'].values[k]!s:32}{eta[k]:12.4f}{f:13.2f}{p:10.2g}")
    return lines
