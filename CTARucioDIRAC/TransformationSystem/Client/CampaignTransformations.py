"""A campaign's side in the Transformation System: one transformation for each step, with exactly the files given to it.

Nothing about a campaign is kept here but the name of its container in Rucio and of its step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from DIRAC.Core.Utilities.ReturnValues import returnValueOrRaise
from DIRAC.TransformationSystem.Client.TransformationClient import TransformationClient

from CTARucioDIRAC.domain.campaign import Campaign, Step
from CTARucioDIRAC.domain.errors import Conflict

#: Name of the plugin that makes one task of each group of files that is online.
PLUGIN = "RucioChunks"
#: Parameters of a transformation that lead back to Rucio.
CAMPAIGN, STEP = "RucioCampaign", "RucioStep"
#: Statuses of a transformation whose files are worked on.
RUNNING = ("Active", "Flush")
#: Job types of the steps' kinds: DIRAC's own production types, so that its monitoring and optimizers know them.
TYPES = {"dl0": "DataReprocessing", "simtel": "DataReprocessing", "merge": "Merge"}


@dataclass(frozen=True)
class StepTransformation:
    """One step of a campaign, as the Transformation System has it.

    Attributes
    ----------
    transformation_id : int
    campaign, step : str
        Container of the campaign in Rucio, and the step's name.
    status : str
        The transformation's status.
    files : mapping of LFN to status
    errors : mapping of LFN to int
        Failed attempts so far.
    tasks : mapping of LFN to int
        Task that a file was last given to.
    """

    transformation_id: int
    campaign: str
    step: str
    status: str
    files: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    tasks: Mapping[str, int] = field(default_factory=dict)


def name_of(campaign: Campaign, step: Step) -> str:
    """Name of a step's transformation; unique in an installation, so that a second submission finds the first."""
    return f"{campaign.base}/{step.name}"


def add_transformation(client: TransformationClient, campaign: Campaign, step: Step, body: str) -> int:
    """Add a step's transformation, not active yet; an existing one is found again.

    Returns
    -------
    int
        Its id.

    Raises
    ------
    Conflict
        If a transformation of this name belongs to something else.
    """
    name = name_of(campaign, step)
    known = returnValueOrRaise(client.getTransformations(condDict={"TransformationName": name}, extraParams=True))
    if known:
        existing = known[0]
        if existing["Plugin"] != PLUGIN or existing.get(STEP, step.name) != step.name:
            raise Conflict(f"transformation {existing['TransformationID']} is named {name} and is no campaign's step")
        number = int(existing["TransformationID"])
    else:
        number = int(
            returnValueOrRaise(
                client.addTransformation(
                    name,
                    f"{campaign.campaign}: {step.name}",
                    campaign.description or f"step {step.name} of campaign {campaign.base}",
                    TYPES[step.kind],
                    PLUGIN,
                    "Automatic",
                    "",
                    transformationGroup=campaign.campaign,
                    body=body,
                    addFiles=False,
                )
            )
        )
    returnValueOrRaise(client.setTransformationParameter(number, STEP, step.name))
    returnValueOrRaise(client.setTransformationParameter(number, CAMPAIGN, campaign.base))
    return number


def add_files(client: TransformationClient, transformation_id: int, lfns: Iterable[str]) -> int:
    """Give exactly these files to a transformation; files it has already are left alone.

    Returns
    -------
    int
        How many were new.
    """
    wanted = sorted(lfns)
    new = 0
    for start in range(0, len(wanted), 1000):
        result = returnValueOrRaise(client.addFilesToTransformation(transformation_id, wanted[start : start + 1000]))
        if result["Failed"]:
            lfn, reason = next(iter(result["Failed"].items()))
            raise Conflict(f"transformation {transformation_id} refuses {lfn}: {reason}")
        new += sum(outcome == "Added" for outcome in result["Successful"].values())
    return new


def start(client: TransformationClient, transformation_id: int) -> None:
    """Let the agents work on a transformation."""
    returnValueOrRaise(client.setTransformationParameter(transformation_id, "Status", "Active"))


def find_steps(
    client: TransformationClient, campaign: str | None = None, statuses: Iterable[str] | None = None
) -> list[StepTransformation]:
    """Transformations of campaigns' steps, without their files.

    Parameters
    ----------
    campaign : str, optional
        Container of one campaign; all of them by default.
    statuses : iterable of str, optional
        Only transformations in these statuses.
    """
    condition: dict[str, Any] = {"Plugin": PLUGIN}
    if statuses:
        condition["Status"] = list(statuses)
    found = returnValueOrRaise(client.getTransformations(condDict=condition, extraParams=True))
    steps = [
        StepTransformation(int(item["TransformationID"]), item[CAMPAIGN], item[STEP], item["Status"])
        for item in found
        if CAMPAIGN in item and STEP in item
    ]
    return sorted((s for s in steps if campaign in (None, s.campaign)), key=lambda s: s.transformation_id)


def with_files(client: TransformationClient, step: StepTransformation) -> StepTransformation:
    """The same, with the state of its files."""
    rows = returnValueOrRaise(
        client.getTransformationFiles(
            condDict={"TransformationID": step.transformation_id}, columns=["LFN", "Status", "ErrorCount", "TaskID"]
        )
    )
    return StepTransformation(
        step.transformation_id,
        step.campaign,
        step.step,
        step.status,
        {row["LFN"]: row["Status"] for row in rows},
        {row["LFN"]: int(row["ErrorCount"]) for row in rows},
        {row["LFN"]: int(row["TaskID"]) for row in rows if row["TaskID"]},
    )


def give_up(client: TransformationClient, step: StepTransformation, max_attempts: int) -> list[str]:
    """Set files aside that failed too often.

    Returns
    -------
    list of str
        The files that are MaxReset from now on.
    """
    hopeless = [
        lfn for lfn, status in step.files.items() if status == "Unused" and step.errors.get(lfn, 0) >= max_attempts
    ]
    if hopeless:
        returnValueOrRaise(
            client.setFileStatusForTransformation(step.transformation_id, "MaxReset", hopeless, force=True)
        )
    return hopeless


def take_back(client: TransformationClient, step: StepTransformation) -> list[str]:
    """Set files Unused whose job was killed or deleted: DIRAC leaves them Assigned for ever.

    Returns
    -------
    list of str
        These files.
    """
    assigned = {lfn: task for lfn, task in step.tasks.items() if step.files[lfn] == "Assigned"}
    if not assigned:
        return []
    condition = {"TransformationID": step.transformation_id, "ExternalStatus": ["Killed", "Deleted"]}
    gone = {int(row["TaskID"]) for row in returnValueOrRaise(client.getTransformationTasks(condDict=condition))}
    lost = [lfn for lfn, task in assigned.items() if task in gone]
    if lost:
        returnValueOrRaise(client.setFileStatusForTransformation(step.transformation_id, "Unused", lost))
    return lost


def tasks_by_status(client: TransformationClient, step: StepTransformation) -> dict[str, int]:
    """Number of tasks (jobs) of a step's transformation in each status."""
    counts: dict[str, int] = {}
    rows = returnValueOrRaise(client.getTransformationTasks(condDict={"TransformationID": step.transformation_id}))
    for row in rows:
        counts[row["ExternalStatus"]] = counts.get(row["ExternalStatus"], 0) + 1
    return counts


def unfinished_tasks(client: TransformationClient, step: StepTransformation) -> int:
    """Number of tasks whose job goes on, as far as DIRAC follows it: in its default configuration, not beyond Running."""
    followed = {"Created", "Reserved", "Submitted", "Received", "Waiting", "Matched", "Running"}
    return sum(count for status, count in tasks_by_status(client, step).items() if status in followed)
