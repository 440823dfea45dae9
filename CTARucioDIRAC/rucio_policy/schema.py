"""Schema of names, scopes, activities …: CTAO's."""

from bdms_rucio_policy.schema import *  # noqa: F403
