"""Where a file is at an RSE: CTAO's algorithm."""

from bdms_rucio_policy.lfn2pfn import lfn2pfn

__all__ = ["lfn2pfn"]
