"""The package's metadata, dependencies and entry points; tool settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent

setup(
    name="CTARucioDIRAC",
    version="0.1.0",
    description="Rucio as the data management of DIRAC, for the Cherenkov Telescope Array Observatory",
    long_description=(here / "README.md").read_text(encoding="utf-8") if (here / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["CTARucioDIRAC", "CTARucioDIRAC.*"]),
    include_package_data=True,
    package_data={"CTARucioDIRAC.testbed": ["native/*.c", "templates/*"], "CTARucioDIRAC": ["py.typed"]},
    install_requires=[
        "DIRAC",
        "CTADIRAC",
        "rucio-clients",
        # CTADIRAC 3.1.0 pins DIRAC 9.1.9, whose services lose every connection with a newer M2Crypto; the column with
        # DIRAC 9.1.22 needs M2Crypto >= 0.50 and is installed from requirements/dirac-9.1.22.txt, which overrides both.
        "M2Crypto<0.42",
        "pydantic>=2",
        "ruamel.yaml",
        "tenacity",
        "typer",
        "rich",
    ],
    extras_require={
        "testing": ["pytest", "pytest-timeout", "mock", "hypothesis"],
        "testbed": [
            "DIRAC[server]",
            "rucio==41.5.1",
            "ctao-bdms-rucio-policy==0.6.0",
            "psycopg[binary]",
            "gunicorn",
            "cryptography",
            "psutil",
        ],
    },
    entry_points={
        "dirac": ["metadata = CTARucioDIRAC:extension_metadata"],
        "console_scripts": [
            "cta-rucio-testbed = CTARucioDIRAC.testbed.cli:main",
            "cta-rucio-reprocess = CTARucioDIRAC.TransformationSystem.scripts.cta_rucio_reprocess:main",
            "cta-rucio-demo = CTARucioDIRAC.demo.cli:main",
            "cta-rucio-check = CTARucioDIRAC.DataManagementSystem.scripts.cta_rucio_check:main",
            "cta-rucio-clean-uploads = CTARucioDIRAC.DataManagementSystem.scripts.cta_rucio_clean_uploads:main",
            "cta-rucio-adopt = CTARucioDIRAC.DataManagementSystem.scripts.cta_rucio_adopt:main",
            "cta-rucio-migrate = CTARucioDIRAC.DataManagementSystem.scripts.cta_rucio_migrate:main",
        ],
    },
)
