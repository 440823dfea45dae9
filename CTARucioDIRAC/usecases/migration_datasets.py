"""Datasets of another catalogue, which are selections with a name, become Rucio's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from CTARucioDIRAC.domain.errors import CtaRucioError

from .migration_plan import Translation, plain_values
from .migration_report import Kind, Report
from .migration_source import OldDataset


@dataclass(frozen=True)
class Known:
    """What is known of a dataset."""

    query: Mapping[str, Any]
    frozen: bool


class Datasets(Protocol):
    """The datasets of the new catalogue."""

    def find(self, name: str) -> Known | None:
        """Look a dataset up by its path; None if there is none."""

    def add(self, name: str, query: Mapping[str, Any]) -> None:
        """Make a dataset of what fulfils a query; raises a CtaRucioError if that can't be."""

    def freeze(self, name: str) -> None:
        """Keep its content as it is now."""


def differences(old: OldDataset, found: Known | None) -> list[str]:
    """How a dataset differs from the old one."""
    if found is None:
        return ["no such dataset"]
    texts = []
    if dict(found.query) != plain_values(old.query):
        texts.append(f"its query is {dict(found.query)}, not {dict(old.query)}")
    if old.frozen and not found.frozen:
        texts.append("it isn't frozen")
    return texts


def bring(
    datasets: Datasets, old: Iterable[OldDataset], translation: Translation, report: Report, *, dry_run: bool
) -> None:
    """Make the datasets that are missing, and freeze those that were."""

    def do(name: str, one: OldDataset, texts: list[str]) -> None:
        report.add("datasets_to_do", bool(texts))
        if texts and not dry_run:
            _make(datasets, name, one)
            report.add("datasets_done")

    _each(datasets, old, translation, report, do)


def compare(datasets: Datasets, old: Iterable[OldDataset], translation: Translation, report: Report) -> None:
    """Tell how each dataset differs."""

    def tell(name: str, one: OldDataset, texts: list[str]) -> None:
        for text in texts:
            report.problem(Kind.DATASET, one.name, f"{name}: {text}")

    _each(datasets, old, translation, report, tell)


def _each(
    datasets: Datasets,
    old: Iterable[OldDataset],
    translation: Translation,
    report: Report,
    act: Callable[[str, OldDataset, list[str]], None],
) -> None:
    for one in old:
        report.add("datasets")
        try:
            name = translation.path(one.name)
            act(name, one, differences(one, datasets.find(name)))
        except CtaRucioError as error:
            if error.retryable:
                raise
            report.problem(Kind.FAILED, one.name, str(error))


def _make(datasets: Datasets, name: str, old: OldDataset) -> None:
    found = datasets.find(name)
    if found is None:
        datasets.add(name, plain_values(old.query))
    if old.frozen and not (found and found.frozen):
        datasets.freeze(name)
