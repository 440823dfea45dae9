"""Drives reprocessing campaigns: recalls their input from tape in a bounded window, and hands results from step to step.

The agent keeps no state: each cycle reads where a campaign stands from Rucio and from the Transformation System. It may be
killed at any line, and started elsewhere.

.. literalinclude:: ../ConfigTemplate.cfg
  :start-after: ##BEGIN RucioCampaignAgent
  :end-before: ##END
  :dedent: 2
  :caption: RucioCampaignAgent options
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from DIRAC import S_OK
from DIRAC.Core.Base.AgentModule import AgentModule
from DIRAC.Core.Utilities.ReturnValues import SErrorException, returnValueOrRaise
from DIRAC.TransformationSystem.Client.TransformationClient import TransformationClient

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
from CTARucioDIRAC.domain.campaign import Campaign, Chunk
from CTARucioDIRAC.domain.errors import CtaRucioError
from CTARucioDIRAC.domain.staging import progress
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.TransformationSystem.Client.CampaignTransformations import (
    RUNNING,
    StepTransformation,
    add_files,
    find_steps,
    give_up,
    take_back,
    unfinished_tasks,
    with_files,
)
from CTARucioDIRAC.usecases.campaign import groups_of, hand_on, list_chunks, load, recall

AGENT_NAME = "Transformation/RucioCampaignAgent"


class RucioCampaignAgent(AgentModule):
    """One cycle looks after every active campaign; what fails in one does not stop another."""

    def initialize(self) -> dict[str, Any]:
        """Take the identity in whose name rules are put: the shifter of the option ``shifterProxy``."""
        self.client = TransformationClient()
        #: container of a step → its chunks; they are closed datasets, so they are read once
        self.chunks: dict[str, dict[str, Chunk]] = {}
        self.am_setOption("shifterProxy", "ProductionManager")
        return S_OK()

    def execute(self) -> dict[str, Any]:
        """Run one cycle."""
        try:
            steps = find_steps(self.client, statuses=["Active", "Flush"])
            gateway = current_gateway() if steps else None
        except (CtaRucioError, SErrorException) as error:
            self.log.error("Cannot see to any campaign", error)
            return S_OK()
        active = sorted({step.campaign for step in steps})
        self.chunks = {name: kept for name, kept in self.chunks.items() if name.rpartition("/")[0] in active}
        for base in active:
            try:
                self._see_to(gateway, base)
            except (CtaRucioError, SErrorException) as error:
                self.log.error("Campaign left for the next cycle", f"{base}: {error}")
            except Exception:
                self.log.exception("Campaign left for the next cycle", base)
        return S_OK()

    def _see_to(self, gateway: RucioGateway, base: str) -> None:
        campaign = load(gateway, base)
        steps = {s.step: with_files(self.client, s) for s in find_steps(self.client, base)}
        for step in campaign.steps:
            if step.name not in steps:
                continue
            if killed := take_back(self.client, steps[step.name]):
                self.log.warn("Files of killed jobs are tried again", f"{base} {step.name}: {len(killed)}")
            if hopeless := give_up(self.client, steps[step.name], step.max_attempts):
                self.log.error("Files set aside after their last attempt", f"{base} {step.name}: {len(hopeless)}")
            if killed or hopeless:
                steps[step.name] = with_files(self.client, steps[step.name])
        first = steps.get(campaign.steps[0].name)
        if first is None or first.status not in RUNNING:
            return  # submission interrupted, or stopped by its manager: pins run out by themselves
        self._recall(gateway, campaign, first)
        complete = True
        for number in range(len(campaign.steps) - 1):
            complete &= self._hand_on(gateway, campaign, steps, number)
        self._complete(campaign, steps, complete)

    def _step_chunks(self, gateway: RucioGateway, campaign: Campaign, number: int) -> list[Chunk]:
        step = campaign.steps[number]
        known = self.chunks.setdefault(campaign.step_container(step), {})
        chunks = list_chunks(gateway, campaign, step, known)
        known.update({chunk.key: chunk for chunk in chunks})
        return chunks

    def _recall(self, gateway: RucioGateway, campaign: Campaign, first: StepTransformation) -> None:
        chunks = self._step_chunks(gateway, campaign, 0)
        finished, given_up = progress(chunks, first.files)
        cycle = recall(gateway, campaign, chunks, finished, given_up, dt.datetime.now(dt.UTC))
        for problem in cycle.problems:
            self.log.error("Recall", f"{campaign.base}: {problem}")
        if cycle.plan:
            self.log.info(
                "Recall",
                f"{campaign.base}: {len(cycle.plan.pin)} chunks asked for, {len(cycle.plan.extend)} extended, "
                f"{len(cycle.plan.release)} released",
            )

    def _hand_on(
        self, gateway: RucioGateway, campaign: Campaign, steps: dict[str, StepTransformation], number: int
    ) -> bool:
        """Give complete observations to the next step; True when it has them all."""
        this, following = steps[campaign.steps[number].name], steps[campaign.steps[number + 1].name]
        groups = groups_of(gateway, campaign.steps[number], self._step_chunks(gateway, campaign, number))
        processed = {lfn for lfn, status in this.files.items() if status == "Processed"}
        new, problems = hand_on(gateway, campaign, number, groups, processed, following.files)
        for problem in problems:
            self.log.error("Not handed on", f"{campaign.base}: {problem}")
        if new:
            add_files(self.client, following.transformation_id, new)
            self.log.info("Handed on", f"{campaign.base}: {len(new)} files to step {following.step}")
        return not new and not problems and bool(following.files) and processed == set(this.files)

    def _complete(self, campaign: Campaign, steps: dict[str, StepTransformation], complete: bool) -> None:
        """Close a campaign's transformations when every file of every step is Processed and no pin is left."""
        if not complete or any(set(step.files.values()) != {"Processed"} for step in steps.values()):
            return
        if any(unfinished_tasks(self.client, step) for step in steps.values()):
            return  # a job is still ending; the agents that follow tasks stop at a completed transformation
        for step in steps.values():
            if step.status == "Active":
                returnValueOrRaise(
                    self.client.setTransformationParameter(step.transformation_id, "Status", "Completed")
                )
        self.log.info("Campaign complete", campaign.base)
