"""From a campaign file to its transformations: plan first, then apply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DIRAC.Core.Utilities.ReturnValues import returnValueOrRaise
from DIRAC.Resources.Catalog.FileCatalog import FileCatalog
from DIRAC.TransformationSystem.Client.TransformationClient import TransformationClient
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from CTARucioDIRAC.domain.campaign import Campaign, Chunk, Group, SelectedFile, Step, divide, pack
from CTARucioDIRAC.domain.errors import InvalidInput
from CTARucioDIRAC.domain.identifiers import did_of, lfn_of
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.TransformationSystem.Client.CampaignJob import job_body
from CTARucioDIRAC.TransformationSystem.Client.CampaignTransformations import add_files, add_transformation, start
from CTARucioDIRAC.usecases.campaign import freeze


@dataclass(frozen=True)
class CampaignFile:
    """A campaign file and the configuration files that it names."""

    campaign: Campaign
    configurations: Mapping[str, Mapping[str, Any]]  #: step name → content


@dataclass(frozen=True)
class SubmissionPlan:
    """What a submission will do."""

    campaign: Campaign
    groups: Sequence[Group]  #: inputs of the first step's jobs
    chunks: Sequence[Chunk]  #: what is recalled at a time
    set_aside: Mapping[str, str]  #: file → why it is not processed

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file that will be processed."""
        return {file.lfn: file.size for group in self.groups for file in group.files}

    def summary(self) -> dict[str, Any]:
        """Figures for people and scripts."""
        return {
            "campaign": self.campaign.base,
            "files": len(self.sizes),
            "bytes": sum(self.sizes.values()),
            "recalls": len(self.chunks),
            "jobs": {step.name: self._jobs(step) for step in self.campaign.steps},
            "set_aside": dict(self.set_aside),
        }

    def _jobs(self, step: Step) -> int:
        return len({group.obs_id for group in self.groups}) if step.kind == "merge" else len(self.groups)


def read_campaign(path: Path) -> CampaignFile:
    """Read and check a campaign file.

    Raises
    ------
    InvalidInput
        Naming the file, the key and what is wrong with it.
    """
    content = _read_yaml(path)
    try:
        campaign = Campaign.model_validate(content)
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in e['loc']) or 'campaign'}: {e['msg']}" for e in error.errors()]
        raise InvalidInput(f"{path} is no valid campaign file:\n" + "\n".join(lines)) from error
    configurations = {}
    for step in campaign.steps:
        if step.config is not None:
            configurations[step.name] = _read_yaml(path.parent / step.config)
    return CampaignFile(campaign, configurations)


def _read_yaml(path: Path) -> Any:
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no valid YAML: {error}") from error


def plan_submission(gateway: RucioGateway, campaign: Campaign, catalogue: FileCatalog | None = None) -> SubmissionPlan:
    """Find the campaign's input through the catalogue, and divide it into jobs and recalls. Writes nothing.

    Parameters
    ----------
    gateway : RucioGateway
    campaign : Campaign
    catalogue : FileCatalog, optional
        DIRAC's catalogue; its default list otherwise.
    """
    catalogue = catalogue or FileCatalog()
    lfns = returnValueOrRaise(
        catalogue.findFilesByMetadata(dict(campaign.selection.metadata), path=campaign.selection.path)
    )
    source = campaign.staging.source
    on_tape = gateway.list_replicas([did_of(lfn) for lfn in lfns], rse_expression=source)
    sizes = {lfn_of(did): file.size for did, file in on_tape.items() if any(r.rse == source for r in file.available)}
    aside = {lfn: f"has no readable copy on {source}" for lfn in lfns if lfn not in sizes}
    obs_ids = _obs_ids(gateway, campaign.steps[0], sizes)
    division = divide(
        campaign.steps[0].kind, [SelectedFile(lfn, size, obs_ids.get(lfn)) for lfn, size in sizes.items()]
    )
    return SubmissionPlan(
        campaign,
        division.groups,
        pack(division.groups, campaign.staging.window),
        dict(sorted((aside | dict(division.set_aside)).items())),
    )


def _obs_ids(gateway: RucioGateway, step: Step, lfns: Iterable[str]) -> dict[str, int | None]:
    if step.kind == "dl0":
        return {}  # names say it
    metadata = gateway.get_metadata([did_of(lfn) for lfn in lfns])
    return {lfn_of(did): values.get("obs_id") for did, values in metadata.items()}


def submit(
    gateway: RucioGateway, file: CampaignFile, plan: SubmissionPlan, client: TransformationClient | None = None
) -> dict[str, int]:
    """Freeze the selection in Rucio and start the transformations.

    Each part finds what an interrupted submission left, so submitting the same file again finishes it.

    Returns
    -------
    dict
        Step name → id of its transformation.
    """
    client = client or TransformationClient()
    freeze(gateway, plan.campaign, plan.groups)
    transformations = {
        step.name: add_transformation(
            client, plan.campaign, step, job_body(plan.campaign, step, file.configurations.get(step.name))
        )
        for step in plan.campaign.steps
    }
    add_files(client, transformations[plan.campaign.steps[0].name], plan.sizes)
    for number in transformations.values():
        start(client, number)
    return transformations
