"""The job that a campaign's transformation submits for each of its tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from DIRAC.Core.Utilities.ReturnValues import returnValueOrRaise
from DIRAC.Interfaces.API.Job import Job

from CTARucioDIRAC.domain.campaign import Campaign, Step
from CTARucioDIRAC.TransformationSystem.Client.CampaignTransformations import TYPES

_PARAMETERS = (
    ("executable", "string", "", "Name shown for the step"),
    ("applicationLog", "string", "", "Log file"),
    ("campaign", "string", "", "Container of the campaign in Rucio"),
    ("campaignStep", "string", "", "Name of the campaign's step"),
    ("configuration", "string", "", "Content of the script's configuration file, as JSON"),
)


def job_body(campaign: Campaign, step: Step, configuration: Mapping[str, Any] | None) -> str:
    """Workflow of a step's jobs, as a transformation keeps it.

    Parameters
    ----------
    campaign : Campaign
    step : Step
    configuration : mapping, optional
        Content of the script's configuration file; it travels with the job, so that a worker needs nothing of the
        submitter's.

    Returns
    -------
    str
        XML.
    """
    job = Job(stdout="step.out", stderr="step.err")
    job.setName(f"{campaign.campaign}-{step.name}")
    job.setType(TYPES[step.kind])
    job.setCPUTime(step.cpu_time)
    job.setOutputSandbox(["step.out", "step.err", "step/work/*.log", "*.txt"])
    returnValueOrRaise(
        job.setExecutable(
            "RucioStep",
            logFile="step.log",
            modulesList=["RucioStep"],
            parameters=list(_PARAMETERS),
            paramValues=[
                ("campaign", campaign.base),
                ("campaignStep", step.name),
                ("configuration", json.dumps(configuration) if configuration else ""),
            ],
        )
    )
    module = "CTARucioDIRAC.WorkloadManagementSystem.Client.StepFetchesInput"
    job._addParameter(job.workflow, "InputDataModule", "JDL", module, "The step fetches its input itself")
    return str(job.workflow.toXML())
