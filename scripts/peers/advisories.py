"""The same advisories, in each tool's own format, in one folder."""

import json
import sqlite3
import subprocess
import sys
import zlib

# Those that the expected findings of ../shared/data were made from.
FEEDS = (
    "almalinux",
    "crates.io",
    "debian-ubuntu-changelog-derived",
    "go",
    "npm-ghsa-subset",
    "npm-nodejs-security-wg",
    "npm-retirejs",
    "pypi-pysec",
    "rubygems-rubysec",
)


class Advisories:
    def __init__(self, source, recipe, folder):
        """`source` holds OSV records (FEED.jsonl.zst), `recipe` is the writer of Trivy's database."""
        self.folder, self.recipe = folder, recipe
        self.plain = [unpacked(source / f"{feed}.jsonl.zst", folder) for feed in FEEDS]
        for feed in FEEDS:
            (folder / "feeds" / feed).mkdir(parents=True)
            (folder / "feeds" / feed / "records.jsonl.zst").symlink_to(source / f"{feed}.jsonl.zst")

    def for_starling(self, program):
        """A file of packed advisories; like Trivy's database it is made once."""
        file = self.folder / "starling.packed"
        if not file.exists():
            feeds = ",".join(f"{feed}={self.folder}/feeds/{feed}" for feed in FEEDS)
            pack = [program, "advisories", "pack", file, "--advisories", feeds]
            subprocess.run(pack, check=True, stdout=sys.stderr)
        return file

    def for_trivy(self):
        """A cache folder with both of Trivy's databases; that of jars' digests knows none."""
        cache = self.folder / "trivy"
        if not cache.exists():
            subprocess.run([sys.executable, self.recipe, cache, *self.plain], check=True, stdout=sys.stderr)
            write_java_database(cache / "java-db")
        return cache

    def for_debsecan(self, release):
        """A folder with the list for a release: names; source package, which name, flags, fixed version."""
        rows = []
        for record, entry, ranges in self.affected(f"Debian:{release}"):
            fixed = [event["fixed"] for events in ranges for event in events if "fixed" in event]
            rows.append((record["id"], entry["package"]["name"], fixed[-1] if fixed else ""))
        names = sorted({name for name, _, _ in rows})
        number = {name: at for at, name in enumerate(names)}
        head = ["VERSION 1", *(f"{name},,nothing more" for name in names), ""]
        body = [f"{package},{number[name]},S ?F,{fixed}," for name, package, fixed in rows]
        folder = self.folder / f"debsecan-{release}"
        folder.mkdir(exist_ok=True)
        (folder / "GENERIC").write_bytes(zlib.compress("\n".join([*head, *body, "", ""]).encode()))
        return folder

    def for_cargo_audit(self):
        """A repository in RustSec's own form: a Markdown file with a head in TOML for each advisory."""
        folder = self.folder / "rustsec"
        if folder.exists():
            return folder
        for record, entry, ranges in self.affected("crates.io"):
            path = folder / "crates" / entry["package"]["name"] / f"{record['id']}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rustsec_document(record, entry, ranges))
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as read"]):
            subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *command], cwd=folder, check=True)
        return folder

    def affected(self, ecosystem):
        """Record, entry, and its ranges of versions as lists of events."""
        for path in self.plain:
            for record in map(json.loads, path.open(encoding="utf-8")):
                for entry in record.get("affected") or [] if not record.get("withdrawn") else []:
                    if (entry.get("package") or {}).get("ecosystem") == ecosystem:
                        yield record, entry, [r["events"] for r in entry["ranges"] if r["type"] != "GIT"]


def unpacked(packed, folder):
    path = folder / packed.name.removesuffix(".zst")
    with path.open("wb") as plain:
        subprocess.run(["zstd", "-dcq", packed], check=True, stdout=plain)
    return path


def write_java_database(folder):
    folder.mkdir()
    database = sqlite3.connect(folder / "trivy-java.db")
    database.execute("create table artifacts(id integer primary key, group_id text, artifact_id text)")
    database.execute("create table indices(artifact_id integer, version text, sha1 blob, archive_type text)")
    database.commit()
    later = "2036-01-01T00:00:00Z"
    metadata = {"Version": 1, "NextUpdate": later, "UpdatedAt": later, "DownloadedAt": later}
    (folder / "metadata.json").write_text(json.dumps(metadata))


def rustsec_document(record, entry, ranges):
    """OSV's range was made from what is `patched` and `unaffected`: these are what it leaves out."""
    starts = [event["introduced"] for events in ranges for event in events if "introduced" in event]
    ends = [event["fixed"] for events in ranges for event in events if "fixed" in event]
    patched = [f">= {end}, < {start}" for end, start in zip(ends, starts[1:], strict=False)]
    patched += [f">= {ends[-1]}"] if len(ends) == len(starts) else []
    affects = (entry.get("ecosystem_specific") or {}).get("affects") or {}
    tables = {
        "advisory": {
            "id": record["id"],
            "package": entry["package"]["name"],
            "date": record["published"][:10],
            "informational": (entry.get("database_specific") or {}).get("informational"),
        },
        "affected": {key: affects.get(key) for key in ("os", "arch")},
        "versions": {"patched": patched, "unaffected": [f"< {s}" for s in starts[:1] if s != "0.0.0-0"]},
    }
    lines = []
    for table, values in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(v)}" for key, v in values.items() if v or table == "versions"]
    return "\n".join(["```toml", *lines, "```", "", f"# {record['id']}", "", "Nothing more.", ""])
