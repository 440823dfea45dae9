"""A reprocessing campaign: its specification, and the division of its input into chunks. Pure.

A campaign selects raw files, recalls them from tape through a bounded window, and runs its steps in order. A *group* is the
input of one job: the files that must be read together. A *chunk* is what is recalled and pinned at a time: a closed dataset
that the campaign owns, with one or more whole groups.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from .acada import parse_name
from .errors import InvalidInput
from .identifiers import validate_lfn

#: Campaign and step names become parts of LFNs, so they keep to the characters CTAO's Rucio policy allows.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-_]{0,63}$")]


def _path(value: str) -> str:
    try:
        return validate_lfn(value)
    except InvalidInput as error:  # pydantic wants a ValueError, and adds where it is
        raise ValueError(str(error)) from error


Path = Annotated[str, AfterValidator(_path)]
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
#: What an output's name may use.
PLACEHOLDERS = frozenset({"campaign", "step", "key", "obs_id"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Selection(_Strict):
    """Which files the campaign processes."""

    path: Path = Field(description="Only files below this directory.")
    metadata: Mapping[str, Any] = Field(
        default_factory=dict,
        description="DIRAC metadata query, as for dirac-dms-find-lfns: key → value or {operator: value}.",
    )


class Window(_Strict):
    """How much of the buffer the campaign may fill at a time."""

    files: int = Field(default=2000, ge=1, description="Most files on the buffer at a time.")
    bytes: int = Field(default=10**13, ge=1, description="Most bytes on the buffer at a time.")


class Staging(_Strict):
    """How the input comes back from tape."""

    source: Name = Field(description="RSE of the tape copy; a disk copy elsewhere does not replace the recall.")
    buffer: Name = Field(description="RSE that jobs read from.")
    window: Window = Field(default_factory=Window)
    lifetime: int = Field(
        default=7 * 86400,
        ge=600,
        description="Seconds after which a pin ends by itself if nobody releases or extends it.",
    )


class Software(_Strict):
    """A software step of the worker: an environment of its own below the site's shared area."""

    name: Name
    version: Name


class Output(_Strict):
    """What one job writes, and where it goes."""

    path: Path = Field(description="Directory of the outputs.")
    name: str = Field(description="File name; {campaign}, {step}, {key} (the job's), {obs_id} are filled in.")
    storage: Name = Field(description="Storage element (RSE) of the outputs.")
    data_level: int = Field(ge=0, le=5, description="0 … 5 for DL0 … DL5.")

    @field_validator("name")
    @classmethod
    def _known_placeholders(cls, value: str) -> str:
        unknown = set(_PLACEHOLDER.findall(value)) - PLACEHOLDERS
        if unknown:
            raise ValueError(f"unknown placeholder {{{sorted(unknown)[0]}}}; known: {', '.join(sorted(PLACEHOLDERS))}")
        if not set(_PLACEHOLDER.findall(value)) & {"key", "obs_id"}:
            raise ValueError("needs {key} or {obs_id}, or all jobs would write the same file")
        if not re.fullmatch(r"[A-Za-z0-9.\-_]+", _PLACEHOLDER.sub("x", value)):
            raise ValueError("has characters that CTAO's Rucio policy does not allow (A-Z a-z 0-9 . - _)")
        return value


class Step(_Strict):
    """One script run over every chunk."""

    name: Name
    kind: Literal["dl0", "simtel", "merge"] = Field(
        description="dl0: one job per chunk number of an observation, all streams together; simtel: one job per file; "
        "merge: one job per observation, over the outputs of the step before."
    )
    software: Software
    config: str | None = Field(
        default=None, description="Configuration file of the script, relative to the campaign file."
    )
    options: tuple[str, ...] = Field(default=(), description="More command-line options for the script.")
    output: Output
    max_attempts: int = Field(default=5, ge=1, le=9, description="Jobs tried for one input before it is set aside.")
    cpu_time: int = Field(default=86400, ge=60, description="Seconds of CPU time that a job may take.")


class Campaign(_Strict):
    """One campaign file.

    Raises
    ------
    pydantic.ValidationError
        For an unknown key or an ill-typed value; the message names the key.
    """

    campaign: Name
    description: str = ""
    path: Path = Field(
        default="/ctao/campaigns",
        description="Where the campaign's own datasets live; the second component is their scope.",
    )
    selection: Selection
    staging: Staging
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _steps_fit(self) -> Campaign:
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names):
            raise ValueError(f"step names must differ: {', '.join(names)}")
        places = [(step.output.path, step.output.name) for step in self.steps]
        if len(set(places)) != len(places):
            raise ValueError("two steps write to the same path and name")
        for number, step in enumerate(self.steps):
            if (step.kind == "merge") != (number > 0):
                raise ValueError(
                    f"step {step.name}: the first step reads raw data (kind dl0 or simtel), each later one has kind merge"
                )
        return self

    @property
    def base(self) -> str:
        """Container of everything the campaign owns."""
        return f"{self.path.rstrip('/')}/{self.campaign}"

    @property
    def selection_name(self) -> str:
        """Dataset with exactly the files selected at submission."""
        return f"{self.base}/selection"

    def step_container(self, step: Step) -> str:
        """Container of a step's chunk datasets."""
        return f"{self.base}/{step.name}"

    def output_dataset(self, step: Step) -> str:
        """Dataset that collects a step's outputs."""
        return f"{self.base}/output/{step.name}"


def as_obs_id(value: object) -> int | None:
    """An observation's number from metadata, whether it was written as a number or as text; None if it is neither."""
    try:
        return int(str(value))
    except ValueError:
        return None


@dataclass(frozen=True)
class SelectedFile:
    """One file of the selection, with what the catalogue knows of it."""

    lfn: str
    size: int
    obs_id: int | None = None


@dataclass(frozen=True)
class Group:
    """The input of one job.

    Attributes
    ----------
    key : str
        Unique in its step; part of the output's name.
    obs_id : int
        Observation (or simulation run) it belongs to.
    files : tuple of SelectedFile
        Every file the job reads, sorted by name.
    """

    key: str
    obs_id: int
    files: tuple[SelectedFile, ...]

    @property
    def lfns(self) -> tuple[str, ...]:
        """Names of the files."""
        return tuple(file.lfn for file in self.files)


@dataclass(frozen=True)
class Chunk:
    """What is recalled and pinned at a time.

    Attributes
    ----------
    key : str
        Last part of the dataset's name; the order of the keys is the order of recall.
    sizes : mapping of LFN to bytes
    """

    key: str
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Division:
    """The result of :func:`divide`: groups to process, and files set aside, each with its reason."""

    groups: tuple[Group, ...]
    set_aside: Mapping[str, str]


def divide(kind: str, files: Iterable[SelectedFile]) -> Division:
    """Group files into the inputs of jobs.

    Parameters
    ----------
    kind : str
        A step's kind: ``dl0`` (all streams of one chunk number of an observation, with the files that belong to the whole
        observation, such as its pointing, in each of them), ``simtel`` (each file alone) or ``merge`` (all files of an
        observation).
    files : iterable of SelectedFile

    Returns
    -------
    Division
        Groups ordered by observation and number. Set aside are, for dl0, names without an OBSID, observations without any
        event file, and groups that lack a stream which another group of the same observation has: processing them would
        silently lose telescopes; for the other kinds, files without an ``obs_id``.
    """
    return {"dl0": _divide_dl0, "simtel": _divide_single, "merge": _divide_by_observation}[kind](files)


def _divide_by_observation(files: Iterable[SelectedFile]) -> Division:
    members: dict[int, list[SelectedFile]] = defaultdict(list)
    aside: dict[str, str] = {}
    for file in sorted(files, key=lambda f: f.lfn):
        if file.obs_id is None:
            aside[file.lfn] = "has no obs_id in its metadata"
        else:
            members[file.obs_id].append(file)
    return Division(tuple(Group(f"obs{obs}", obs, tuple(members[obs])) for obs in sorted(members)), aside)


def _divide_single(files: Iterable[SelectedFile]) -> Division:
    groups: dict[str, Group] = {}
    aside: dict[str, str] = {}
    for file in sorted(files, key=lambda f: f.lfn):
        stem = re.sub(r"(\.simtel)?(\.zst|\.gz)?$", "", file.lfn.rsplit("/", 1)[1])
        if file.obs_id is None:
            aside[file.lfn] = "has no obs_id in its metadata"
        elif stem in groups:
            aside[file.lfn] = f"has the same name as {groups[stem].files[0].lfn}: their outputs would have one name"
        else:
            groups[stem] = Group(stem, file.obs_id, (file,))
    return Division(tuple(groups.values()), aside)


def _divide_dl0(files: Iterable[SelectedFile]) -> Division:
    aside: dict[str, str] = {}
    streams: dict[int, dict[int, dict[str, SelectedFile]]] = defaultdict(lambda: defaultdict(dict))
    shared: dict[int, list[SelectedFile]] = defaultdict(list)
    for file in sorted(files, key=lambda f: f.lfn):
        name = parse_name(file.lfn)
        if name is None:
            aside[file.lfn] = "is not named as ACADA names DL0 files: no OBSID in its name"
        elif name.chunk is None and shared[name.obs_id]:
            aside[file.lfn] = (
                f"is a second file for the whole of OBSID {name.obs_id}, beside {shared[name.obs_id][0].lfn}"
            )
        elif name.chunk is None:
            shared[name.obs_id].append(file)
        elif name.stream in streams[name.obs_id][name.chunk]:
            aside[file.lfn] = f"is a second file for stream {name.stream} of OBSID {name.obs_id} chunk {name.chunk}"
        else:
            streams[name.obs_id][name.chunk][name.stream] = file
    groups = []
    for obs_id in sorted(streams):
        expected = set().union(*streams[obs_id].values()) | {_trigger(streams[obs_id])}
        for number, present in sorted(streams[obs_id].items()):
            if missing := sorted(expected - set(present)):
                reason = f"OBSID {obs_id} chunk {number} lacks the stream(s) {', '.join(missing)}"
                aside.update({file.lfn: reason for file in present.values()})
                continue
            members = sorted([*present.values(), *shared[obs_id]], key=lambda f: f.lfn)
            groups.append(Group(f"obs{obs_id}-chunk{number:03d}", obs_id, tuple(members)))
    used = {group.obs_id for group in groups}
    for obs_id in set(shared) - used:
        aside.update({file.lfn: f"OBSID {obs_id} has no complete chunk of events" for file in shared[obs_id]})
    return Division(tuple(groups), aside)


def _trigger(chunks: Mapping[int, Mapping[str, SelectedFile]]) -> str:
    """The stream of an observation that says which events there are; without it nothing can be read."""
    names = {stream for present in chunks.values() for stream in present if stream.endswith("_SUBARRAY")}
    return min(names, default="SUBARRAY (the trigger)")


def pack(groups: Iterable[Group], window: Window) -> tuple[Chunk, ...]:
    """Put groups together into the chunks that are recalled and pinned at a time.

    Parameters
    ----------
    groups : iterable of Group
        In the order in which they should be recalled.
    window : Window
        A chunk takes at most a quarter of it (so that the window rolls), but always one whole group, and never as many
        files (10,000) as would make Rucio place the rule in the background.

    Returns
    -------
    tuple of Chunk
    """
    max_files = min(max(window.files // 4, 1), 9_999)
    max_bytes = max(window.bytes // 4, 1)
    packed: list[dict[str, int]] = []
    for group in groups:
        sizes = {file.lfn: file.size for file in group.files}
        together = packed[-1] | sizes if packed else {}
        if packed and len(together) <= max_files and sum(together.values()) <= max_bytes:
            packed[-1] = together
        else:
            packed.append(sizes)
    return tuple(Chunk(f"chunk{number:05d}", sizes) for number, sizes in enumerate(packed))


def owners(groups: Iterable[Group]) -> dict[str, str]:
    """Say which group accounts for each file.

    The Transformation System gives a file to one task only, so a file that several groups read (an observation's pointing)
    is accounted for by the first of them.

    Returns
    -------
    dict
        LFN → key of its group.
    """
    owner: dict[str, str] = {}
    for group in groups:
        for lfn in group.lfns:
            owner.setdefault(lfn, group.key)
    return owner


def shared_outputs(campaign: Campaign, groups: Iterable[Group]) -> dict[str, list[str]]:
    """Names that several jobs of the first step would write, each with the jobs' keys: the template needs {key} then."""
    writers: dict[str, list[str]] = defaultdict(list)
    for group in groups:
        writers[output_lfn(campaign, campaign.steps[0], group)].append(group.key)
    return {lfn: keys for lfn, keys in writers.items() if len(keys) > 1}


def output_lfn(campaign: Campaign, step: Step, group: Group) -> str:
    """Name of a group's output: the same for every attempt, so that a job that runs twice has one output."""
    name = step.output.name.format(campaign=campaign.campaign, step=step.name, key=group.key, obs_id=group.obs_id)
    return f"{step.output.path.rstrip('/')}/{name}"
