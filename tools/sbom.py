#!/usr/bin/env python3
"""What a build is made of, as CycloneDX 1.5 (JSON): `tools/sbom.py build` prints it.

    tools/sbom.py [BUILD]     the program BUILD/conclave with its libraries
    tools/sbom.py --check     only that docs/DEPENDENCIES.md, meson.build and debian/control agree

Taken from the program itself: every shared library that it loads, with the Debian package and
version on this machine, and what is compiled in. The same build gives the same text. Standard
library only, and dpkg.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TABLE = "docs/DEPENDENCIES.md"
# pkg-config's names in meson.build, where they differ from the table's; None is not in the program.
NAMES = {"threads": None, "yaml-0.1": "libyaml", "libssl": "OpenSSL", "libcrypto": "OpenSSL",
         "libzstd": "zstd", "ncursesw": "ncurses", "libnghttp2": "nghttp2", "cmocka": None,
         "libprotobuf-c": "protobuf-c", "libllhttp": "llhttp"}
# Debian's source packages, the same.
SOURCES = {"libuv1": "libuv", "openssl": "OpenSSL", "libzstd": "zstd", "node-undici": "llhttp"}
COMPILED_IN = ["/usr/share/llhttp/llhttp.c"]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


# --- the table ------------------------------------------------------------------------------------


def table(text):
    """{library: {"packages", "licence", "why"}} of the first table."""
    rows = {}
    for line in text.split("\n## ")[1].split("\n"):
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0] != "library" and not set(cells[0]) <= {"-"}:
            rows[cells[0]] = {"packages": re.findall(r"`([^`]+)`", cells[1]),
                              "licence": cells[3], "why": cells[5]}
    return rows


def disagreements(rows, meson, control):
    """What the three say differently, in words."""
    used = {NAMES.get(name, name) for name in re.findall(r"\bdependency\('([^']+)'", meson)}
    used.discard(None)
    found = [f"{name} is used in meson.build and has no line in {TABLE}"
             for name in sorted(used - set(rows))]
    found += [f"{name} has a line in {TABLE} and is not used in meson.build"
              for name in sorted(set(rows) - used)]
    built_with = re.search(r"^Build-Depends:(.*?)^\S", control, re.MULTILINE | re.DOTALL).group(1)
    known = {p for row in rows.values() for p in row["packages"]}
    libraries = set(re.findall(r"\b((?:lib|node-|zlib)[\w.+-]*)", re.sub(r".*<!nocheck>.*", "",
                                                                         built_with)))
    found += [f"{p} is in debian/control and has no line in {TABLE}"
              for p in sorted(libraries - known)]
    found += [f"{p} has a line in {TABLE} and is not in debian/control"
              for p in sorted(known - libraries)]
    found += [f"{name}: {what} is missing in {TABLE}" for name, row in rows.items()
              for what in ("licence", "why") if not row[what]]
    return found


# --- the build ------------------------------------------------------------------------------------


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def needed(path):
    """The libraries that a program or library names itself."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-dW", path))


def loaded(program):
    """{name: path} of every shared library that it loads, and they load."""
    return {name: path for name, path in re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", program),
                                                    re.MULTILINE)}


def packages_of(paths):
    """{path: (package, version, source package, architecture)} that these files came with."""
    # dpkg may know them by the name before /lib became a link to /usr/lib.
    names = {path: {path, os.path.realpath(path), os.path.realpath(path).removeprefix("/usr"),
                    "/usr" + path} for path in paths}
    said = subprocess.run(["dpkg-query", "-S", *sorted(set().union(*names.values()))],
                          capture_output=True, text=True).stdout
    owners = {file: package.split(",")[0]
              for package, file in re.findall(r"^(.+?): (/.*)$", said, re.MULTILINE)}
    found = {path: next((owners[n] for n in names[path] if n in owners), None) for path in paths}
    for path, package in found.items():
        if package is None:
            sys.exit(f"sbom: {path} is of no Debian package")
    told = run("dpkg-query", "-W", "-f",
               "${binary:Package} ${Package} ${Version} ${source:Package} ${Architecture}\n",
               *sorted(set(found.values())))
    about = {}
    for line in told.splitlines():
        binary, *rest = line.split(" ")
        about[binary] = about[rest[0]] = tuple(rest)
    return {path: about[package] for path, package in found.items()}


def release():
    with open("/etc/os-release", encoding="utf-8") as f:
        told = dict(line.rstrip().split("=", 1) for line in f if "=" in line)
    return f"{told['ID']}-{told.get('VERSION_ID', 'sid')}".replace('"', "")


def component(path, owner, rows, is_linked=True):
    package, version, source, architecture = owner
    name = SOURCES.get(source, source)
    purl = (f"pkg:deb/debian/{package}@{version}?arch={architecture}&distro={release()}"
            .replace("+", "%2B").replace("1:", "1%3A"))
    made = {"type": "library", "bom-ref": f"{purl}#{os.path.basename(path)}", "name": package,
            "version": version, "purl": purl, "scope": "required",
            "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
            "properties": [{"name": "conclave:file", "value": os.path.basename(path)},
                           {"name": "conclave:linkage", "value": "shared" if is_linked
                            else "compiled in"}]}
    if name in rows:
        made["description"] = rows[name]["why"]
        made["licenses"] = [{"license": {"id": rows[name]["licence"]}}]
    return made


def bill(program, rows):
    paths = loaded(program)
    compiled_in = [] if "libllhttp" in " ".join(paths) else \
        [path for path in COMPILED_IN if os.path.exists(path)]
    owners = packages_of([*paths.values(), *compiled_in])
    parts = {name: component(path, owners[path], rows) for name, path in sorted(paths.items())}
    uses = {program: needed(program), **{path: needed(path) for path in paths.values()}}
    inside = [component(path, owners[path], rows, False) for path in compiled_in]
    version = re.search(r"version: '([^']+)'", read("meson.build")).group(1)
    own = {"type": "application", "bom-ref": f"pkg:generic/conclave@{version}", "name": "conclave",
           "version": version, "purl": f"pkg:generic/conclave@{version}",
           "licenses": [{"license": {"id": "Apache-2.0"}}],
           "hashes": [{"alg": "SHA-256", "content": sha256(program)}]}

    def refs(path):
        return sorted(parts[n]["bom-ref"] for n in uses[path] if n in parts)
    components = [*parts.values(), *inside]
    graph = [{"ref": own["bom-ref"],
              "dependsOn": refs(program) + [c["bom-ref"] for c in inside]}]
    graph += [{"ref": parts[n]["bom-ref"], "dependsOn": refs(path)} for n, path in
              sorted(paths.items())]
    graph += [{"ref": c["bom-ref"], "dependsOn": []} for c in inside]
    content = json.dumps([own, components, graph], sort_keys=True)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, content)
    return {"$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", "bomFormat": "CycloneDX",
            "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1,
            "metadata": {"component": own}, "components": components,
            "dependencies": graph}


def main():
    rows = table(read(TABLE))
    wrong = disagreements(rows, read("meson.build"), read("debian/control"))
    for line in wrong:
        print("sbom: " + line, file=sys.stderr)
    if wrong or sys.argv[1:] == ["--check"]:
        return 1 if wrong else 0
    program = os.path.join((sys.argv[1:] or ["build"])[0], "conclave")
    if not os.path.exists(program):
        print(f"sbom: there is no {program}: run `make build` first", file=sys.stderr)
        return 2
    print(json.dumps(bill(program, rows), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
