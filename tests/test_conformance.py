"""Every registered model keeps the contract: shapes, jit, vmap, gradients, budget, precision, one compilation."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble.models.base import BuildSettings, Model, resolve
from ensemble.models.examples import example_inputs
from ensemble.models.registry import builtin_models, load_model

MODELS = builtin_models()
# The largest imbalance that counts as rounding, as propagation judges it: whole run, and a year in float32.
BALANCE = {"float64": 1e-12, "float32": 1e-5}
YEARS = 2

every_model = pytest.mark.parametrize("name", MODELS)


def per_record(model: Model) -> int:
    return model.time.per_year if model.time else 1


def simulator(model: Model, options=(), steps=None):
    settings = BuildSettings(model.default_options() | dict(options), steps or per_record(model))
    return model.simulator(settings)


def inputs_of(model: Model, options=(), dtype=None):
    return {name: jnp.asarray(value, dtype) for name, value in example_inputs(model, dict(options), YEARS).items()}


def moved(model: Model, inputs, part: float):
    """The same inputs, each moved by a part of itself, inside its support."""
    specs = {spec.name: spec for spec in model.inputs}
    return {name: jnp.clip(value * (1.0 + part), *specs[name].support) for name, value in inputs.items()}


def choices(model: Model):
    """Every option at each of its values, the others at their default."""
    listed = [[{option.name: value} for value in option.choices] for option in model.options]
    return [{}, *itertools.chain(*listed)]


@every_model
def test_record(name):
    """Names are unique, defaults and examples possible, plausible ranges inside the support."""
    model = MODELS[name]
    for group in (model.inputs, model.outputs, model.options):
        names = [spec.name for spec in group]
        assert len(names) == len(set(names))
    for option in model.options:
        assert not option.choices or option.default in option.choices
    examples = example_inputs(model, years=YEARS)
    for spec in model.inputs:
        low, high = spec.support
        assert low < high
        if spec.plausible is not None:
            assert low <= spec.plausible[0] < spec.plausible[1] <= high
        if spec.name in examples:
            assert np.all(examples[spec.name] >= low) and np.all(examples[spec.name] <= high), spec.name
        for option, values in spec.used_when:
            assert option in model.default_options() and values
    if model.derives is not None:
        assert model.derives in {spec.name for spec in model.outputs}


@every_model
def test_shapes_and_types_under_every_option(name):
    """Outputs are those the record lists under these options, with its axes, in the precision of the inputs."""
    model = MODELS[name]
    with jax.enable_x64(True):
        for options, dtype in itertools.product(choices(model), (jnp.float32, jnp.float64)):
            chosen = model.default_options() | options
            axes = resolve(model.coordinates)(chosen) if model.coordinates is not None else {}
            sizes = {axis: len(values) for axis, values in axes.items()}
            sizes["time"] = YEARS if model.time else YEARS * 12
            outputs = jax.eval_shape(simulator(model, options), inputs_of(model, options, dtype))
            for spec in model.outputs:
                if spec.given(chosen):
                    assert outputs[spec.name].shape == tuple(sizes[dim] for dim in spec.dims), (options, spec.name)
                    assert outputs[spec.name].dtype == dtype, (options, spec.name)
            if model.balance is not None:
                assert outputs[model.balance].shape == ()


@every_model
def test_precisions_agree_and_the_budget_closes(name):
    model = MODELS[name]
    results = {}
    for precision in ("float32", "float64"):
        with jax.enable_x64(precision == "float64"):
            results[precision] = jax.device_get(jax.jit(simulator(model))(inputs_of(model)))
    if model.balance is not None:
        for precision, limit in BALANCE.items():
            assert 0.0 <= results[precision][model.balance] <= limit * (YEARS if precision == "float32" else 1)
    for spec in model.outputs:
        if spec.name in results["float64"]:
            single, double = results["float32"][spec.name], results["float64"][spec.name]
            assert np.isfinite(double).all()
            scale = np.abs(double).max()
            np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4 * scale, err_msg=spec.name)
            assert np.all(double >= spec.support[0] - 1e-12 * scale) and np.all(
                double <= spec.support[1] + 1e-12 * scale
            )


@every_model
def test_one_compilation_and_vmap_equals_loop(name):
    """Two parameter sets trace once; a batch gives what its members give one by one, compiled or not."""
    model, traces = MODELS[name], []
    with jax.enable_x64(True):
        simulate, inputs = simulator(model), inputs_of(model)

        def counted(inputs):
            traces.append(1)
            return simulate(inputs)

        members = [moved(model, inputs, part) for part in (0.0, 0.01)]
        compiled = jax.jit(counted)
        each = [compiled(member) for member in members]
        assert len(traces) == 1
        batch = jax.jit(jax.vmap(simulate))(jax.tree.map(lambda *values: jnp.stack(values), *members))
        plain = simulate(members[1])
        for key in each[0]:
            if key != model.balance:
                np.testing.assert_allclose(batch[key], jnp.stack([one[key] for one in each]), rtol=1e-9, atol=1e-12)
                np.testing.assert_allclose(plain[key], each[1][key], rtol=1e-9, atol=1e-12)


@every_model
def test_gradients_are_finite_and_forward_equals_reverse(name):
    """Of the sum of all outputs with respect to every input at once, along one random direction."""
    model = MODELS[name]
    with jax.enable_x64(True):
        simulate, inputs = simulator(model), moved(model, inputs_of(model), 0.003)
        scales = {key: jnp.abs(value).max() + 1e-30 for key, value in simulate(inputs).items()}

        def total(inputs):
            outputs = simulate(inputs)
            return sum(jnp.sum(values) / scales[key] for key, values in outputs.items() if key != model.balance)

        rng = np.random.default_rng(7)
        along = {key: jnp.asarray(rng.normal(size=value.shape)) * value for key, value in inputs.items()}
        reverse = jax.jit(jax.grad(total))(inputs)
        forward = jax.jit(lambda inputs, along: jax.jvp(total, (inputs,), (along,))[1])(inputs, along)
        for key, gradient in reverse.items():
            assert np.isfinite(gradient).all(), key
        pieces = [jnp.vdot(reverse[key], along[key]) for key in inputs]
        np.testing.assert_allclose(sum(pieces), forward, rtol=1e-7, atol=1e-9 * sum(abs(p) for p in pieces))
        assert any(np.any(gradient != 0.0) for gradient in reverse.values())


@pytest.mark.parametrize("options", choices(MODELS["rothc"])[1:], ids=str)
def test_options_of_rothc_run(options):
    """Every choice gives finite stocks and a closed budget, and is not without effect."""
    model = MODELS["rothc"]
    with jax.enable_x64(True):
        outputs = jax.jit(simulator(model, options))(inputs_of(model, options))
        assert all(np.isfinite(values).all() for values in outputs.values())
        assert outputs[model.balance] < BALANCE["float64"]


def test_a_model_of_the_user(tmp_path):
    """A record whose ``build`` is a function in the user's own file works like any other."""
    (tmp_path / "mine.py").write_text(
        "from ensemble.models.base import Model\n"
        "from ensemble.specs import InputSpec, OutputSpec\n"
        "def build(settings):\n"
        "    return lambda inputs: {'y': inputs['a'] * inputs['x'] ** 2}\n"
        "MINE = Model(name='mine', title='a parabola', build=build,\n"
        "             inputs=(InputSpec('a', '1', 'factor', default=2.0), InputSpec('x', '1', 'place')),\n"
        "             outputs=(OutputSpec('y', '1', 'height'),))\n"
    )
    model = load_model("mine.py:MINE", tmp_path)
    simulate = simulator(model)
    assert float(simulate({"a": 2.0, "x": 3.0})["y"]) == 18.0
    assert float(jax.grad(lambda x: simulate({"a": 2.0, "x": x})["y"])(3.0)) == 12.0
    for reference, message in (
        ("mine.py:OTHER", "no ensemble Model called 'OTHER'"),
        ("other.py:MINE", "does not exist"),
        ("rothk", "no model is called 'rothk'"),
    ):
        with pytest.raises(ValueError, match=message):
            load_model(reference, tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        load_model("broken.py:MINE", tmp_path)
