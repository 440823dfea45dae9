"""DIRAC's /Resources for the testbed: sites, storage elements with the RSEs' names, file catalogues. Pure."""

from __future__ import annotations

from .dirac_tree import Tree
from .layout import EMBARGO_READERS, EMBARGOED_SCOPE, ROLES, RSES, TAPE, VO, Layout

#: DIRAC's site names, by the site named with the RSE.
SITES = {"LAPALMA": "CTAO.LAPALMA.es", "PIC": "CTAO.PIC.es", "CNAF": "CTAO.CNAF.it"}
#: Where the workers are, and their computing element and queue.
WORKER_SITE = SITES["PIC"]
WORKER_CE = "pic-ce"
WORKER_QUEUE = "local"
#: Storage element of the sandboxes: a directory that the SandboxStore service serves.
SANDBOX_SE = "ProductionSandboxSE"
ACCESS_TYPES = ("ReadAccess", "WriteAccess", "CheckAccess", "RemoveAccess")


def resources(layout: Layout) -> Tree:
    """Sites, the workers' computing element, storage elements and file catalogues."""
    # gfal2 compares checksums at both ends of a transfer only if this is said, and for all elements at once
    elements: Tree = {"ChecksumType": "ADLER32", **{rse: storage_element(layout, rse) for rse in RSES}}
    elements[SANDBOX_SE] = _sandboxes(layout)
    return {
        "Sites": {"CTAO": {name: site(name) for name in SITES.values()}},
        "StorageElements": elements,
        # where jobs put their output when they don't say where, and when that place fails
        "StorageElementGroups": {"SE-USER": "PIC-DISK", "Tier1-Failover": "CNAF-DISK"},
        "FileCatalogs": file_catalogs(layout),
        "Computing": {"OSCompatibility": {}},
    }


def site(name: str) -> Tree:
    """A site with its storage elements; the workers' site has a computing element, too."""
    tree: Tree = {
        "Name": name,
        "SE": [rse for rse, place in RSES.items() if SITES[place] == name],
    }
    if name == WORKER_SITE:
        tree["CE"] = WORKER_CE
        tree["CEs"] = {
            WORKER_CE: {
                "CEType": "InProcess",
                "Status": "Active",
                "Queues": {WORKER_QUEUE: {"maxCPUTime": "200000", "SI00": "2400"}},
            }
        }
    return tree


def storage_element(layout: Layout, rse: str) -> Tree:
    """A storage element whose URLs are exactly Rucio's PFNs: ``root://localhost:<port>//<LFN>``."""
    port = str(layout.port(rse))
    tape = rse == TAPE
    tree: Tree = {
        "BackendType": "Tape" if tape else "Disk",
        "SEType": "T1D0" if tape else "T0D1",
        # root:// first: it is the only protocol of the tape endpoint, and the one of Rucio's registered PFNs
        "AccessProtocols": ["root"] if tape else ["root", "davs"],
        "WriteProtocols": ["root"] if tape else ["root", "davs"],
        **dict.fromkeys(ACCESS_TYPES, "Active"),
        "GFAL2_XROOT": _protocol("CTARucio_XROOT", "root", port, "/"),
    }
    if not tape:
        tree["GFAL2_HTTPS"] = _protocol("CTARucio_HTTPS", "davs", port, "")
    return tree


def file_catalogs(layout: Layout) -> Tree:
    """Rucio as RucioFileCatalog, the transformation system's, and DIRAC's own: declared for comparisons only."""
    rucio = f"https://localhost:{layout.port('rucio')}"
    return {
        "RucioFileCatalog": {
            "CatalogType": "CTARucioFileCatalog",
            "AccessType": "Read-Write",
            "Status": "Active",
            "Master": "True",
            "RucioHost": rucio,
            "AuthHost": rucio,
            "CACertificate": str(layout.ca_file),
            "VO": VO,
            "ScopeAlgorithm": "ctao_bdms",
            "Embargo": f"{EMBARGOED_SCOPE}={'|'.join(str(ROLES[role].group) for role in EMBARGO_READERS)}",
        },
        "TSCatalog": {
            "CatalogType": "TSCatalog",
            "AccessType": "Write",
            "Status": "Active",
            "CatalogURL": "Transformation/TransformationManager",
        },
        "FileCatalog": {
            "CatalogType": "FileCatalog",
            "AccessType": "Read-Write",
            "Status": "Active",
            "CatalogURL": "DataManagement/FileCatalog",
        },
    }


def _protocol(plugin: str, protocol: str, port: str, path: str) -> Tree:
    return {
        "PluginName": plugin,
        "Protocol": protocol,
        "Host": "localhost",
        "Port": port,
        "Path": path,
        "Access": "remote",
        "SpaceToken": "",
        "WSUrl": "",
    }


def _sandboxes(layout: Layout) -> Tree:
    port = str(layout.port("WorkloadManagement/SandboxStore"))
    return {
        "BackendType": "DISET",
        "AccessProtocols": "dips",
        "WriteProtocols": "dips",
        **dict.fromkeys(ACCESS_TYPES, "Active"),
        "DIP": _protocol("DIP", "dips", port, "/WorkloadManagement/SandboxStore"),
    }
