"""CTARucioDIRAC: Rucio as the data management of DIRAC, for the Cherenkov Telescope Array Observatory."""

__version__ = "0.1.0"


def extension_metadata() -> dict[str, object]:
    """Describe this extension to DIRAC (entry point group ``dirac``).

    Returns
    -------
    dict
        ``priority`` is above CTADIRAC's 100, so that DIRAC's ObjectLoader asks this package first;
        ``primary_extension`` stays with CTADIRAC, and ``setups`` is empty: this package joins an existing DIRAC.
    """
    return {"priority": 200, "primary_extension": False, "setups": {}}
