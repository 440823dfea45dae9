"""Methods of the Rucio catalogue on datasets: names for what fulfils a query of metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from CTARucioDIRAC.Core.Utilities.RucioReturns import bulk_result, takes_lfns
from CTARucioDIRAC.Core.Utilities.RucioShapes import dataset_parameters
from CTARucioDIRAC.domain.errors import CtaRucioError
from CTARucioDIRAC.usecases import datasets as _use  # the methods' argument has the module's name
from CTARucioDIRAC.usecases.bulk import Bulk

from .RucioCatalogBase import Result, RucioCatalogBase, forget


class RucioCatalogDatasets(RucioCatalogBase):
    """See :class:`~.RucioFileCatalogClient.RucioFileCatalogClient`."""

    READ: ClassVar[list[str]] = [
        "getDatasets",
        "getDatasetParameters",
        "getDatasetFiles",
        "getDatasetAnnotation",
        "checkDataset",
    ]
    WRITE: ClassVar[list[str]] = [
        "addDataset",
        "addDatasetAnnotation",
        "updateDataset",
        "freezeDataset",
        "releaseDataset",
        "removeDataset",
    ]

    @takes_lfns
    def addDataset(self, datasets: Mapping[str, Any]) -> Result:
        """Make datasets out of queries: ``{path: query}``; ``Path`` in a query limits it to what is below that."""
        return self._changed(_use.add(self._gateway(), datasets, self._vo))

    @takes_lfns
    def updateDataset(self, datasets: Mapping[str, Any]) -> Result:
        """Let datasets hold what fulfils their queries now."""
        return self._changed(_use.update(self._gateway(), datasets, self._vo))

    @takes_lfns
    def checkDataset(self, datasets: Mapping[str, Any]) -> Result:
        """What has changed since the last update of each dataset."""
        return bulk_result(_use.changes(self._gateway(), datasets, self._vo))

    @takes_lfns
    def freezeDataset(self, datasets: Mapping[str, Any]) -> Result:
        """Let the content of datasets stay as it is."""
        return self._changed(_use.freeze(self._gateway(), datasets, self._vo))

    @takes_lfns
    def releaseDataset(self, datasets: Mapping[str, Any]) -> Result:
        """Let datasets follow their queries again."""
        return self._changed(_use.release(self._gateway(), datasets))

    @takes_lfns
    def removeDataset(self, datasets: Mapping[str, Any]) -> Result:
        """Remove datasets, and none of their files."""
        return self._changed(_use.remove(self._gateway(), datasets))

    @takes_lfns
    def addDatasetAnnotation(self, datasetDict: Mapping[str, Any]) -> Result:
        """Put remarks on datasets: ``{path: text}``."""
        return bulk_result(_use.annotate(self._gateway(), datasetDict))

    @takes_lfns
    def getDatasetAnnotation(self, datasets: Mapping[str, Any]) -> Result:
        """Remarks on datasets; ``-`` for none."""
        return bulk_result(_use.describe(self._gateway(), datasets), lambda dataset: dataset.annotation)

    @takes_lfns
    def getDatasetParameters(self, datasets: Mapping[str, Any]) -> Result:
        """Query, status, size … of datasets."""
        return bulk_result(_use.describe(self._gateway(), datasets), dataset_parameters)

    @takes_lfns
    def getDatasetFiles(self, datasets: Mapping[str, Any]) -> Result:
        """Names of the files in datasets."""
        return bulk_result(_use.files_of(self._gateway(), datasets, self._vo))

    @takes_lfns
    def getDatasets(self, datasets: Mapping[str, Any]) -> Result:
        """Parameters of the datasets that match each name, in which ``*`` and ``?`` may be.

        They are by the last component of the path, as DIRAC's own catalogue has them; by the path where several are the
        same.
        """
        answers: Bulk[dict[str, Any]] = Bulk()
        for name in datasets:
            try:
                found = _use.matching(self._gateway(), name)
            except CtaRucioError as error:
                answers.failed[name] = error
                continue
            short = [dataset.name.rpartition("/")[2] for dataset in found]
            answers.done[name] = {
                last if short.count(last) == 1 else dataset.name: dataset_parameters(dataset)
                for last, dataset in zip(short, found, strict=True)
            }
        return bulk_result(answers)

    @staticmethod
    def _changed(answers: Bulk[Any]) -> Result:
        forget()
        return bulk_result(answers)
