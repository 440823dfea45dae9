"""Transformation plugins of this extension, beside DIRAC's own.

Named in the CS as ``/Systems/Transformation/Agents/TransformationAgent/PluginLocation``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from DIRAC import S_OK
from DIRAC.TransformationSystem.Agent.TransformationPlugin import TransformationPlugin as DiracTransformationPlugin

from CTARucioDIRAC.ConfigurationSystem.Client.Gateways import current_gateway
from CTARucioDIRAC.domain.campaign import Campaign, Chunk, Group, Step, owners
from CTARucioDIRAC.domain.identifiers import did_of, lfn_of
from CTARucioDIRAC.domain.staging import ready
from CTARucioDIRAC.gateway.protocol import RucioGateway
from CTARucioDIRAC.TransformationSystem.Client.CampaignTransformations import CAMPAIGN, STEP
from CTARucioDIRAC.usecases.campaign import groups_of, list_chunks, load

#: Steps whose chunks are kept in memory.
_KEPT = 20


class TransformationPlugin(DiracTransformationPlugin):
    """DIRAC's plugins, and :meth:`_RucioChunks`."""

    #: Chunks are closed datasets: read once in a process, whatever the number of cycles. Of the last steps seen only.
    _chunks: ClassVar[dict[str, dict[str, Chunk]]] = {}

    def _RucioChunks(self) -> dict[str, Any]:
        """One task for each group of a campaign's files that must be read together, once all of them are online.

        Returns
        -------
        dict
            S_OK with a list of (storage element, LFNs). ``Timeout`` makes the agent ask again in its next cycle though no
            new file was added: files come online without the Transformation System's knowing.
        """
        gateway = current_gateway()
        campaign = load(gateway, self.params[CAMPAIGN])
        step = next(step for step in campaign.steps if step.name == self.params[STEP])
        unused = {item["LFN"] for item in self.files or []}
        container = campaign.step_container(step)
        known = self._chunks[container] = self._chunks.pop(container, {})
        while len(self._chunks) > _KEPT:
            self._chunks.pop(next(iter(self._chunks)))
        chunks = list_chunks(gateway, campaign, step, known)
        known.update({chunk.key: chunk for chunk in chunks})
        waiting = [chunk for chunk in chunks if not unused.isdisjoint(chunk.sizes)]
        groups = groups_of(gateway, step, waiting)
        elsewhere = owned_elsewhere(chunks, waiting)
        tasks = tasks_of(groups, elsewhere, unused, _online(gateway, campaign, step), _storage(campaign, step))
        return S_OK(tasks) | {"Timeout": True}


def owned_elsewhere(chunks: list[Chunk], waiting: list[Chunk]) -> set[str]:
    """Files of waiting chunks that another chunk, which is not waiting, accounts for: it comes before all others."""
    keys = {chunk.key for chunk in waiting}
    first: dict[str, str] = {}
    for chunk in chunks:
        for lfn in chunk.sizes:
            first.setdefault(lfn, chunk.key)
    return {lfn for chunk in waiting for lfn in chunk.sizes if first[lfn] not in keys}


def tasks_of(
    groups: list[Group], elsewhere: set[str], unused: set[str], online: set[str] | None, storage: str
) -> list[tuple[str, list[str]]]:
    """Tasks for the groups whose own files are all unused and whose files are all online (None: no need to be)."""
    owner = owners(groups)
    tasks = []
    for group in groups:
        own = [lfn for lfn in group.lfns if owner[lfn] == group.key and lfn not in elsewhere]
        if set(own) <= unused and (online is None or ready(group, online)):
            tasks.append((storage, own))
    return tasks


def _storage(campaign: Campaign, step: Step) -> str:
    number = list(campaign.steps).index(step)
    return campaign.staging.buffer if number == 0 else campaign.steps[number - 1].output.storage


def _online(gateway: RucioGateway, campaign: Campaign, step: Step) -> set[str] | None:
    if step != campaign.steps[0]:
        return None
    replicas = gateway.list_collection_replicas(did_of(campaign.selection_name), rse_expression=campaign.staging.buffer)
    return {lfn_of(file.did) for file in replicas if any(r.rse == campaign.staging.buffer for r in file.available)}
