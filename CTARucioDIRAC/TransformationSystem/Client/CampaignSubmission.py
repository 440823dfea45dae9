"""From a campaign file to its transformations: plan first, then apply."""

from __future__ import annotations

import hashlib
import json
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

from CTARucioDIRAC.domain.campaign import (
    Campaign,
    Chunk,
    Group,
    SelectedFile,
    Step,
    as_obs_id,
    divide,
    output_lfn,
    shared_outputs,
)
from CTARucioDIRAC.domain.errors import Conflict, InvalidInput
from CTARucioDIRAC.domain.identifiers import did_of, lfn_of
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.TransformationSystem.Client.CampaignJob import job_body
from CTARucioDIRAC.TransformationSystem.Client.CampaignTransformations import add_files, add_transformation, start
from CTARucioDIRAC.usecases.campaign import CAMPAIGN_KEY, check_known, chunks_of, freeze


@dataclass(frozen=True)
class CampaignFile:
    """A campaign file and the configuration files that it names."""

    campaign: Campaign
    configurations: Mapping[str, Mapping[str, Any]]  #: step name → content

    @property
    def fingerprint(self) -> str:
        """Of the configuration files' content, whatever their layout and comments."""
        return hashlib.sha256(json.dumps(self.configurations, sort_keys=True).encode()).hexdigest()


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
            configurations[step.name] = _read_configuration(path.parent / step.config)
    return CampaignFile(campaign, configurations)


def _read_configuration(path: Path) -> Mapping[str, Any]:
    content = _read_yaml(path)
    try:
        if isinstance(content, dict) and json.dumps(content):
            return content
    except TypeError as error:
        raise InvalidInput(f"{path} has a value that is no number, text or list ({error}); quote it") from error
    raise InvalidInput(f"{path} is no configuration file: keys with values expected")


def _read_yaml(path: Path) -> Any:
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is no valid YAML: {error}") from error


def plan_submission(gateway: RucioGateway, file: CampaignFile, catalogue: FileCatalog | None = None) -> SubmissionPlan:
    """Find the campaign's input through the catalogue, divide it into jobs and recalls, and check that all can work.

    Writes nothing.

    Parameters
    ----------
    gateway : RucioGateway
    file : CampaignFile
    catalogue : FileCatalog, optional
        DIRAC's catalogue; its default list otherwise.

    Raises
    ------
    InvalidInput
        If an RSE does not exist, several jobs would write one output, or one job's input exceeds the window.
    Conflict
        If a campaign of this name was submitted with another specification, or an output exists that another one wrote.
    """
    campaign = file.campaign
    check_known(gateway, campaign, file.fingerprint)
    _check_storage(gateway, campaign)
    catalogue = catalogue or FileCatalog()
    lfns = returnValueOrRaise(
        catalogue.findFilesByMetadata(dict(campaign.selection.metadata), path=campaign.selection.path)
    )
    found = _selected(gateway, campaign.steps[0], lfns)
    division = divide(campaign.steps[0].kind, found.values())
    source = campaign.staging.source
    readable = gateway.list_replicas([did_of(lfn) for lfn in found], rse_expression=source)
    on_tape = {lfn_of(did) for did, item in readable.items() if any(r.rse == source for r in item.available)}
    aside = dict(division.set_aside)
    groups = []
    for group in division.groups:
        if missing := [lfn for lfn in group.lfns if lfn not in on_tape]:
            reason = f"{group.key} needs {missing[0]}, which has no readable copy on {source}"
            aside.update(dict.fromkeys(group.lfns, reason))
        else:
            groups.append(group)
    for group in groups:  # a file that another group can use is not set aside
        for lfn in group.lfns:
            aside.pop(lfn, None)
    _check_outputs(gateway, campaign, groups)
    chunks = chunks_of(campaign, groups) if groups else ()
    return SubmissionPlan(campaign, groups, chunks, dict(sorted(aside.items())))


def _selected(gateway: RucioGateway, step: Step, lfns: Iterable[str]) -> dict[str, SelectedFile]:
    """Sizes of the files and, where their names do not say it, their observation."""
    dids = [did_of(lfn) for lfn in lfns]
    records = gateway.get_dids(dids)
    metadata = {} if step.kind == "dl0" else gateway.get_metadata(dids)
    return {
        lfn_of(did): SelectedFile(lfn_of(did), record.size or 0, as_obs_id(metadata.get(did, {}).get("obs_id")))
        for did, record in records.items()
    }


def _check_storage(gateway: RucioGateway, campaign: Campaign) -> None:
    known = {rse.name for rse in gateway.list_rses()}
    named = {"staging.source": campaign.staging.source, "staging.buffer": campaign.staging.buffer}
    named |= {f"steps.{step.name}.output.storage": step.output.storage for step in campaign.steps}
    for option, rse in named.items():
        if rse not in known:
            raise InvalidInput(f"{option}: there is no RSE {rse}; there are {', '.join(sorted(known))}")


def _check_outputs(gateway: RucioGateway, campaign: Campaign, groups: Sequence[Group]) -> None:
    """Refuse outputs that several jobs would write, that no name can be, or that another campaign has written."""
    step = campaign.steps[0]
    if shared := shared_outputs(campaign, groups):
        lfn, keys = next(iter(shared.items()))
        raise InvalidInput(
            f"{len(keys)} jobs would write {lfn} ({', '.join(keys[:3])} …): use {{key}} in the output's name"
        )
    outputs = [did_of(output_lfn(campaign, step, group)) for group in groups]
    for did, metadata in gateway.get_metadata(list(gateway.get_dids(outputs))).items():
        if metadata.get(CAMPAIGN_KEY) != campaign.base:
            raise Conflict(
                f"{did.name} exists, and {metadata.get(CAMPAIGN_KEY) or 'no campaign'} wrote it: give the output of step "
                f"{step.name} another path"
            )


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
    freeze(gateway, plan.campaign, plan.groups, file.fingerprint)
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
