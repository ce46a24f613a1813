"""The report of a run: which sections there are and in what order."""

from __future__ import annotations

from ensemble.report.checks import (
    checks_section,
    failures_section,
    limits_section,
    pools_section,
    provenance_section,
    tornado_section,
)
from ensemble.report.content import ReportContent, Section
from ensemble.report.forecast import answers, distribution_section, sites_section
from ensemble.report.numbers import plural
from ensemble.report.observed import forecast_section
from ensemble.report.results import Results


def run_report(results: Results, more: tuple[Section, ...] = ()) -> ReportContent:
    """The report of a finished run.

    Args:
        results: what there is to say.
        more: sections of other stages, placed before the checks.
    """
    if not results.shown_sites:
        return _nothing_left(results)
    headline, cards = answers(results) if results.sampled else (_set_not_drawn(results), ())
    sections = [
        *(_findings(results) if results.sampled else ()),
        *more,
        *([checks_section(results)] if results.sampled else ()),
        failures_section(results),
        _provenance(results),
    ]
    if results.limits:
        sections.append(limits_section(results))
    sentences = (*(section.lead for section in more if section.answer), headline)
    return ReportContent(
        results.title, _subtitle(results), sentences[0], cards, tuple(sections), results.footer, sentences
    )


def _nothing_left(results: Results) -> ReportContent:
    """The report of a run of which every member failed."""
    headline = "Every member failed at every site, so there is no answer."
    sections = (failures_section(results), _provenance(results))
    return ReportContent(results.title, _subtitle(results), headline, (), sections, results.footer, (headline,))


def _provenance(results: Results) -> Section:
    return provenance_section(results.facts, results.provenance, results.files, results.reproduce)


def _set_not_drawn(results: Results) -> str:
    """What is said of members whose inputs were set: they are no sample, so there is no mean and no interval."""
    return (
        f"{plural(results.used(results.shown_sites[0]), 'member')} of {results.noun}, whose inputs were set, not drawn."
    )


def _findings(results: Results) -> list[Section]:
    sections = [forecast_section(results)] if results.has_time() else []
    if (distribution := distribution_section(results)) is not None:
        sections.append(distribution)
    if len(results.all_sites) > 1:
        sections.append(sites_section(results))
    if results.tornado is not None and len(results.tornado.labels):
        sections.append(tornado_section(results))
    if results.pools and results.has_time():
        sections.append(pools_section(results))
    return sections


def _subtitle(results: Results) -> str:
    members = int((results.statistics["members_used"] + results.statistics["members_failed"]).max())
    parts = [
        plural(members, "member"),
        plural(len(results.scenarios), "scenario"),
        plural(len(results.all_sites), "site"),
    ]
    parts += [results.period] if results.has_time() else []
    return " · ".join(parts)
