"""Whatever is written in a study or a table, the answer is a plan or one sentence, never a traceback."""

import copy
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from studies import FORCING_HEAD, TEXT, forcing_rows, write_forcing, write_study

from ensemble.config import load_study
from ensemble.errors import InputError
from ensemble.pipeline import describe_plan
from ensemble.plan import make_plan

COLUMNS = FORCING_HEAD.split(",")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        ["", "%", "normal", "lognormal", "sobol", "rothc", "clay", "soc", "forcing.csv", "no such thing", "ä"]
    ),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["mean", "value", "file", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["mean", "sd", "cv", "median", "quantiles", "lower", "upper", "as", "per", "input", "distribution", "values", "units",
     "autocorrelation", "weather", "type", "levels", "errors", "members", "options", "scenarios", "sites", "equilibrium"]
)  # fmt: skip


BASE = YAML(typ="safe", pure=True).load(TEXT)


def paths(tree, above=()):
    """Every place in a nested study."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from paths(value, (*above, key))


PLACES = list(paths(BASE))


@st.composite
def studies(draw):
    """A valid study with up to three changes: a value replaced, a key removed, a key added."""
    study = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(PLACES))
        parent = study
        for key in place[:-1]:
            parent = parent[key] if isinstance(parent, list | dict) and _has(parent, key) else {}
        if not isinstance(parent, dict | list) or not _has(parent, place[-1]):
            continue
        change = draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace":
            parent[place[-1]] = draw(VALUES)
        elif change == "remove":
            del parent[place[-1]]
        elif isinstance(parent[place[-1]], dict):
            parent[place[-1]][draw(KEYS)] = draw(VALUES)
    return study


def _has(parent, key):
    return key in parent if isinstance(parent, dict) else isinstance(key, int) and key < len(parent)


@st.composite
def forcings(draw):
    """A forcing table with changed cells, rows and columns."""
    rows = [list(row) for row in forcing_rows(2)]
    for _ in range(draw(st.integers(0, 3))):
        row, column = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(COLUMNS) - 1))
        rows[row][column] = draw(
            st.one_of(st.floats(-1e6, 1e6), st.sampled_from(["", "nan", "inf", "x", "-5", "13", "1e400"]))
        )
    if draw(st.booleans()):
        first = draw(st.integers(0, len(rows)))
        rows = rows[:first] + rows[draw(st.integers(0, len(rows))) :]
    head = FORCING_HEAD
    if draw(st.integers(0, 5)) == 0:
        head = ",".join(draw(st.permutations(COLUMNS)))
    return head, rows


def answer(folder, overrides=()):
    """A plan, or the one sentence that refuses the study."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plan = make_plan(load_study(folder / "study.yaml", overrides))
            return "\n".join(describe_plan(plan, folder / "store.zarr"))
        except InputError as error:
            sentence = str(error)
            assert sentence.strip()
            assert "\n" not in sentence, sentence
            return sentence


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz")
    write_study(path)
    return path


GENEROUS = dict(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@settings(max_examples=1500, **GENEROUS)
@given(study=studies())
def test_studies(folder, study):
    write_forcing(folder / "forcing.csv", forcing_rows())
    with open(folder / "study.yaml", "w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(_writable(study), stream)
    assert answer(folder)


def _writable(value):
    """Text that YAML cannot hold is left out."""
    if isinstance(value, dict):
        return {k: _writable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_writable(v) for v in value]
    if isinstance(value, str):
        return "".join(c for c in value if c.isprintable())
    return value


@settings(max_examples=400, **GENEROUS)
@given(table=forcings())
def test_tables(folder, table):
    head, rows = table
    (folder / "study.yaml").write_text(TEXT)
    write_forcing(folder / "forcing.csv", rows, head)
    assert answer(folder)


@settings(max_examples=100, **GENEROUS)
@given(text=st.text(max_size=200))
def test_any_text_is_no_traceback(folder, text):
    (folder / "study.yaml").write_text(text, encoding="utf-8", errors="ignore")
    assert answer(folder)


@settings(max_examples=200, **GENEROUS)
@given(
    key=st.sampled_from([".".join(map(str, p)) for p in PLACES] + ["a.b", "", "inputs.", "uncertain.x.y"]),
    value=SCALARS,
)
def test_overrides(folder, key, value):
    write_forcing(folder / "forcing.csv", forcing_rows())
    (folder / "study.yaml").write_text(TEXT)
    assert answer(folder, [f"{key}={value}"])
