"""Where everything of one stack is: directories, ports, names. Pure: nothing is created or read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Storage endpoints of the testbed, by RSE (and DIRAC storage element) name; the value is the site.
RSES = {
    "LAPALMA-DISK": "LAPALMA",
    "PIC-DISK": "PIC",
    "PIC-BUFFER": "PIC",
    "CNAF-DISK": "CNAF",
    "PIC-TAPE": "PIC",
}
TAPE = "PIC-TAPE"

#: DISET services of the stack, in the order in which their ports follow each other.
DIRAC_SERVICES = (
    "Configuration/Server",
    "WorkloadManagement/OptimizationMind",
    "Framework/ProxyManager",
    "Framework/BundleDelivery",
    "Framework/Notification",
    "ResourceStatus/ResourceStatus",
    "ResourceStatus/ResourceManagement",
    "Accounting/DataStore",
    "DataManagement/FileCatalog",
    "DataManagement/StorageElement",
    "DataManagement/FTS3Manager",
    "DataManagement/DataIntegrity",
    "StorageManagement/StorageManager",
    "Transformation/TransformationManager",
    "Production/ProductionManager",
    "RequestManagement/ReqManager",
    "WorkloadManagement/SandboxStore",
    "WorkloadManagement/PilotManager",
    "WorkloadManagement/JobManager",
    "WorkloadManagement/JobMonitoring",
    "WorkloadManagement/JobStateUpdate",
    "WorkloadManagement/Matcher",
    "WorkloadManagement/WMSAdministrator",
    "DataManagement/RucioFileCatalog",
)

_OFFSETS = {"postgres": 0, "mariadb": 1, "rucio": 2, "transfer": 3, "documents": 4}
_OFFSETS |= {rse: 10 + i for i, rse in enumerate(RSES)}
_OFFSETS |= {service: 20 + i for i, service in enumerate(DIRAC_SERVICES)}
#: A stack takes the ports from its base to its base + PORT_SPAN - 1.
PORT_SPAN = 60

#: Everything below this organisation is signed by the testbed's own authority.
DN_PREFIX = "/DC=org/DC=ctao-testbed"
VO = "ctao"


@dataclass(frozen=True)
class Role:
    """One person, robot or host of the testbed, with the DIRAC group and Rucio account used in that role."""

    name: str
    user: str  #: DIRAC user name, and common name of the certificate
    group: str | None  #: DIRAC group; None: plain proxy without a group
    account: str  #: Rucio account

    @property
    def dn(self) -> str:
        """Subject of the certificate, in DIRAC's and Rucio's slash notation."""
        return f"{DN_PREFIX}/OU={'Robots' if self.group is None else 'Users'}/CN={self.user}"


ROLES = {
    role.name: role
    for role in (
        Role("user", "puser", "ctao_user", "ctaouser"),
        Role("production", "pprod", "ctao_prod", "ctaoprod"),
        Role("data", "pdata", "ctao_data", "ctaodata"),
        Role("admin", "padmin", "dirac_admin", "ctaoadmin"),
        # has an account of their own, where others of the group share the group's
        Role("analyst", "panalyst", "ctao_user", "panalyst"),
        Role("pilot", "ppilot", "ctao_pilot", "ctaopilot"),
        # runs Rucio's daemons and the transfer service; also ingests raw data with plain Rucio, as CTAO's BDMS does
        Role("robot", "ddmrobot", None, "root"),
    )
}
HOST_DN = f"{DN_PREFIX}/CN=localhost"
#: Rucio account of DIRAC's own services and agents when they act with the host certificate.
HOST_ACCOUNT = "ctaohost"
#: Scope under an embargo, and the roles whose groups may read it: no other role's group or person.
EMBARGOED_SCOPE = "embargoed"
EMBARGO_READERS = ("production", "data", "admin")
#: Permissions of Rucio that the stack can run with; the first is the default.
POLICIES = ("overlay", "ctao")


@dataclass(frozen=True)
class Layout:
    """Directories, ports and dimensions of one stack.

    Attributes
    ----------
    root : Path
        State directory; everything the stack writes is below it.
    port_base : int
        First port; see :data:`PORT_SPAN`.
    prefix : Path
        Environment (``sys.prefix``) whose ``bin/`` has DIRAC, Rucio and this package.
    software : Path
        Software area of the workers (``<software>/ctapipe-0.28/bin/ctapipe-process``).
    workers : int
        Number of JobAgents.
    tape_drives : int
        Drives of the simulated tape library.
    tape_latency : float
        Seconds from mounting to the first byte, per file.
    policy : str
        Rucio's permissions: ``overlay``, this package's least-privilege policy, or ``ctao``, Rucio's generic one.
    """

    root: Path
    port_base: int
    prefix: Path
    software: Path
    workers: int = 2
    tape_drives: int = 2
    tape_latency: float = 2.0
    policy: str = POLICIES[0]

    def port(self, name: str) -> int:
        """Port of ``postgres``, ``mariadb``, ``rucio``, ``transfer``, ``documents``, an RSE, or a DIRAC service (``System/Service``)."""
        return self.port_base + _OFFSETS[name]

    @property
    def certs(self) -> Path:
        """``<name>.pem`` and ``<name>.key`` for ``host`` and each role's user; the authority in ``certs/ca``."""
        return self.root / "certs"

    @property
    def ca(self) -> Path:
        """Hashed directory of trusted authorities: what X509_CERT_DIR points to."""
        return self.certs / "ca"

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, for clients that take one file."""
        return self.ca / "testbed-ca.pem"

    def proxy(self, role: str) -> Path:
        """Proxy file of a role (see :data:`ROLES`)."""
        return self.root / "proxies" / f"{role}.pem"

    @property
    def run(self) -> Path:
        """Pid records, sockets, control directories."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """One log file per service: ``<name>.log``."""
        return self.root / "log"

    def storage(self, rse: str) -> Path:
        """Local directory behind an RSE (for the tape: its disk buffer)."""
        return self.root / "storage" / rse

    @property
    def tape_library(self) -> Path:
        """What the simulated tape library holds."""
        return self.root / "tapelib"

    def rucio_home(self, side: str) -> Path:
        """``RUCIO_HOME`` of the ``server`` or of a role's client (``client-<role>``)."""
        return self.root / "rucio" / side

    def dirac_root(self, instance: str) -> Path:
        """``DIRAC_ROOT_PATH`` of ``server``, ``client`` or ``worker1`` …."""
        return self.root / "dirac" / instance

    @property
    def bin(self) -> Path:
        """``bin/`` of the environment."""
        return self.prefix / "bin"
