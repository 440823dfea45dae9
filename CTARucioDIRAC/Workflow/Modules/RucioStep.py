"""The workflow module of a campaign's jobs: fetch, process, check, register."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from DIRAC import gConfig, gLogger
from DIRAC.Core.Utilities.ReturnValues import SErrorException, returnValueOrRaise
from DIRAC.TransformationSystem.Client import TransformationFilesStatus
from DIRAC.Workflow.Modules.ModuleBase import ModuleBase

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
from CTARucioDIRAC.DataManagementSystem.Client.RucioDataManager import RucioDataManager
from CTARucioDIRAC.domain.campaign import Campaign, Group, Step, output_lfn
from CTARucioDIRAC.domain.errors import Conflict, CtaRucioError, NotFound
from CTARucioDIRAC.domain.identifiers import did_of
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.usecases.campaign import CAMPAIGN_KEY, group_of, load
from CTARucioDIRAC.usecases.process import Processed, Report, check_output, local_path, run_step


class RucioStep(ModuleBase):
    """Run one step of a campaign on the files of one task.

    Parameters of the step: ``campaign`` (its container in Rucio), ``campaignStep`` (name), ``configuration`` (content of
    the script's configuration file, as JSON; may be empty).

    The output's name does not depend on the attempt. A job that finds its output registered completes what may be missing
    of it (metadata, dataset) and ends well; so a job that runs twice, or was killed anywhere, ends with one output.
    """

    def __init__(self, log: Any = None) -> None:
        super().__init__(log or gLogger.getSubLogger("RucioStep"))
        self.work = Path.cwd() / "step"

    def _resolveInputVariables(self) -> None:
        super()._resolveInputVariables()
        self.campaign_base = self.step_commons["campaign"]
        self.campaign_step = self.step_commons["campaignStep"]
        self.configuration = json.loads(self.step_commons.get("configuration") or "null")

    def _execute(self) -> None:
        try:
            self._run()
        except (CtaRucioError, SErrorException) as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        finally:
            shutil.rmtree(self.work / "input", ignore_errors=True)

    def _finalize(self, status: str = "") -> None:
        super()._finalize(status or f"Step {self.campaign_step} successful")

    def _run(self) -> None:
        gateway, data = current_gateway(), RucioDataManager()
        campaign = load(gateway, self.campaign_base)
        step = next(step for step in campaign.steps if step.name == self.campaign_step)
        if not self.inputDataList:
            raise NotFound(f"job {self.jobID} was given no input file")
        group = group_of(gateway, campaign, step, self.inputDataList[0])
        lfn = output_lfn(campaign, step, group)
        if not _complete(gateway, campaign, step, lfn, group):
            self.setApplicationStatus("Fetching input")
            inputs = self._fetch(data, group.lfns, campaign.staging.buffer)
            done = self._process(data, gateway, step, group, inputs, lfn)
            self.setApplicationStatus("Registering output")
            metadata = self._metadata(campaign, step, group, done.report)
            dataset = campaign.output_dataset(step)
            returnValueOrRaise(data.put_and_register(lfn, done.path, step.output.storage, None, metadata, [dataset]))
            done.path.unlink()
        for name in self.inputDataList:
            self.fileReport.setFileStatus(int(self.production_id), name, TransformationFilesStatus.PROCESSED)
        returnValueOrRaise(self.fileReport.commit())

    def _fetch(self, data: RucioDataManager, lfns: tuple[str, ...], buffer: str) -> Path:
        """Download into a tree of its own, each file where its LFN says; checksums are verified by the data manager."""
        inputs = self.work / "input"
        shutil.rmtree(self.work, ignore_errors=True)
        directories: dict[Path, list[str]] = {}
        for lfn in lfns:
            directories.setdefault(local_path(inputs, lfn).parent, []).append(lfn)
        for directory, names in directories.items():
            directory.mkdir(parents=True, exist_ok=True)
            result = returnValueOrRaise(
                data.getFile(names, destinationDir=str(directory), preferred=[buffer], diskOnly=True)
            )
            if result["Failed"]:
                lfn, reason = next(iter(result["Failed"].items()))
                raise NotFound(f"{len(result['Failed'])} input files cannot be fetched, such as {lfn}: {reason}")
        return inputs

    def _process(
        self, data: RucioDataManager, gateway: RucioGateway, step: Step, group: Group, inputs: Path, lfn: str
    ) -> Processed:
        """Run the script; or check the output that an earlier attempt registered before it was stopped."""
        area = Path(gConfig.getValue("/LocalSite/SharedArea", "/cvmfs/sw.cta-observatory.org/software"))
        work = self.work / "work"
        work.mkdir(parents=True)
        replicas = gateway.list_replicas([did_of(lfn)])
        if any(file.available for file in replicas.values()):
            self.setApplicationStatus("Checking registered output")
            writer = gateway.get_metadata([did_of(lfn)])[did_of(lfn)].get(CAMPAIGN_KEY, self.campaign_base)
            if writer != self.campaign_base:
                raise Conflict(f"{lfn} exists, and campaign {writer} wrote it: this campaign needs another output path")
            result = returnValueOrRaise(data.getFile([lfn], destinationDir=str(work)))
            if result["Failed"]:
                raise NotFound(f"{lfn} is registered, but cannot be read: {result['Failed'][lfn]}")
            path = work / lfn.rsplit("/", 1)[1]
            return Processed(path, check_output(step, group, inputs, path, work, area))
        self.setApplicationStatus(f"Running {step.software.name}")
        return run_step(step, group, inputs, work, area, self.configuration)

    def _metadata(self, campaign: Campaign, step: Step, group: Group, report: Report) -> dict[str, Any]:
        """What the output is and where it comes from."""
        return {
            CAMPAIGN_KEY: campaign.base,
            "reprocessing_step": step.name,
            "configuration_sha256": hashlib.sha256(json.dumps(self.configuration, sort_keys=True).encode()).hexdigest(),
            "data_level": step.output.data_level if "DL2" in report["data_levels"] else 1,
            "data_levels": report["data_levels"],
            "product_id": report["product_id"],
            "activity_id": report["activity_id"],
            "obs_id": group.obs_id,
            "software": step.software.name,
            "software_version": step.software.version,
            "inputs": list(group.lfns),
            "n_events": report["events_out"],
            "n_reconstructed": report["reconstructed"],
            "n_telescope_rows": report["tel_rows_out"],
            "transformation_id": int(self.production_id),
            "task_id": int(self.prod_job_id),
            "job_id": int(self.jobID),
            "processed_at": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def _complete(gateway: RucioGateway, campaign: Campaign, step: Step, lfn: str, group: Group) -> bool:
    """Whether the output of exactly these inputs is registered, readable, described and in the step's dataset."""
    did = did_of(lfn)
    if not any(file.available for file in gateway.list_replicas([did]).values()):
        return False
    if gateway.get_metadata([did]).get(did, {}).get("inputs") != list(group.lfns):
        return False
    return did_of(campaign.output_dataset(step)) in {parent.did for parent in gateway.list_parents(did)}
