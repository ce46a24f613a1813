"""The report of a three-scenario ensemble against the measurements of Hoosfield, and of ensembles of other shapes."""

import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ensemble import report, summary
from ensemble.report import numbers
from ensemble.report.decomposition import _label_place
from ensemble.report.ridges import density
from ensemble.specs import OutputSpec
from ensemble.summary import skill

R = 16
# Soil organic carbon 0-23 cm, t C/ha, Hoosfield spring barley; Rothamsted Research, e-RA, doi 10.23637/KeyRefOAHBsoc
# (CC BY 4.0): year, unfertilised, manured, manured 1852-1871 only.
HOOSFIELD = """
1882 26.5 59.9 51.4
1913 26.8 75.5 43.2
1946 25.3 76.3 38.8
1965 24.2 87.2 35.4
1975 26.5 86.8 41.4
1982 23.3 85.4 35.4
1998 27.4 93.0 39.3
"""
ARMS = ("unfertilised", "manured", "manure_stopped")
TITLES = {"unfertilised": "unfertilised", "manured": "manured every year", "manure_stopped": "manured until 1871"}
POOLS = ("iom", "hum", "rpm")
LONG = {"iom": "inert organic matter", "hum": "humified organic matter", "rpm": "resistant plant material"}
INPUTS = ("k_hum", "k_rpm", "plant_carbon", "manure_carbon", "iom")


def spec(name, long_name):
    return OutputSpec(name, "t C/ha", long_name, ("time",), support=(0, np.inf))


SPECS = {"soc": spec("soc", "soil organic carbon")} | {name: spec(name, text) for name, text in LONG.items()}
SPECS["soc_with_measurement_error"] = spec("soc_with_measurement_error", "soil organic carbon, as it would be measured")


def simulate(draws, years, arms, sites):
    """Three pools under yearly input: humus is fed by the decay of plant material (yearly exact steps)."""
    k_hum, k_rpm, plant, manure, iom = (draws[:, i, None, None] for i in range(5))
    gift = np.zeros((arms, years))
    gift[1:] = 3.0
    gift[2:, 20:] = 0.0
    grown = np.array([1.6, 2.8, 2.0])[:arms]
    wealth = np.linspace(0.7, 1.4, sites)[None, None, :] if sites > 1 else np.ones((1, 1, 1))
    rpm, hum = 5.5 * wealth + 0 * k_hum, 25.0 * wealth * (0.02 / k_hum) ** 0.6
    rpm, hum = (np.repeat(pool, arms, axis=1) for pool in (rpm, hum))
    out = {name: np.empty((len(draws), arms, sites, years)) for name in ("soc", *POOLS)}
    for t in range(years):
        added = (grown[None, :, None] * plant + gift[None, :, t, None] * manure) * wealth
        decayed = rpm * (1 - np.exp(-k_rpm))
        rpm = rpm - decayed + 0.55 * added
        hum = hum * np.exp(-k_hum) + 0.3 * decayed + 0.12 * added
        for name, pool in (("iom", 0 * rpm + iom), ("hum", hum), ("rpm", rpm), ("soc", iom + hum + rpm)):
            out[name][..., t] = pool
    return out


def results(members=512, arms=3, sites=1, years=147, observed=True, kept=True, failures=0):
    """A finished run as the pipeline would hand it over, from real draws through the real summary."""
    rng = np.random.default_rng(1852)
    normal = rng.normal(size=(members, 5))
    centre, cv = np.array([0.02, 0.3, 1.0, 1.0, 2.7]), np.array([0.15, 0.15, 0.15, 0.15, 0.5])
    draws = centre * np.exp(cv * normal)
    outputs = simulate(draws, years, arms, sites)
    outputs["soc_with_measurement_error"] = outputs["soc"] * (1 + 0.07 * rng.normal(size=outputs["soc"].shape))
    outputs |= summary.paired_differences(outputs, ["soc"])
    specs = SPECS | {"soc_difference": summary.difference_spec(SPECS["soc"], ARMS[0])}
    failed = np.zeros((members, sites), np.uint8)
    failed[:failures, 0] = 1
    for values in outputs.values():
        values[:failures, :, 0] = np.nan
    replicate = np.arange(members) % R
    made = summary.summarise_tile(outputs, failed, replicate, R)
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    quantiles = {name: summary.exact_quantiles(v, failed, replicate, R, levels) for name, v in outputs.items()}
    time = np.array([f"{1852 + y}-12-31" for y in range(years)], "datetime64[s]")
    names = tuple(f"field {n + 1}" for n in range(sites)) if sites > 1 else ("Hoosfield",)
    layer = {"layer_depth_bounds": (("site", "bounds"), np.tile([0.0, 23.0], (sites, 1)))}
    coordinates = {"scenario": list(ARMS[:arms]), "site": list(names), "time": time}
    statistics = summary.statistics_dataset(made, specs, coordinates, quantiles).assign_coords(layer)
    dims = ("member", "scenario", "site", "time")
    stored = {"soc": (dims, outputs["soc"]), "failed": (("member", "site"), failed)}
    dataset = xr.Dataset(stored, coordinates) if kept else None
    more = compared(outputs, names, arms) if observed else {}
    step = 1e-4
    rises = [simulate((centre * np.exp(step * np.eye(5)[i]))[None], years, arms, sites)["soc"] for i in range(5)]
    base = simulate(centre[None], years, arms, sites)["soc"]
    gradients = np.stack([(rise - base)[0] / step for rise in rises])  # by the logarithm of each input
    return report.Results(
        main="soc", statistics=statistics, members=dataset, titles=TITLES, sites=names[:2], pools=POOLS,
        tornado=report.Tornado(INPUTS, gradients[..., -1] * cv[:, None, None]),
        delta_sd=summary.delta_sd(gradients, np.diag(cv**2)), delta_leaves_out=("monthly temperature",),
        failures=pd.DataFrame({"member": range(failures), "site": names[0], "reason": "an output is not finite"}),
        facts=(("members", str(members)), ("design", "scrambled Sobol, 16 replicates")),
        provenance=(("ensemble", "0.1.0"), ("study digest", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")),
        files=(("configs/data/hoosfield_soc.csv", "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"),),
        reproduce=("pip install soc-ensemble==0.1.0", "ensemble run configs/hoosfield.yaml"),
        limits=("The structure of the model is taken as true.", "Plots are one plot each: no error between plots."),
        title="Hoosfield spring barley 1852–1998", footer="ensemble 0.1.0, Apache-2.0", **more,
    )  # fmt: skip


def compared(outputs, sites, arms):
    """Observations and their differences from the first scenario, as the pipeline compares them."""
    rows = [line.split() for line in HOOSFIELD.split("\n") if line]
    cells = [
        (ARMS[a], sites[0], int(r[0]) + 1.0, int(r[0]) - 1852, "soc", float(r[a + 1]), ARMS[a], "")
        for a in range(arms)
        for r in rows
    ]
    cells += [
        (f"{ARMS[a]} minus {ARMS[0]}", *cells[k][1:5], cells[7 * a + k][5] - cells[k][5], ARMS[a], ARMS[0])
        for a in range(1, arms)
        for k in range(7)
    ]
    names = ["scenario", "site", "time", "record", "variable", "value", "arm", "reference"]
    table = pd.DataFrame(cells, columns=names)
    table["error"] = 0.07 * table["value"]
    keep = np.isfinite(outputs["soc"][:, 0, 0, 0])

    def at(name):
        below = skill.at_observations(outputs[name][keep], table.assign(scenario=ARMS[0]), ARMS[:arms], sites)
        above = skill.at_observations(outputs[name][keep], table.assign(scenario=table["arm"]), ARMS[:arms], sites)
        return above - np.where(table["reference"] != "", below, 0.0)

    pair = at("soc"), at("soc_with_measurement_error")
    found = skill.observation_skill(table, *pair)
    groups = skill.group_skill(found, *pair, by=["variable", "scenario", "site"])
    plain = table[table["reference"] == ""]
    return {"observations": plain, "skill": found, "groups": groups, "measured": "soc_with_measurement_error"}


class Page(HTMLParser):
    """Collects what a page is made of and refuses tags that are not closed in order."""

    VOID = ("meta", "br", "img", "link", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.links, self.text = [], [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[key] for key in ("href", "src", "xlink:href") if key in found]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split()).replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def run():
    return results(failures=3)


@pytest.fixture(scope="module")
def html(run):
    return report.render(report.run_report(run))


def test_the_page_stands_alone_and_is_well_formed(html):
    page = Page(html)
    assert "script" not in page.tags and "img" not in page.tags and "link" not in page.tags
    assert len(set(page.ids)) == len(page.ids)
    for link in page.links:
        assert link.startswith("#") and link[1:] in page.ids, link
    assert not re.search(r"url\((?!#)", html)
    assert len(html) < 450_000
    drawings = re.findall(r"<svg [^>]*role=\"img\".*?</svg>", html, flags=re.DOTALL)
    assert len(drawings) == 3 + 2 + 2 + 3 + 3  # fans, differences, distributions, tornados, pools
    for drawing in drawings:
        tree = ElementTree.fromstring(drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
        title = tree.find("{http://www.w3.org/2000/svg}title")
        assert title is not None and title.text == tree.attrib["aria-label"] and re.search(r"\d", title.text)


def test_one_member_has_no_distribution():
    page = report.render(report.run_report(results(members=16, years=10, observed=False, failures=15)))
    assert "One member: what scenarios at the end of 1861 hold more or less" in page and ">Differences<" in page
    assert "Distribution" not in page and "Medians over" not in page
    single = report.render(report.run_report(results(members=16, arms=1, years=10, observed=False, failures=15)))
    assert ">Differences<" not in single and "Distribution" not in single


def test_the_same_run_gives_the_same_page_and_matplotlib_is_left_alone(run, html):
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert report.render(report.run_report(run)) == html
    assert dict(mpl.rcParams) == before


def test_the_page_says_the_numbers_of_the_run(run, html):
    words, end = Page(html).words, run.statistics.isel(time=-1, site=0)
    for scenario in ARMS:
        mean, sd = (float(end[f"soc_{what}"].sel(scenario=scenario)) for what in ("mean", "sd"))
        low, high = (float(end["soc_quantile"].sel(scenario=scenario, quantile=q)) for q in (0.05, 0.95))
        assert f"{numbers.number(mean, sd)} t C/ha" in words
        assert f"90 % interval: {numbers.interval(low, high)}".replace("\N{NO-BREAK SPACE}", " ") in words
    change = run.members["soc"].isel(time=-1, site=0)
    change = (change.sel(scenario="manured") - change.sel(scenario="unfertilised")).dropna("member").values
    assert (
        f"holds {numbers.number(change.mean(), np.diff(np.quantile(change, [0.05, 0.95]))[0] / 4)} t C/ha more" in words
    )
    assert "3 of 512 pairs of member and site failed (0.6 %)" in words and "an output is not finite" in words
    assert (
        "0–23 cm, at the end of 1998" in words
        and "Of 21 observations" in words
        and "Of 14 measured differences" in words
    )
    for group in run.groups.to_dict("records"):
        assert group["sentence"] in words
    for value in (*run.reproduce, *run.limits, run.files[0][1], "Not in this figure: monthly temperature"):
        assert value in words


def test_a_misfit_comes_first_and_stands_out(run):
    section = report.run_report(run).sections[0]
    kinds = [remark.kind for remark in section.remarks]
    misfits = run.groups["sentence"].str.contains("misfit").sum()
    assert kinds == ["bad"] * misfits + ["good"] * (len(run.groups) - misfits)
    low = run.skill.assign(value=run.skill["value"] - 40.0, inside_predictive_90=False)
    groups = run.groups.assign(sentence="0 of 7 observations lie inside. This is a misfit: something is missing.")
    far = report.run_report(replace(run, skill=low, groups=groups)).sections[0]
    assert {remark.kind for remark in far.remarks} == {"bad"}
    assert any("outside the 90 % predictive band" in text for _, text in far.figures[0].legend)


def test_user_text_is_never_markup(run):
    names = dict(zip(ARMS, ("<b>$x_1$</b>", 'a & "b"', "<script>alert(1)</script>"), strict=True))
    text = report.render(report.run_report(replace(run, title="<script>1</script> $\\alpha$", titles=names)))
    page = Page(text)
    assert "script" not in page.tags and "<b>$x_1$</b>" in page.words and 'a & "b"' in page.words
    assert "<script>1</script> $\\alpha$" in page.words


def test_hundreds_of_sites_do_not_make_the_page_longer():
    few, many = (
        report.render(report.run_report(results(members=32, sites=n, years=10, observed=False, kept=False)))
        for n in (4, 400)
    )
    assert len(many) < 1.25 * len(few)
    assert "400 sites were simulated" in Page(many).words and "field 400" not in many


def test_without_members_the_statistics_speak():
    run = results(members=64, observed=False, kept=False)
    page = Page(report.render(report.run_report(run)))
    low, high = (
        float(run.statistics["soc_difference_quantile"].sel(scenario="manured", quantile=q)[0, -1])
        for q in (0.05, 0.95)
    )
    assert numbers.interval(low, high).replace("\N{NO-BREAK SPACE}", " ") in page.words
    assert "There are no observations" in page.words


def test_sites_where_all_failed_are_said_and_nothing_breaks():
    one = Page(report.render(report.run_report(results(members=32, sites=3, years=10, observed=False, failures=32))))
    assert "All members failed at 1 site" in one.words and "field 2 is shown in full" in one.words
    none = Page(report.render(report.run_report(results(members=32, sites=1, years=10, observed=False, failures=32))))
    assert "there is no answer" in none.words and "32 of 32 pairs" in none.words


def plain(dims, coordinates, shape, kind="state"):
    """A run of one output with other axes."""
    out = OutputSpec("x", "t C/ha", "some stock", dims, kind=kind)
    values = 10 + np.random.default_rng(0).normal(size=(64, 2, 1, *shape))
    failed, replicate = np.zeros((64, 1), np.uint8), np.arange(64) % R
    made = summary.summarise_tile({"x": values}, failed, replicate, R, {"x": (10.0,)})
    quantiles = {"x": summary.exact_quantiles(values, failed, replicate, R, (0.05, 0.5, 0.95))}
    axes = {"scenario": ["a", "b"], "site": ["s"]}
    statistics = summary.statistics_dataset(made, {"x": out}, axes | coordinates, quantiles, {"x": (10.0,)})
    members = xr.Dataset(
        {"x": (("member", "scenario", "site", *dims), values), "failed": (("member", "site"), failed)}, axes
    )
    return report.Results("x", statistics, members, title="t")


@pytest.mark.parametrize(
    ("dims", "coordinates", "shape", "said"),
    [
        ((), {}, (), "Some stock: 10"),
        (("time",), {"time": np.arange(1.0, 5001.0)}, (5000,), "after 5000 years"),
        (("depth", "time"), {"depth": [5.0, 15.0], "time": np.arange(1.0, 4.0)}, (2, 3), "depth 5"),
        (("time",), {"time": np.array(["2001-05-31"], "datetime64[s]")}, (1,), "on 2001-05-31"),
    ],
)
def test_other_axes(dims, coordinates, shape, said):
    """A formula, a long run without a calendar, layers, a single record."""
    run = plain(dims, coordinates, shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = Page(report.render(report.run_report(run)))
    assert said in page.words and "above 10 t C/ha" in page.words
    assert ("Forecast" in page.words) == ("time" in dims)


def test_long_series_are_thinned_by_whole_years():
    time = np.arange("1852-01", "1999-01", dtype="datetime64[M]").astype("datetime64[s]")
    run = plain(("time",), {"time": time}, (time.size,))
    assert run.drawn[-1] == time.size - 1 and len(run.drawn) <= 320 and set(np.diff(run.drawn) % 12) == {0}


def test_density_of_a_gaussian():
    members = np.random.default_rng(1).normal(size=200_000)
    grid = np.linspace(-4, 4, 161)
    np.testing.assert_allclose(density(members, grid), np.exp(-(grid**2) / 2), atol=0.02)


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (90.27, 11.6, "90"), (29.34, 2.61, "29.3"), (29.34, 5.2, "29"), (-0.52, 0.1, "−0.52"), (1234567.0, 3000.0, "1,234,567"),
        (-0.001, 1.0, "0.0"), (float("nan"), 1.0, "–"), (5.0, 0.0, "5.0"), (1e-7, 1e-8, "0.00000010"),
    ],
)  # fmt: skip
def test_numbers_keep_the_digits_their_error_deserves(value, scale, text):
    assert numbers.number(value, scale) == text


def test_shares_are_not_rounded_to_certainties():
    assert numbers.percent(0.9996) == "> 99.9 %" and numbers.percent(0.0004) == "< 0.1 %"
    assert numbers.percent(1.0, 4096) == "all 4,096 members" and numbers.percent(0.25) == "25 %"
    assert (
        numbers.signed(3.2, 1.0) == "+3.2" and numbers.signed(-3.2, 1.0) == "−3.2" and numbers.signed(0.0, 1.0) == "0.0"
    )


def test_rows_must_fit_their_header():
    with pytest.raises(ValueError, match="has 1 cells; the header has 2"):
        report.Table(("a", "b"), (("1",),), "c")


def test_a_band_of_variance_is_named_inside_itself_or_not_at_all():
    years = np.arange(1.0, 101.0)
    early = np.where(years < 5, 0.9, 0.03)  # wide where its name would be cut, thin elsewhere
    late = np.where(years > 80, 0.5, 0.0)
    assert _label_place(years, early) is None
    assert 80 < years[_label_place(years, late)] <= 85
