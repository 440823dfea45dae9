"""Where a campaign stands, read from Rucio and the Transformation System."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from DIRAC.TransformationSystem.Client.TransformationClient import TransformationClient

from CTARucioDIRAC.domain.campaign import Campaign
from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import did_of, validate_lfn
from CTARucioDIRAC.domain.staging import OPEN_STATUSES
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.TransformationSystem.Client.CampaignTransformations import (
    RUNNING,
    StepTransformation,
    find_steps,
    tasks_by_status,
    with_files,
)
from CTARucioDIRAC.usecases.campaign import STUCK, load

#: Statuses of files that need somebody's attention.
_BAD = ("MaxReset", "Problematic", "MissingInFC", "ProbInFC")


def campaign_status(gateway: RucioGateway, base: str, client: TransformationClient | None = None) -> dict[str, Any]:
    """Figures of one campaign.

    Parameters
    ----------
    gateway : RucioGateway
    base : str
        The campaign's container.

    Returns
    -------
    dict
        ``campaign``; ``state`` (``running``; ``complete``; ``attention`` when files were set aside and nothing else goes
        on; ``stopped`` when a transformation was stopped or cleaned); ``problems`` (recalls that are stuck, with Rucio's
        reason); ``recall`` (files ``selected`` and ``online`` on the buffer, ``pins`` by state of their rule); ``steps``,
        each with ``transformation``, ``status``, ``files`` and ``jobs`` by status, and the number of ``outputs``.

    Raises
    ------
    NotFound
        If there is no such campaign, or it was not fully submitted.
    """
    client = client or TransformationClient()
    base = validate_lfn(base)
    campaign = load(gateway, base)
    found = {step.step: with_files(client, step) for step in find_steps(client, base)}
    if missing := [step.name for step in campaign.steps if step.name not in found]:
        raise NotFound(
            f"campaign {base} has no transformation for step {', '.join(missing)}: its submission was interrupted; "
            "submit the same file again"
        )
    steps = [_step_status(gateway, client, campaign, found[step.name]) for step in campaign.steps]
    recall = _recall_status(gateway, campaign)
    state = _state(found.values())
    return {
        "campaign": campaign.base,
        "state": state,
        "problems": recall.pop("problems"),
        "recall": recall,
        "steps": steps,
    }


def _state(steps: Iterable[StepTransformation]) -> str:
    """One word for where a campaign stands; see :func:`campaign_status`."""
    steps = list(steps)
    if all(step.status in ("Completed", "Archived") for step in steps):
        return "complete"
    if any(step.status not in (*RUNNING, "Completed", "Archived") for step in steps):
        return "stopped"
    statuses = {status for step in steps for status in step.files.values()}
    # files that may still change by themselves come first: what was set aside does not hold the rest up
    return "running" if statuses & OPEN_STATUSES or not statuses & set(_BAD) else "attention"


def _step_status(
    gateway: RucioGateway, client: TransformationClient, campaign: Campaign, step: StepTransformation
) -> dict[str, Any]:
    definition = next(s for s in campaign.steps if s.name == step.step)
    return {
        "step": step.step,
        "transformation": step.transformation_id,
        "status": step.status,
        "files": dict(Counter(step.files.values())),
        "jobs": tasks_by_status(client, step),
        "outputs": sum(1 for _ in gateway.list_files(did_of(campaign.output_dataset(definition)))),
        "output_dataset": campaign.output_dataset(definition),
    }


def _recall_status(gateway: RucioGateway, campaign: Campaign) -> dict[str, Any]:
    buffer = campaign.staging.buffer
    selection = did_of(campaign.selection_name)
    replicas = gateway.list_collection_replicas(selection, rse_expression=buffer)
    online = sum(1 for file in replicas if any(r.rse == buffer for r in file.available))
    container = campaign.step_container(campaign.steps[0]) + "/"
    rules = list(gateway.list_rules(scope=selection.scope, rse_expression=buffer, name_pattern=container + "*"))
    return {
        "source": campaign.staging.source,
        "buffer": buffer,
        "selected": sum(1 for _ in gateway.list_files(selection)),
        "online": online,
        "pins": dict(Counter(str(rule.state) for rule in rules)),
        "problems": [f"{rule.did.name} is {rule.state}: {rule.error}" for rule in rules if rule.state in STUCK],
    }
