"""DIRAC services of this extension."""
