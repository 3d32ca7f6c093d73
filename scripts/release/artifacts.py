"""The files of a release, which one verb leaves for the next and which are published with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ci.console import Failure

NAME = "dask-kubernetes-operator"
CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Artifacts:
    """The folder of one version, ``build/release/VERSION``.

    Attributes:
        root: of the repository.
        version: that is released.
    """

    root: Path
    version: str

    @property
    def folder(self) -> Path:
        """The folder, made if it is not there."""
        folder = self.root / "build" / "release" / self.version
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def chart(self) -> Path:
        """The packaged chart; its signature is beside it."""
        return self.folder / f"{NAME}-{self.version}.tgz"

    @property
    def provenance(self) -> Path:
        """The signature of the packaged chart."""
        return self.chart.with_name(f"{self.chart.name}.prov")

    def bill_of_materials(self, architecture: str) -> Path:
        """The one of the image for an architecture."""
        return self.folder / f"sbom-{architecture}.json"

    def remember(self, what: str, reference: str) -> None:
        """Keep the reference, with its digest, under which something was published."""
        (self.folder / f"{what}.txt").write_text(f"{reference}\n")

    def published(self, what: str, verb: str) -> str:
        """The reference under which something was published.

        Args:
            what: ``image`` or ``chart``.
            verb: the one that publishes it.

        Raises:
            Failure: that was not done.
        """
        file = self.folder / f"{what}.txt"
        if not file.is_file():
            raise Failure(f"The {what} of {self.version} is not published; run: python -m scripts.release {verb}")
        return file.read_text().strip()

    def packaged(self) -> Path:
        """The packaged chart.

        Raises:
            Failure: there is none.
        """
        if not self.chart.is_file():
            raise Failure(f"{self.chart.name} is not packaged; run: python -m scripts.release chart")
        return self.chart

    def write_checksums(self) -> Path:
        """Write the checksums of all files, as ``sha256sum --check`` reads them."""
        target = self.folder / CHECKSUMS
        files = sorted(path for path in self.folder.iterdir() if path != target)
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
        target.write_text("".join(lines))
        return target
