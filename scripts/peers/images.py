"""OCI layouts, as far as the comparison has to look into them itself."""

import json
import os
import shutil
import subprocess
import tarfile


class Layout:
    """One image of an OCI layout: the first for amd64, else the first."""

    def __init__(self, path):
        self.path, self.name = path, path.name.removesuffix(".oci")
        self.entries = json.loads((path / "index.json").read_text())["manifests"]
        said = lambda entry: entry.get("platform") or {"os": "linux", "architecture": "amd64"}  # noqa: E731
        self.entry = next((e for e in self.entries if said(e)["architecture"] == "amd64"), self.entries[0])
        self.platform = "/".join(filter(None, map(said(self.entry).get, ("os", "architecture", "variant"))))

    def alone(self, folder):
        """The image in a layout of its own."""
        if len(self.entries) == 1:
            return self.path
        if not folder.exists():
            shutil.copytree(self.path, folder, copy_function=os.symlink)
            (folder / "index.json").unlink()
            (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [self.entry]}))
        return folder

    def file(self, layer, path, target):
        """Writes a file, as it is in one layer, to a place outside."""
        manifest = json.loads(self.blob(self.entry["digest"]).read_text())
        blob = self.blob(manifest["layers"][layer]["digest"])
        with blob.open("rb") as head:
            magic = head.read(4)
        unpack = "gzip" if magic[:2] == b"\x1f\x8b" else "zstd" if magic == b"\x28\xb5\x2f\xfd" else "cat"
        words = [unpack, blob] if unpack == "cat" else [unpack, "-dcq", blob]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as archive:
            with tarfile.open(fileobj=archive.stdout, mode="r|") as members:
                for member in members:
                    if member.isfile() and member.name.removeprefix("./") == path:
                        target.write_bytes(members.extractfile(member).read())

    def blob(self, digest):
        return self.path / "blobs" / digest.replace(":", "/")
