"""The scope of a path: CTAO's algorithm."""

from bdms_rucio_policy.scope import scope

__all__ = ["scope"]
