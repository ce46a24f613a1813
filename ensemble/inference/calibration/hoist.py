"""Do once what does not depend on the parameters: rate modifiers, soil moisture, the constant part of an input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun


def hoist(function: Callable[[Any, Any], Any], fixed: Any, free: Any) -> Callable[[Any], Any]:
    """``function(fixed, .)`` with every operation that depends on ``fixed`` alone already carried out.

    The function is traced once; operations (whole loops among them) are sorted into those that a free argument
    reaches and those it does not, and the latter are evaluated here. Sampling then repeats only the former.

    Args:
        function: pure JAX function of two trees.
        fixed: its first argument, arrays.
        free: shapes of its second argument, as a tree of arrays.

    Returns:
        A function of the second argument alone, equal to ``function(fixed, .)`` to the last bit.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(fixed, free)
    jaxpr, leaves = closed.jaxpr, jax.tree.leaves(fixed)
    early_in, late_in = jaxpr.invars[: len(leaves)], jaxpr.invars[len(leaves) :]
    known = {*jaxpr.constvars, *early_in}
    early, late = [], []
    for equation in jaxpr.eqns:
        if all(isinstance(v, Literal) or v in known for v in equation.invars):
            early.append(equation)
            known |= set(equation.outvars)
        else:
            late.append(equation)
    used = [v for e in late for v in e.invars] + list(jaxpr.outvars)
    passed = list(dict.fromkeys(v for v in used if not isinstance(v, Literal) and v in known))
    first = jaxpr.replace(invars=early_in, eqns=early, outvars=passed, debug_info=_anonymous(jaxpr))
    second = jaxpr.replace(constvars=passed, invars=late_in, eqns=late, debug_info=_anonymous(jaxpr))
    values = jax.jit(jaxpr_as_fun(ClosedJaxpr(first, closed.consts)))(*leaves)
    rest, tree = jaxpr_as_fun(ClosedJaxpr(second, values)), jax.tree.structure(shape)
    return lambda free: jax.tree.unflatten(tree, rest(*jax.tree.leaves(free)))


def _anonymous(jaxpr: Any) -> Any:
    """Names of arguments would no longer fit their number."""
    return jaxpr.debug_info._replace(arg_names=None, result_paths=None)
