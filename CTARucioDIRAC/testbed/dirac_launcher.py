"""Starts one DIRAC process of the testbed: ``dirac-service``, ``-executor`` or ``-agent`` with the testbed's patches.

``python -m CTARucioDIRAC.testbed.dirac_launcher service|executor|agent|worker MARKS NAME... [DIRAC options]``, where
MARKS is the directory for the marks of the health check.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from . import dirac_patches as patches

MODULE = "CTARucioDIRAC.testbed.dirac_launcher"
KINDS = ("service", "executor", "agent", "worker")


def apply(kind: str, marks: Path, names: list[str]) -> None:
    """Patch what a process of this kind needs.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    marks : Path
        Directory for the marks of the health check.
    names : list of str
        What the process runs, as ``System/Name``.
    """
    if kind == "service":
        patches.bind_to_loopback()
        patches.answer_without_delay()
        patches.accept_one_at_a_time()
        if "Transformation/TransformationManager" in names:
            patches.submit_tasks_soon()
    elif kind == "executor":
        patches.mark_connection(marks, names[0])
        patches.release_rescheduled_jobs()
    elif kind == "agent":
        patches.mark_cycles(marks)
        patches.cycle_often()
        if any(name.startswith("Transformation/") for name in names):
            patches.look_at_tasks_soon()
    else:
        patches.mark_requests(marks, names[0])
        patches.cycle_often()
        patches.ask_for_jobs_steadily()
        patches.end_what_a_job_left()
        patches.start_again([sys.executable, "-m", MODULE, *sys.argv[1:]])


def main() -> int:
    """Run the process until it ends."""
    kind, marks = sys.argv[1], Path(sys.argv[2])
    if kind not in KINDS:
        print(f"{kind}: not one of {', '.join(KINDS)}", file=sys.stderr)
        return 2
    names = [argument for argument in sys.argv[3:] if "/" in argument and not argument.startswith(("-", "/"))]
    apply(kind, marks, names)
    script = "agent" if kind == "worker" else kind
    sys.argv = [f"dirac-{script}", *sys.argv[3:]]
    importlib.import_module(f"DIRAC.Core.scripts.dirac_{script}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
