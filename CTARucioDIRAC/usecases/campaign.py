"""A campaign in Rucio: its frozen selection, the recall from tape, and what its steps hand on.

Nothing is kept outside Rucio: the specification is metadata of the campaign's container, the selection and the chunks are
closed datasets, the recall is their rules. So each function can be repeated after a crash at any line.

Names, for a campaign ``/ctao/campaigns/night1``::

    /ctao/campaigns/night1                       container, holds the specification
    /ctao/campaigns/night1/selection             dataset: exactly the files that were selected
    /ctao/campaigns/night1/<step>                container of the step's chunks
    /ctao/campaigns/night1/<step>/chunk00000     closed dataset: recalled, pinned and released as one
    /ctao/campaigns/night1/output/<step>         dataset: the step's outputs
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from CTARucioDIRAC.domain.campaign import (
    Campaign,
    Chunk,
    Group,
    SelectedFile,
    Step,
    as_obs_id,
    divide,
    output_lfn,
    owners,
    pack,
)
from CTARucioDIRAC.domain.errors import Conflict, CtaRucioError, InvalidInput, NotAllowed, NotFound
from CTARucioDIRAC.domain.identifiers import Did, did_of, lfn_of, parent_of
from CTARucioDIRAC.domain.staging import ChunkState, Pin, Plan, plan, too_large
from CTARucioDIRAC.gateway.protocol import DidType, RucioGateway, Rule, RuleState
from CTARucioDIRAC.usecases.rules import check_pins

#: Metadata key of the campaign's container.
SPECIFICATION = "campaign_specification"
#: Metadata key of the outputs: the campaign's container. (Rucio's own column "campaign" has 50 characters only.)
CAMPAIGN_KEY = "reprocessing_campaign"
#: Metadata key beside it: fingerprint of the scripts' configuration files.
CONFIGURATIONS = "campaign_configurations"
#: States of a recall that does not go on by itself.
STUCK = (RuleState.STUCK, RuleState.SUSPENDED)
#: Rucio's activity for recalls.
ACTIVITY = "Staging"


def freeze(
    gateway: RucioGateway, campaign: Campaign, groups: Sequence[Group], configurations: str = ""
) -> tuple[Chunk, ...]:
    """Write a campaign and its exact selection into Rucio.

    Parameters
    ----------
    gateway : RucioGateway
    campaign : Campaign
    groups : sequence of Group
        The inputs of the first step's jobs; see :func:`~CTARucioDIRAC.domain.campaign.divide`.
    configurations : str
        Fingerprint of the scripts' configuration files, which belong to what is frozen.

    Returns
    -------
    tuple of Chunk
        What will be recalled at a time, in order.

    Raises
    ------
    InvalidInput
        If there is nothing to process, or one chunk alone exceeds the window.
    Conflict
        If a campaign of this name exists with another specification or selection.
    """
    chunks = chunks_of(campaign, groups)
    _add_containers(gateway, campaign, configurations)
    lfns = sorted({lfn for chunk in chunks for lfn in chunk.sizes})
    _closed_dataset(gateway, campaign.selection_name, lfns, parent=campaign.base)
    for chunk in chunks:
        _closed_dataset(gateway, chunk_name(campaign, campaign.steps[0], chunk), chunk.sizes, _container(campaign))
    return chunks


def chunks_of(campaign: Campaign, groups: Sequence[Group]) -> tuple[Chunk, ...]:
    """What will be recalled at a time; InvalidInput if there is nothing, or one chunk alone exceeds the window."""
    if not groups:
        raise InvalidInput(f"campaign {campaign.campaign}: nothing to process; see which files the selection finds")
    chunks = pack(groups, campaign.staging.window)
    if large := too_large(chunks, campaign.staging.window):
        size = sum(large[0].sizes.values())
        raise InvalidInput(
            f"campaign {campaign.campaign}: the input of one job needs {len(large[0].sizes)} files and {size} bytes on "
            f"{campaign.staging.buffer}, more than staging.window allows; enlarge the window"
        )
    return chunks


def check_known(gateway: RucioGateway, campaign: Campaign, configurations: str = "") -> bool:
    """Whether a campaign was submitted before; Conflict if that was with another specification or configuration."""
    base = did_of(campaign.base)
    metadata = gateway.get_metadata([base]).get(base, {})
    known = metadata.get(SPECIFICATION)
    if known is None:
        return False
    if parse_specification(campaign.base, known) != campaign:
        raise Conflict(
            f"campaign {campaign.campaign} exists with another specification ({differences(known, campaign)}); "
            "choose another name, or submit the file it was submitted with"
        )
    if metadata.get(CONFIGURATIONS, configurations) != configurations:
        raise Conflict(
            f"campaign {campaign.campaign} exists with other configuration files of its scripts; choose another name, or "
            "submit the files it was submitted with"
        )
    return True


def parse_specification(base: str, text: str) -> Campaign:
    """A stored specification; Conflict if this version of the package cannot read it."""
    try:
        return Campaign.model_validate_json(text)
    except ValidationError as error:
        raise Conflict(
            f"the specification of {base} was written by another version of this package: {error}"
        ) from error


def chunk_name(campaign: Campaign, step: Step, chunk: Chunk) -> str:
    """Name of a chunk's dataset."""
    return f"{campaign.step_container(step)}/{chunk.key}"


def _container(campaign: Campaign) -> str:
    return campaign.step_container(campaign.steps[0])


def _add_containers(gateway: RucioGateway, campaign: Campaign, configurations: str) -> None:
    """Create the campaign's collections and its specification; the specification goes first and settles who owns the name."""
    base = did_of(campaign.base)
    gateway.add_scope(base.scope)
    above = did_of(parent_of(base.name))
    gateway.add_containers([above, base])
    gateway.attach({above: [base]})
    with contextlib.suppress(NotAllowed, NotFound):  # what is above the scopes belongs to administrators
        gateway.attach({did_of(parent_of(above.name)): [above]})
    if not check_known(gateway, campaign, configurations):
        gateway.set_metadata({base: {SPECIFICATION: campaign.model_dump_json(), CONFIGURATIONS: configurations}})
    steps = [did_of(campaign.step_container(step)) for step in campaign.steps]
    gateway.add_containers([*steps, did_of(f"{campaign.base}/output")])
    outputs = [did_of(campaign.output_dataset(step)) for step in campaign.steps]
    gateway.add_datasets(outputs)
    gateway.attach({base: [*steps, did_of(f"{campaign.base}/output")], did_of(f"{campaign.base}/output"): outputs})


def differences(known: str, campaign: Campaign) -> str:
    """Name the top-level keys in which a stored specification differs from a new one."""
    old, new = Campaign.model_validate_json(known).model_dump(), campaign.model_dump()
    return ", ".join(sorted(key for key in new if old[key] != new[key]))


def _closed_dataset(gateway: RucioGateway, name: str, lfns: Iterable[str], parent: str) -> None:
    """Make a closed dataset with exactly these files below a container; finish it if a crash left it half done."""
    did, wanted = did_of(name), {did_of(lfn) for lfn in lfns}
    gateway.add_datasets([did])
    present = {content.did for content in gateway.list_content(did)}
    record = gateway.get_dids([did])[did]
    if present - wanted or (record.is_open is False and present != wanted):
        raise Conflict(
            f"dataset {name} exists with other files ({len(present - wanted)} more, {len(wanted - present)} fewer than "
            "selected now); choose another campaign name"
        )
    if record.is_open is not False:
        gateway.attach({did: wanted - present})
        gateway.close(did)
    gateway.attach({did_of(parent): [did]})


def load(gateway: RucioGateway, base: str) -> Campaign:
    """Read a campaign's specification back.

    Raises
    ------
    NotFound
        If there is no such campaign.
    """
    did = did_of(base)
    specification = gateway.get_metadata([did]).get(did, {}).get(SPECIFICATION)
    if specification is None:
        raise NotFound(f"{base} is no campaign: there is no container of that name with a specification")
    return parse_specification(base, specification)


def list_chunks(gateway: RucioGateway, campaign: Campaign, step: Step, known: Mapping[str, Chunk]) -> list[Chunk]:
    """Chunks of a step, in order.

    Parameters
    ----------
    known : mapping of key to Chunk
        Chunks read before: chunks are closed, so they are not read again.
    """
    chunks = []
    for content in gateway.list_content(did_of(campaign.step_container(step))):
        key = content.did.name.rsplit("/", 1)[1]
        chunks.append(known.get(key) or Chunk(key, _sizes(gateway, content.did)))
    return sorted(chunks, key=lambda chunk: chunk.key)


def _sizes(gateway: RucioGateway, dataset: Did) -> dict[str, int]:
    return {lfn_of(content.did): content.size or 0 for content in gateway.list_files(dataset)}


def groups_of(gateway: RucioGateway, step: Step, chunks: Iterable[Chunk]) -> list[Group]:
    """The inputs of the jobs in some chunks of a step."""
    files = [(lfn, size) for chunk in chunks for lfn, size in chunk.sizes.items()]
    obs_ids: dict[str, int | None] = {}
    if step.kind != "dl0":  # names of raw files say it; of others, the metadata
        metadata = gateway.get_metadata([did_of(lfn) for lfn, _ in files])
        obs_ids = {lfn_of(did): as_obs_id(values.get("obs_id")) for did, values in metadata.items()}
    unique = {lfn: SelectedFile(lfn, size, obs_ids.get(lfn)) for lfn, size in files}
    return list(divide(step.kind, unique.values()).groups)


def group_of(gateway: RucioGateway, campaign: Campaign, step: Step, lfn: str) -> Group:
    """The job input that a file is accounted for in: what a job needs besides the files it was given.

    Raises
    ------
    NotFound
        If the file is in no chunk of this step.
    """
    container = campaign.step_container(step) + "/"
    parents = [p.did for p in gateway.list_parents(did_of(lfn)) if p.did.name.startswith(container)]
    chunks = [Chunk(parent.name.rsplit("/", 1)[1], _sizes(gateway, parent)) for parent in sorted(parents)]
    groups = groups_of(gateway, step, chunks)
    key = owners(groups).get(lfn)
    for group in groups:
        if group.key == key:
            return group
    raise NotFound(f"{lfn} is in no chunk of step {step.name} of campaign {campaign.campaign}")


# ---------------------------------------------------------------- the recall


@dataclass(frozen=True)
class Cycle:
    """What one cycle of the recall found and did."""

    plan: Plan
    on_buffer: Mapping[str, int]  #: files that can be read there: LFN → bytes
    pinned: Mapping[str, Rule]  #: chunk key → its rule, before the plan was applied
    problems: tuple[str, ...] = ()  #: what somebody should look into; the rest went on


def recall(
    gateway: RucioGateway,
    campaign: Campaign,
    chunks: Sequence[Chunk],
    finished: Collection[str],
    given_up: Collection[str],
    now: dt.datetime,
) -> Cycle:
    """Run one cycle of the carousel: release what is done, extend what is still needed, recall what fits.

    Parameters
    ----------
    chunks : sequence of Chunk
        All chunks of the campaign's first step, in order.
    finished, given_up : collection of str
        Keys of the chunks whose files are all Processed, or that nothing more will be tried for.

    Returns
    -------
    Cycle
        The rules put, ended and extended are those of its ``plan``.
    """
    step, buffer = campaign.steps[0], campaign.staging.buffer
    pins = _pins(gateway, campaign, step)
    everywhere = list(
        gateway.list_collection_replicas(did_of(campaign.selection_name), all_states=True, rse_expression=buffer)
    )
    held = {lfn_of(file.did): file.size for file in everywhere if any(r.rse == buffer for r in file.replicas)}
    online = {lfn_of(file.did): file.size for file in everywhere if any(r.rse == buffer for r in file.available)}
    states = [
        ChunkState(
            chunk,
            Pin(pins[chunk.key].id, pins[chunk.key].expires_at) if chunk.key in pins else None,
            chunk.key in finished,
            chunk.key in given_up,
        )
        for chunk in chunks
    ]
    lifetime = dt.timedelta(seconds=campaign.staging.lifetime)
    todo = plan(states, campaign.staging.window, held, now, lifetime)
    for pin in todo.release:
        gateway.end_rule(pin.rule_id, purge_replicas=True)
    for pin in todo.extend:
        gateway.update_rule(pin.rule_id, lifetime=campaign.staging.lifetime)
    problems = [
        f"the recall of {rule.did.name} is {rule.state}: {rule.error or 'no reason given'}"
        for rule in pins.values()
        if rule.state in STUCK
    ]
    for chunk in todo.pin:
        try:
            check_pins(gateway, [did_of(lfn) for lfn in chunk.sizes if lfn in held], buffer, {buffer})
            gateway.add_rule(
                [did_of(chunk_name(campaign, step, chunk))],
                buffer,
                lifetime=campaign.staging.lifetime,
                source_replica_expression=campaign.staging.source,
                activity=ACTIVITY,
                comment=f"recall for campaign {campaign.campaign}",
            )
        except CtaRucioError as error:
            if error.retryable:
                raise
            problems.append(f"{chunk_name(campaign, step, chunk)} is not recalled: {error}")
    return Cycle(todo, online, pins, tuple(problems))


def _pins(gateway: RucioGateway, campaign: Campaign, step: Step) -> dict[str, Rule]:
    """Rules on the campaign's chunks at the buffer, whoever put them: a shifter may change, and its pins go on to count."""
    container = campaign.step_container(step) + "/"
    rules = gateway.list_rules(
        scope=did_of(container + "x").scope,
        rse_expression=campaign.staging.buffer,
        name_pattern=container + "*",
    )
    return {rule.did.name[len(container) :]: rule for rule in rules}


# ---------------------------------------------------------------- from step to step


def hand_on(
    gateway: RucioGateway,
    campaign: Campaign,
    number: int,
    groups: Iterable[Group],
    processed: Collection[str],
    done: Collection[str],
) -> tuple[list[str], list[str]]:
    """Give the outputs of each observation that is complete to the next step.

    Parameters
    ----------
    number : int
        Index of the step whose outputs are handed on.
    groups : iterable of Group
        All inputs of that step's jobs.
    processed : collection of str
        LFNs that the Transformation System calls Processed for that step.
    done : collection of str
        LFNs the next step has already.

    Returns
    -------
    new : list of str
        The outputs of that step that belong to complete observations, as far as the next step does not have them yet: all
        outputs of the observation are registered, and frozen in a closed dataset.
    problems : list of str
        Observations that cannot be handed on though all their inputs are Processed, each with its reason.
    """
    step, following = campaign.steps[number], campaign.steps[number + 1]
    by_observation: dict[int, list[Group]] = {}
    for group in groups:
        by_observation.setdefault(group.obs_id, []).append(group)
    complete = {
        obs_id: [output_lfn(campaign, step, group) for group in members]
        for obs_id, members in by_observation.items()
        if all(lfn in processed for group in members for lfn in group.lfns)
    }
    wanted = {obs_id: lfns for obs_id, lfns in complete.items() if not set(lfns) <= set(done)}
    if not wanted:
        return [], []
    registered = {lfn_of(content.did) for content in gateway.list_files(did_of(campaign.output_dataset(step)))}
    new: list[str] = []
    problems: list[str] = []
    container = campaign.step_container(following)
    for obs_id, lfns in sorted(wanted.items()):
        if missing := set(lfns) - registered:
            problems.append(
                f"observation {obs_id}: all inputs of step {step.name} are Processed, but {len(missing)} of {len(lfns)} "
                f"outputs are not in {campaign.output_dataset(step)}, such as {min(missing)}"
            )
            continue
        try:
            _closed_dataset(gateway, f"{container}/obs{obs_id}", lfns, container)
            new += lfns
        except Conflict as error:
            problems.append(f"observation {obs_id}: {error}")
    return new, problems


def list_campaigns(gateway: RucioGateway, path: str) -> list[str]:
    """Names of the campaigns below a path."""
    scope = did_of(f"{path.rstrip('/')}/x").scope
    found = gateway.find_names(scope, path.rstrip("/") + "/", types=[DidType.CONTAINER])
    depth = path.rstrip("/").count("/") + 1
    return sorted(content.did.name for content in found if content.did.name.count("/") == depth)
