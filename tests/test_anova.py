"""Type-II ANOVA against statsmodels, and its refusals."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

from ensemble.inference.anova import anova


@pytest.fixture(scope="module")
def study():
    """An unbalanced factorial of 60 runs with 5 yearly rows each."""
    rng = np.random.default_rng(3)
    runs = 60
    frame = pd.DataFrame(
        {
            "run": np.repeat(np.arange(runs), 5),
            "climate": np.repeat(rng.choice(["dry", "wet", "boreal"], runs, p=[0.5, 0.3, 0.2]), 5),
            "protection": np.repeat(rng.choice(["none", "clay", "pores"], runs), 5),
            "erosion": np.repeat(rng.exponential(1.0, runs), 5),
            "year": np.tile(np.arange(5.0), runs),
        }
    )
    frame["stock"] = (
        80.0
        + 10.0 * (frame.climate == "wet")
        - 4.0 * (frame.protection == "clay") * (frame.climate == "dry")
        - 3.0 * frame.erosion
        + 0.2 * frame.year
        + np.repeat(rng.normal(0, 3, runs), 5)
        + rng.normal(0, 1, 5 * runs)
    )
    return frame


def fitted(study, interactions=()):
    factors = {name: study[name].to_numpy() for name in ("climate", "protection", "erosion", "year")}
    return anova(study.stock.to_numpy(), factors, interactions, {"climate": "dry", "protection": "none"}, study.run)


FORMULA = "stock ~ C(climate, Treatment('dry')) + C(protection, Treatment('none')) + erosion + year"


@pytest.mark.parametrize(
    ("interactions", "extra"),
    [
        ((), ""),
        ((("climate", "protection"), ("climate", "erosion")),
         " + C(climate, Treatment('dry')):C(protection, Treatment('none')) + C(climate, Treatment('dry')):erosion"),
    ],
)  # fmt: skip
def test_equals_statsmodels(study, interactions, extra):
    ours = fitted(study, interactions)
    model = smf.ols(FORMULA + extra, study)
    plain, clustered = model.fit(), model.fit(cov_type="cluster", cov_kwds={"groups": study.run}, use_t=True)
    table = sm.stats.anova_lm(plain, typ=2)

    def key(name):
        return name.replace("C(climate, Treatment('dry'))", "climate").replace(
            "C(protection, Treatment('none'))", "protection"
        )

    rows = {key(name): row for name, row in table.iterrows()}
    theirs = np.array([rows[name][["sum_sq", "df", "F", "PR(>F)"]].to_numpy(float) for name in ours.terms])
    mine = np.column_stack([ours.sum_of_squares, ours.freedom, ours.f, ours.p])
    np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-12)
    total = ((study.stock - study.stock.mean()) ** 2).sum()
    np.testing.assert_allclose(ours.eta_squared, theirs[:, 0] / total, rtol=1e-8)
    assert ours.adjusted_r2 == pytest.approx(plain.rsquared_adj, rel=1e-10)
    names = {key(name).replace("[T.", "[").replace("Intercept", "intercept"): name for name in plain.params.index}
    for mine, name in names.items():
        assert ours.coefficients[mine] == pytest.approx(plain.params[name], rel=1e-8)
        assert ours.standard_errors[mine] == pytest.approx(clustered.bse[name], rel=1e-8)
        assert ours.p_values[mine] == pytest.approx(clustered.pvalues[name], rel=1e-6, abs=1e-14)
    if not interactions:
        wald = clustered.wald_test_terms(scalar=True).table
        theirs = {key(name): float(row["statistic"]) for name, row in wald.iterrows()}
        np.testing.assert_allclose(ours.f_clustered, [theirs[name] for name in ours.terms], rtol=1e-8)


def test_clusters_matter(study):
    """Five rows a run with a run effect: pretending independence halves the error of a run's factor."""
    factors = {"erosion": study.erosion.to_numpy(), "climate": study.climate.to_numpy()}
    independent = anova(study.stock.to_numpy(), factors)
    clustered = anova(study.stock.to_numpy(), factors, clusters=study.run)
    assert clustered.standard_errors["erosion"] > 1.5 * independent.standard_errors["erosion"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"response": np.ones(300)}, "does not vary"),
        ({"references": {"climate": "moon"}}, "no level 'moon'; allowed: boreal, dry, wet"),
        ({"references": {"soil": "a"}}, "no factor 'soil'"),
        ({"interactions": [("climate", "soil")]}, "names 'soil'"),
        ({"clusters": np.zeros(300)}, "at least 2 runs"),
    ],
)
def test_wrong_use_is_one_sentence(study, change, message):
    arguments = {"response": study.stock.to_numpy(), "factors": {"climate": study.climate.to_numpy()}} | change
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        anova(**arguments)


def test_factors_that_cannot_be_told_apart(study):
    twin = {"a": study.erosion.to_numpy(), "b": 2.0 * study.erosion.to_numpy()}
    with pytest.raises(ValueError, match="cannot be told apart"):
        anova(study.stock.to_numpy(), twin)
    with pytest.raises(ValueError, match="one level only"):
        anova(study.stock.to_numpy(), {"a": np.full(300, "x")})
