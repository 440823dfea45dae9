"""What can go wrong, by what the caller can do about it.

::

    CtaRucioError                 base of everything this package raises on purpose
    ├── InvalidInput              the request can't be right, whoever asks and whenever: fix the call
    │   └── InvalidSettings       an option of the configuration is missing, unknown or ill-typed: fix the CS
    ├── NotFound                  a DID, replica, rule, RSE, scope or account doesn't exist
    ├── Conflict                  the request contradicts what is there: another state, another owner, a rule in the way
    │   ├── AlreadyExists         the name is taken by something else (another type of DID, another owner)
    │   └── DifferentContent      the name is registered with another size or checksum; the message names both
    ├── NotAllowed                the account may not do that (permission or quota)
    │   └── NotAuthenticated      there is no usable proxy or certificate, or the server refuses it
    └── Unavailable               the server or the network failed: the same call may succeed later
        └── OutcomeUnknown        … and a write may or may not have been done: repeat it, every write is idempotent
"""

from __future__ import annotations


class CtaRucioError(Exception):
    """Base of all errors of this package; the text names the object, the cause and the remedy."""

    #: True where repeating the very same call later can succeed.
    retryable = False


class InvalidInput(CtaRucioError):
    """The request can't be right, whoever asks and whenever."""


class InvalidSettings(InvalidInput):
    """An option of the configuration is missing, unknown or ill-typed."""


class NotFound(CtaRucioError):
    """A DID, replica, rule, RSE, scope or account doesn't exist."""


class Conflict(CtaRucioError):
    """The request contradicts what is there."""


class AlreadyExists(Conflict):
    """The name is taken by something else."""


class DifferentContent(Conflict):
    """The name is registered with another size or checksum."""


class NotAllowed(CtaRucioError):
    """The account may not do that."""


class NotAuthenticated(NotAllowed):
    """There is no usable proxy or certificate, or the server refuses it."""


class Unavailable(CtaRucioError):
    """The server or the network failed: the same call may succeed later."""

    retryable = True


class OutcomeUnknown(Unavailable):
    """A write was sent and no answer came: it may or may not have been done; repeat it."""
