"""Where a campaign stands, read from Rucio and the Transformation System."""

from __future__ import annotations

from collections import Counter
from typing import Any

from DIRAC.TransformationSystem.Client.TransformationClient import TransformationClient

from CTARucioDIRAC.domain.campaign import Campaign
from CTARucioDIRAC.domain.errors import NotFound
from CTARucioDIRAC.domain.identifiers import did_of
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.TransformationSystem.Client.CampaignTransformations import (
    StepTransformation,
    find_steps,
    tasks_by_status,
    with_files,
)
from CTARucioDIRAC.usecases.campaign import load

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
        ``campaign``; ``state`` (``running``, ``complete``, or ``attention`` when files were set aside); ``recall`` (files
        ``selected`` and ``online`` on the buffer, ``pins`` by state of their rule); ``steps``, each with ``transformation``,
        ``status``, ``files`` and ``jobs`` by status, and the number of ``outputs``.

    Raises
    ------
    NotFound
        If there is no such campaign, or it was not fully submitted.
    """
    client = client or TransformationClient()
    campaign = load(gateway, base)
    found = {step.step: with_files(client, step) for step in find_steps(client, base)}
    if missing := [step.name for step in campaign.steps if step.name not in found]:
        raise NotFound(
            f"campaign {base} has no transformation for step {', '.join(missing)}: its submission was interrupted; "
            "submit the same file again"
        )
    steps = [_step_status(gateway, client, campaign, found[step.name]) for step in campaign.steps]
    statuses = [status for step in found.values() for status in step.files.values()]
    if any(status in _BAD for status in statuses):
        state = "attention"
    else:
        state = "complete" if all(step.status == "Completed" for step in found.values()) else "running"
    return {"campaign": base, "state": state, "recall": _recall_status(gateway, campaign), "steps": steps}


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
    rules = gateway.list_rules(scope=selection.scope, rse_expression=buffer, name_pattern=container + "*")
    return {
        "source": campaign.staging.source,
        "buffer": buffer,
        "selected": sum(1 for _ in gateway.list_files(selection)),
        "online": online,
        "pins": dict(Counter(str(rule.state) for rule in rules)),
    }
