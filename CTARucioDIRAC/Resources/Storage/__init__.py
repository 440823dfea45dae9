"""Storage plugins that DIRAC's StorageFactory finds by name."""
