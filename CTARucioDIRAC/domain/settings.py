"""Settings of the catalogue, read strictly: an unknown or ill-typed option is an error that names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from .embargo import parse_embargo
from .errors import InvalidInput, InvalidSettings
from .scopes import EVERY, Algorithm, ScopeRules, parse_mapping

_Address = Annotated[str, pydantic.StringConstraints(pattern=r"^https://[^/\s]+(/[^\s]*)?$")]


def _strip_slash(value: str) -> str:
    return value.rstrip("/")


class CatalogueSettings(pydantic.BaseModel):
    """Options of ``/Resources/FileCatalogs/RucioFileCatalog``.

    Attributes
    ----------
    RucioHost : str
        Address of Rucio's REST server, such as ``https://rucio.example.org``.
    AuthHost : str
        Address of its authentication server; the same, unless given.
    CACertificate : pathlib.Path or None
        Trusted authorities: one file, or a hashed directory; DIRAC's own directory unless given.
    VO : str
        Virtual organisation, which is the first component of every path.
    RucioVO : str
        Rucio's own name of it; ``def`` on a server for one VO.
    ScopeAlgorithm : str
        How a path gives its scope: ``ctao_bdms`` takes the second component, and the user's name below ``/<vo>/user``;
        ``dirac`` takes the second component, and the first for ``/<vo>``.
    ScopeMapping : str
        Trees of paths that are in another scope than the algorithm's: ``/ctao/dark=dark-data, /ctao/site/*=site-{1}``.
    ForeignScopes : str
        Scopes that hold paths of other scopes' trees, to be listed with them; ``*`` looks into every scope.
    Embargo : str
        DIRAC groups that alone may read a scope: ``pks=ctao_pks|ctao_prod, dark=ctao_dark``.
    RequestTimeout : float
        Seconds to wait for one answer of Rucio.
    CatalogType, AccessType, Status, Master, CatalogURL
        Read by DIRAC itself.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    RucioHost: Annotated[_Address, pydantic.AfterValidator(_strip_slash)]
    AuthHost: Annotated[_Address, pydantic.AfterValidator(_strip_slash)] = ""
    CACertificate: Path | None = None
    VO: Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    RucioVO: Annotated[str, pydantic.StringConstraints(min_length=1)] = "def"
    ScopeAlgorithm: Literal["ctao_bdms", "dirac"] = "ctao_bdms"
    ScopeMapping: str = ""
    ForeignScopes: str = ""
    Embargo: str = ""
    RequestTimeout: Annotated[float, pydantic.Field(ge=1, le=3600)] = 300.0
    CatalogType: Literal["CTARucioFileCatalog", "RucioFileCatalog"] = "CTARucioFileCatalog"
    AccessType: Literal["Read", "Write", "Read-Write"] = "Read-Write"
    Status: Literal["Active", "InActive"] = "Active"
    Master: Literal["True", "False"] = "False"
    CatalogURL: str = ""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _default_auth_host(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("AuthHost") and values.get("RucioHost"):
            return values | {"AuthHost": values["RucioHost"]}
        return values

    @pydantic.field_validator("ScopeMapping")
    @classmethod
    def _check_mapping(cls, value: str) -> str:
        try:
            parse_mapping(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return value

    @pydantic.field_validator("Embargo")
    @classmethod
    def _check_embargo(cls, value: str) -> str:
        try:
            parse_embargo(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return value

    @pydantic.field_validator("ForeignScopes")
    @classmethod
    def _check_scopes(cls, value: str) -> str:
        for scope in _words(value):
            if scope != EVERY and not re.fullmatch(r"[A-Za-z0-9.\-_]{1,25}", scope):
                raise ValueError(f"{scope!r} is no scope: names of scopes with commas between them expected, or *")
        return value

    @property
    def scope_rules(self) -> ScopeRules:
        """How paths and scopes belong together."""
        foreign = tuple(_words(self.ForeignScopes))
        return ScopeRules(Algorithm(self.ScopeAlgorithm), parse_mapping(self.ScopeMapping), foreign)


def _words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


def catalogue_settings(options: Mapping[str, Any], section: str) -> CatalogueSettings:
    """Check the options of a catalogue.

    Parameters
    ----------
    options : mapping
        Option names and their texts.
    section : str
        Where they come from; named in errors.

    Raises
    ------
    InvalidSettings
        Naming every option that is missing, unknown or ill-typed.
    """
    try:
        return CatalogueSettings.model_validate(dict(options))
    except pydantic.ValidationError as error:
        complaints = [_complaint(section, problem) for problem in error.errors()]
        raise InvalidSettings("; ".join(complaints)) from None


def _complaint(section: str, problem: Any) -> str:
    option = f"{section}/{'.'.join(map(str, problem['loc']))}"
    if problem["type"] == "extra_forbidden":
        known = ", ".join(CatalogueSettings.model_fields)
        return f"{option} is no option of the Rucio catalogue; known are {known}"
    if problem["type"] == "missing":
        return f"{option} is missing"
    return f"{option} = {problem['input']!r}: {problem['msg']}"
