"""What CTARucioDIRAC adds to the ctapipe environment of a worker node. Knows nothing of DIRAC and Rucio."""

__version__ = "0.1.0"
