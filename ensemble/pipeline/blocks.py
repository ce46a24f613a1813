"""Members of a finished stage in blocks of sites, so that memory does not grow with the number of sites."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

# About the most bytes that are read at once; every block holds all members of its sites.
READ_BYTES = 32 * 2**20


def site_blocks(array: xr.DataArray, step: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
    """Numbers of an array ``(..., site, ...)`` that lies in a store, ``step`` sites at a time, in order.

    As many steps as fit are read at once, because a chunk of a store holds many sites.
    """
    sites, axis = array.sizes["site"], array.get_axis_num("site")
    steps = max(1, int(READ_BYTES // max(array.nbytes // max(sites, 1) * step, 1)))
    for start in range(0, sites, steps * step):
        values = array.isel(site=slice(start, start + steps * step)).values
        for first in range(0, values.shape[axis], step):
            here = slice(start + first, min(start + first + step, sites))
            yield here, values[(slice(None),) * axis + (slice(first, first + step),)]


def sound_members(members: xr.Dataset) -> np.ndarray:
    """Which members failed at no site, ``(member,)``.

    Args:
        members: with ``failed``, ``(member, site)``.
    """
    sound = np.ones(members.sizes["member"], bool)
    for _, failed in site_blocks(members["failed"]):
        sound &= (failed == 0).all(axis=1)
    return sound
