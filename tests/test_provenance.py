"""What a result depends on is recorded, compared and named."""

import hashlib
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble import provenance
from ensemble.provenance import (
    Platform,
    Provenance,
    canonical_json,
    describe_differences,
    differences,
    digest_of,
    file_checksum,
    file_checksums,
    instruction_set,
    numbers_that_matter,
    study_digest,
    this_platform,
    versions,
)

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
plain = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_digest_forgets_the_order_of_keys_and_nothing_else(study):
    shuffled = dict(reversed(list(study.items())))
    assert digest_of(shuffled) == digest_of(study) == digest_of(json.loads(canonical_json(study)))
    for key in study:
        assert digest_of({**study, key: [study[key]]}) != digest_of(study)


def present(value):
    """A key that is absent and one that is None are the same to a study."""
    if isinstance(value, dict):
        return {k: present(v) for k, v in value.items() if v is not None}
    return [present(v) for v in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(min_size=1), plain, max_size=3), st.dictionaries(st.text(min_size=1), plain, max_size=3))
def test_differences_name_every_change(old, new):
    assert list(differences(old, old)) == []
    if canonical_json(present(old)) != canonical_json(present(new)) and present(old) != present(new):
        assert list(differences(old, new))
    assert [(k, b, a) for k, a, b in differences(old, new)] == list(differences(new, old))


def test_differences_are_told_by_dotted_keys():
    old = {"design": {"seed": 1, "members": 16}, "uncertain": [{"cv": 0.1}, {"cv": 0.2}], "model": "rothc"}
    new = {"design": {"seed": 2, "members": 32}, "uncertain": [{"cv": 0.1}, {"cv": 0.3}], "options": {"a": "x" * 99}}
    assert describe_differences(old, new) == (
        "design.members: 16 -> 32, design.seed: 1 -> 2, model: rothc -> absent, and 2 more"
    )
    assert "uncertain[1].cv: 0.2 -> 0.3" in describe_differences(old, new, 9)
    assert len(describe_differences(old, {**old, "title": "x" * 999})) < 100


def test_what_never_changes_a_number_is_left_out():
    study = {"model": "rothc", "title": "a", "execution": {"devices": 2}, "report": {"output": "soc"}}
    other = {"model": "rothc", "title": "b"}
    assert numbers_that_matter(study) == {"model": "rothc"}
    assert study_digest(study, {}, 1) == study_digest(other, {}, 1)
    digests = {study_digest(other, {}, 2), study_digest(other, {"a": "0"}, 1), study_digest({"model": "x"}, {}, 1)}
    assert study_digest(study, {}, 1) not in digests and len(digests) == 3


def test_checksums_of_files(tmp_path):
    data = np.random.default_rng(1).bytes(3 * 2**20 + 5)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/forcing.csv").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert file_checksum(tmp_path / "data/forcing.csv") == expected
    assert file_checksums([tmp_path / "data/forcing.csv"], tmp_path) == {"data/forcing.csv": expected}
    assert list(file_checksums([tmp_path / "data/forcing.csv"], tmp_path / "study")) == [
        (tmp_path / "data/forcing.csv").as_posix()
    ]


def test_this_platform():
    here = this_platform()
    assert here.packages["jaxlib"] == jax.lib.__version__ and here.packages["numpy"] == np.__version__
    assert here.device.startswith(jax.default_backend())
    assert here == this_platform(here.device)
    assert Platform(**json.loads(json.dumps(here.as_dict()))) == here
    assert {"python", "ensemble", "jax", "jaxlib", "numpy", "zarr", "xarray"} <= set(versions())


@pytest.mark.parametrize(
    ("features", "limit", "expected"),
    [
        ({"AVX512F": True, "AVX2": True, "AVX": True, "SSE42": True}, "", "avx512"),
        ({"AVX2": True, "AVX": True, "SSE42": True}, "", "avx2"),
        ({"AVX512F": True, "AVX2": True, "AVX": True, "SSE42": True}, "AVX2", "avx2"),
        ({"AVX512F": True, "AVX2": True, "AVX": True, "SSE42": True}, "SSE4_2", "sse4.2"),
        ({"AVX2": True, "AVX": True, "SSE42": True}, "AVX512_VNNI", "avx2"),
        ({"AVX512F": True, "AVX2": True, "AVX": True, "SSE42": True}, "AVX", "avx"),
        ({"NEON": True}, "", "neon"),
        ({}, "", "baseline"),
    ],
)
def test_instruction_set_respects_the_processor_and_the_limit(monkeypatch, features, limit, expected):
    from numpy._core import _multiarray_umath

    monkeypatch.setattr(_multiarray_umath, "__cpu_features__", features)
    monkeypatch.setenv("XLA_FLAGS", f"--xla_cpu_max_isa={limit}" if limit else "")
    assert instruction_set() == expected


def test_recorded_instructions_are_those_of_this_processor():
    assert instruction_set() in {name for _, name in provenance.INSTRUCTION_SETS} | {"baseline"}
    if sys.platform == "linux" and instruction_set().startswith("avx"):
        with open("/proc/cpuinfo") as file:
            flags = next(line for line in file if line.startswith("flags")).split()
        assert {"avx512": "avx512f"}.get(instruction_set(), instruction_set()) in flags


def test_provenance_becomes_attributes_without_jax():
    made = Provenance({"model": "rothc"}, 3, this_platform("cpu"), {"a.csv": "00"})
    attrs = json.loads(json.dumps(made.as_attributes()))
    assert attrs["study_digest"] == made.digest == study_digest(attrs["study"], attrs["inputs"], attrs["seed"])
    code = "import sys, ensemble.provenance as p; p.versions(), p.this_platform('cpu'); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
