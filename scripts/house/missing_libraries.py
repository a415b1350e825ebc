# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a module that is installed does not import. Standard library only."""

from __future__ import annotations

import re

# Shared libraries that bpy loads and a bare Debian or Ubuntu lacks, with the packages that hold them.
DEBIAN_PACKAGES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libXext.so.6": "libxext6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libgomp.so.1": "libgomp1",
    "libXxf86vm.so.1": "libxxf86vm1",
}


def explain_import_failure(module: str, stderr: str, returncode: int) -> str:
    """Say in one sentence why `import module` failed, with the Debian package if a library is missing."""
    missing = re.search(r"(lib[\w+.-]+\.so[.\d]*): cannot open shared object file", stderr)
    if missing and missing[1] in DEBIAN_PACKAGES:
        everything = " ".join(DEBIAN_PACKAGES.values())
        return (
            f"The system library {missing[1]} is missing, which {module} needs: install the Debian package "
            f"{DEBIAN_PACKAGES[missing[1]]} (all that a bare system may lack: apt-get install {everything}) "
            "and run the same command again."
        )
    if missing:
        return (
            f"The system library {missing[1]} is missing, which {module} needs: install the package that "
            "holds it (on Debian or Ubuntu, 'apt-file search' names it) and run the same command again."
        )
    lines = stderr.strip().splitlines()
    reason = lines[-1].rstrip(".") if lines else f"exit code {returncode}"
    return f"{module} is installed but does not import ({reason}): compare this machine with the README."
