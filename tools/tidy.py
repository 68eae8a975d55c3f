#!/usr/bin/env python3
"""The repository's own rules as a program: `make tidy`, and the first step of `make test`.

Each rule is a function from the tree to its problems, registered under the name that a report and
tidy_exceptions.txt use. A problem is one line: `file:line: rule: what is wrong, and what would be
right`. test_tidy.py shows for every rule that it can fail. Standard library only.
"""
import ast
import fnmatch
import os
import re
import subprocess
import sys
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXCEPTIONS_FILE = "tools/tidy_exceptions.txt"

COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800

# Who may include whom (docs/ARCHITECTURE.md), besides base, which every room may. Never back.
MAY_INCLUDE = {
    "base": set(),
    "raft": set(),
    "wal": set(),
    "kv": set(),
    "net": set(),
    "node": {"raft", "wal", "kv", "net"},
    "api": {"node", "kv", "net"},
    "client": {"net"},
    "cluster": {"node", "client"},
    "load": {"net"},
    "cmd": {"api", "cluster", "client", "load"},
    "main.c": {"cmd"},
}

# The core is pure: no I/O, no clock, no text. These are all the headers that it needs.
PURE_ROOMS = {"raft"}
PURE_SYSTEM_HEADERS = {"inttypes.h", "stdbool.h", "stddef.h", "stdint.h", "string.h"}
PURE_FORBIDDEN_BASE = {"base/log.h"}

# (name, pattern of a call, the paths where it is allowed, what to use instead).
BANNED_CALLS = [
    ("strcpy", r"strcpy\s*\(", r"$^", "snprintf into a sized buffer, or struct buf"),
    ("strcat", r"strcat\s*\(", r"$^", "struct buf (base/buf.h)"),
    ("sprintf", r"v?sprintf\s*\(", r"$^", "snprintf"),
    ("gets", r"gets\s*\(", r"$^", "fgets or getline"),
    ("rand", r"s?rand\s*\(", r"$^", "a seeded struct rng (base/rng.h), or loop_ops.random"),
    ("time", r"time\s*\(", r"$^", "the loop's now_ms or wall_ms; clock_gettime in base/log.c"),
    ("assert", r"assert\s*\(", r"$^", "CHECK or DCHECK (base/check.h), which stay on in release"),
    ("malloc", r"(?:malloc|calloc|realloc|free)\s*\(", r"src/base/mem\.c|(?!src/).*",
     "mem_alloc, mem_calloc, mem_realloc, mem_free (base/mem.h)"),
    ("jansson", r"json_(?!text_)[a-z]\w*\s*\(",
     r"src/(?:api|client|cluster|cmd|load)/.*|(?!src/).*",
     "plain structs: jansson is only for api/, client/, cluster/, cmd/ and load/"),
    ("llhttp", r"llhttp_\w+\s*\(", r"src/net/.*|(?!src/).*", "net/http.h"),
    ("nghttp2", r"nghttp2_\w+\s*\(", r"src/net/.*|(?!src/).*", "net/grpc.h"),
    ("openssl", r"(?:SSL|X509|EVP|PEM|BIO|ERR|RAND|ASN1)_\w+\s*\(",
     r"src/net/tls[^/]*\.[ch]|(?!src/).*", "net/tls.h, net/tls_session.h, net/tls_loop.h"),
    ("libuv", r"uv_\w+\s*\(", r"src/net/uv_[^/]*\.[ch]|(?!src/).*", "net/loop.h"),
]
BANNED_HEADERS = [
    ("uv.h", r"src/net/uv_[^/]*\.[ch]|(?!src/).*", "net/loop.h"),
    ("llhttp.h", r"src/net/.*|(?!src/).*", "net/http.h"),
    ("nghttp2/nghttp2.h", r"src/net/.*|(?!src/).*", "net/grpc.h"),
    ("openssl/ssl.h", r"src/net/tls[^/]*\.[ch]|(?!src/).*", "net/tls.h"),
    ("jansson.h", r"src/(?:api|client|cluster|cmd|load)/.*|(?!src/).*", "plain structs"),
]

# Each row of the specification has a line there, with the tests that check it. How many rows each
# table has.
ROWS_FILE = "docs/ROWS.md"
ROW_TABLES = {"A": 23, "B": 18, "C": 15, "D": 14, "E": 15, "F": 10}

# Spelled in pieces, so that this file passes its own rules.
LEFTOVER_WORDS = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
MACHINE_PATHS = ["/" + "work/", "/" + "home/", "/" + "Users/", "/" + "root/"]

Problem = namedtuple("Problem", "path line rule text subject")

RULES = {}


def rule(name):
    """Register a rule: a generator of (path, line, text) or (path, line, text, subject). A subject
    (a function's name, an included file) is what an exception can name."""

    def register(function):
        RULES[name] = function
        return function

    return register


class Tree:
    """Every text file of the repository, by its path from the root."""

    def __init__(self, files):
        self.files = files
        self._code = {}

    def paths(self, *suffixes, under=""):
        return [p for p in sorted(self.files) if p.endswith(suffixes) and p.startswith(under)]

    def lines(self, path):
        return self.files[path].split("\n")

    def code(self, path):
        """C text with comments and the contents of literals blanked; lines stay where they are."""
        if path not in self._code:
            self._code[path] = blank_comments_and_literals(self.files[path])
        return self._code[path]


C_NOISE = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
C_COMMENT = re.compile(r"(\"(?:\\.|[^\"\\\n])*\")|//[^\n]*|/\*.*?\*/", re.DOTALL)


def keep_lines(text):
    return "\n" * text.count("\n") or " "


def blank_comments_and_literals(text):
    return C_NOISE.sub(lambda m: keep_lines(m.group()), text)


def blank_comments(text):
    return C_COMMENT.sub(lambda m: m.group(1) or keep_lines(m.group()), text)


INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"]+)[>\"]", re.MULTILINE)


def includes(tree, path):
    """(line, header, is_system) of each include."""
    text = blank_comments(tree.files[path])
    for m in INCLUDE.finditer(text):
        yield text.count("\n", 0, m.start()) + 1, m.group(2), m.group(1) == "<"


def room_of(path):
    """src/raft/vote.c -> raft; src/main.c -> main.c; None outside src/."""
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 1 else None


C_FILES = (".c", ".h")


@rule("include")
def check_includes(tree):
    for path in tree.paths(*C_FILES, under="src/"):
        room = room_of(path)
        if room not in MAY_INCLUDE:
            yield path, 1, f"room '{room}' is not in the table of tools/tidy.py: add it there", room
            continue
        allowed = MAY_INCLUDE[room] | {room, "base"}
        for line, header, is_system in includes(tree, path):
            target = header.split("/")[0]
            if is_system:
                continue
            if "/" not in header:
                yield path, line, f'"{header}": write it from src/, as "room/{header}"', header
            elif target not in allowed:
                names = ", ".join(sorted(allowed - {room}))
                yield path, line, f'{room} may not include "{header}", only: {names}', header


@rule("pure")
def check_pure_rooms(tree):
    for path in tree.paths(*C_FILES, under="src/"):
        if room_of(path) not in PURE_ROOMS:
            continue
        for line, header, is_system in includes(tree, path):
            if is_system and header not in PURE_SYSTEM_HEADERS:
                names = ", ".join(sorted(PURE_SYSTEM_HEADERS))
                yield path, line, f"the core is pure: <{header}> is not among {names}", header
            if header in PURE_FORBIDDEN_BASE:
                yield path, line, f'the core writes no text: emit an event, not "{header}"', header


def own_uv_names(tree):
    """Functions of net/loop.h whose names begin with uv_ are ours."""
    return set(re.findall(r"\b(uv_\w+)\s*\(", tree.files.get("src/net/loop.h", "")))


@rule("banned")
def check_banned(tree):
    ours = own_uv_names(tree)
    calls = [(name, re.compile(r"(?<![\w.>])" + call), re.compile(where), instead)
             for name, call, where, instead in BANNED_CALLS]
    for path in tree.paths(*C_FILES):
        code = tree.code(path)
        for name, call, where, instead in calls:
            if where.fullmatch(path):
                continue
            for m in call.finditer(code):
                word = re.match(r"\w+", m.group()).group()
                if word in ours:
                    continue
                line = code.count("\n", 0, m.start()) + 1
                yield path, line, f"{word}() is not used here; use {instead}", name
        for line, header, is_system in includes(tree, path):
            for banned, where, instead in BANNED_HEADERS:
                if is_system and header == banned and not re.fullmatch(where, path):
                    yield path, line, f"<{header}> is not included here; use {instead}", banned


FUNCTION_START = re.compile(r"(\w+)\s*\([^;]*$", re.DOTALL)


def functions(code):
    """(name, first line, number of lines) by the layout that .clang-format enforces: the brace of a
    function stands alone in the first column. Counted from that brace to its twin."""
    lines = code.split("\n")
    start = None
    for number, text in enumerate(lines, 1):
        if text.rstrip() == "{":
            start = number
        elif text.startswith("}") and start is not None:
            head = "\n".join(lines[max(0, start - 12):start - 1])
            head = re.split(r"[;}#]|\n\s*\n", head)[-1]
            m = re.search(r"(\w+)\s*\(", head)
            if m:
                yield m.group(1), start, number - start + 1
            start = None


@rule("function-length")
def check_function_length(tree):
    for path in tree.paths(".c", ".h"):
        for name, line, count in functions(tree.code(path)):
            if count > FUNCTION_LINES_MAX:
                yield (path, line, f"{name}() has {count} lines, at most {FUNCTION_LINES_MAX}: "
                       f"take a part out, or list it in {EXCEPTIONS_FILE} with the reason", name)


@rule("file-length")
def check_file_length(tree):
    for path in tree.paths(".c", ".h", ".py"):
        count = tree.files[path].count("\n")
        if count > FILE_LINES_MAX:
            yield path, count, f"{count} lines, at most {FILE_LINES_MAX}: split it by what it does"


@rule("basename")
def check_basenames(tree):
    """A stem lives in one folder, so that a file is named without its path."""
    seen = {}
    for path in tree.paths(*C_FILES):
        folder, base = os.path.split(path)
        stem = os.path.splitext(base)[0]
        first = seen.setdefault(stem, path)
        if os.path.dirname(first) != folder:
            yield path, 1, f"{first} has the same name: call it after what only this one does"


@rule("pragma-once")
def check_pragma_once(tree):
    for path in tree.paths(".h"):
        if not re.search(r"^#pragma once$", tree.files[path], re.MULTILINE):
            yield path, 1, "a header says `#pragma once` after its opening comment"


TEXT_FILES = (".c", ".h", ".py", ".md", ".txt", ".build", ".sh")
WIDTH_FILES = (".c", ".h", ".py")


@rule("columns")
def check_columns(tree):
    for path in tree.paths(*WIDTH_FILES):
        for number, text in enumerate(tree.lines(path), 1):
            if len(text) > COLUMNS_MAX:
                yield path, number, f"{len(text)} columns, at most {COLUMNS_MAX}"


@rule("white-space")
def check_white_space(tree):
    for path in tree.paths(*WIDTH_FILES):
        for number, text in enumerate(tree.lines(path), 1):
            if "\t" in text:
                yield path, number, "a tab: indent with 4 spaces"
            if text != text.rstrip():
                yield path, number, "space at the end of the line"
        if tree.files[path] and not tree.files[path].endswith("\n"):
            yield path, len(tree.lines(path)), "no newline at the end of the file"


@rule("leftover")
def check_leftovers(tree):
    words = re.compile(r"\b(" + "|".join(LEFTOVER_WORDS) + r")\b")
    for path in sorted(tree.files):
        for number, text in enumerate(tree.lines(path), 1):
            m = words.search(text)
            if m:
                yield path, number, f"{m.group()}: do it now, or open an issue"


@rule("machine-path")
def check_machine_paths(tree):
    places = re.compile(r"(?<![\w.*}])(" + "|".join(MACHINE_PATHS) + ")")
    for path in sorted(tree.files):
        for number, text in enumerate(tree.lines(path), 1):
            m = places.search(text)
            if m:
                yield path, number, f"'{m.group(1)}' is a path of one machine: make it relative"


def without_code_blocks(text):
    return re.sub(r"^```.*?^```", lambda m: keep_lines(m.group()), text,
                  flags=re.MULTILINE | re.DOTALL)


def heading_anchors(text):
    """The anchors that a renderer makes of the headings."""
    anchors = set()
    for m in re.finditer(r"^#+\s+(.*?)\s*$", without_code_blocks(text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", m.group(1).lower())
        anchors.add(plain.replace(" ", "-"))
    return anchors


MARKDOWN_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def exists(tree, path):
    return path in tree.files or any(p.startswith(path.rstrip("/") + "/") for p in tree.files)


@rule("link")
def check_links(tree):
    for path in tree.paths(".md"):
        text = without_code_blocks(tree.files[path])
        for m in MARKDOWN_LINK.finditer(text):
            link = m.group(1)
            if re.match(r"[a-z]+:", link):
                continue
            line = text.count("\n", 0, m.start()) + 1
            target, _, anchor = link.partition("#")
            full = path
            if target:
                full = os.path.normpath(os.path.join(os.path.dirname(path), target))
            if not exists(tree, full):
                yield path, line, f"link to {link}: there is no {full}"
            elif anchor and anchor not in heading_anchors(tree.files.get(full, "")):
                yield path, line, f"link to {link}: {full} has no such heading"


DOC_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:c|h|py|md|txt|build))`")


@rule("doc-path")
def check_doc_paths(tree):
    """A path in backticks names a file: from the root, from src/, or from the page's folder."""
    for path in tree.paths(".md"):
        text = without_code_blocks(tree.files[path])
        for m in DOC_PATH.finditer(text):
            name = m.group(1)
            here = os.path.normpath(os.path.join(os.path.dirname(path), name))
            if not any(p in tree.files for p in (name, "src/" + name, here)):
                line = text.count("\n", 0, m.start()) + 1
                yield path, line, f"`{name}`: there is no such file"


@rule("dead-file")
def check_dead_files(tree):
    """Every .c is built and every header is included by somebody."""
    used = {header for path in tree.paths(*C_FILES)
            for _, header, is_system in includes(tree, path) if not is_system}
    for path in tree.paths(*C_FILES, under="src/"):
        folder, base = os.path.split(path)
        if path.endswith(".c"):
            build = tree.files.get(folder + "/meson.build", "")
            top = tree.files.get("meson.build", "")
            if f"'{base}'" not in build and f"'{path}'" not in top:
                yield path, 1, f"{folder}/meson.build does not list '{base}': add it or delete it"
        elif path[len("src/"):] not in used:
            yield path, 1, "nobody includes this header: use it or delete it"


C_TEST = re.compile(r"^static void\s+(\w+)\(\s*void \*\*", re.MULTILINE)


def names_of_tests(tree):
    """Every test by its name: `e2e/test_x.py::test_y`, `unit/raft/test_x.c::y`, `scenario/x`."""
    names = set()
    for path in tree.paths(".py", ".c", under="test/"):
        found = C_TEST.findall(tree.files[path])
        if path.endswith(".py"):
            found = [node.name for node in ast.walk(ast.parse(tree.files[path]))
                     if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
        names.update(f"{path[len('test/'):]}::{name}" for name in found)
    stories = tree.paths(".txt", under="test/scenario/")
    return names | {path[len("test/"):-len(".txt")] for path in stories}


ROW_LINE = re.compile(r"\| *([A-Z]\d+) *\|([^|]*)\|([^|]*)\|")


@rule("row")
def check_rows(tree):
    """Every row of the specification is listed once, with tests that exist; `*` is anything."""
    if ROWS_FILE not in tree.files:
        yield ROWS_FILE, 1, "the table of the rows and their tests is gone", None
        return
    expected = {f"{table}{n + 1}" for table, count in ROW_TABLES.items() for n in range(count)}
    tests, seen = names_of_tests(tree), set()
    for number, text in enumerate(tree.lines(ROWS_FILE), 1):
        m = ROW_LINE.fullmatch(text.rstrip())
        if not m:
            continue
        row, asks, named = m.group(1), m.group(2).strip(), re.findall(r"`([^`]+)`", m.group(3))
        if row not in expected:
            yield ROWS_FILE, number, f"there is no row {row}", row
        if row in seen:
            yield ROWS_FILE, number, f"{row} is listed twice", row
        seen.add(row)
        if not asks:
            yield ROWS_FILE, number, f"{row}: say in a few words what it asks for", row
        if not named:
            yield ROWS_FILE, number, f"{row} has no test: write one, or name it", row
        for name in named:
            if not fnmatch.filter(tests, name):
                yield ROWS_FILE, number, f"{row}: there is no test {name}", row
    for row in sorted(expected - seen):
        yield ROWS_FILE, 1, f"{row} is missing", row


EXCEPTION_LINE = re.compile(r"(\S+)\s+(\S+)\s+(\S+)\s+--\s+(\S.*)")


def read_exceptions(tree):
    """{(rule, path, subject): line} and the problems of the list itself."""
    found, problems = {}, []
    for number, text in enumerate(tree.files.get(EXCEPTIONS_FILE, "").split("\n"), 1):
        if not text.strip() or text.startswith("#"):
            continue
        m = EXCEPTION_LINE.fullmatch(text.rstrip())
        if not m or m.group(1) not in RULES:
            problems.append(Problem(EXCEPTIONS_FILE, number, "exceptions",
                                    "write `rule path subject -- reason`", None))
        else:
            found[m.group(1), m.group(2), m.group(3)] = number
    return found, problems


def check(tree, names=None):
    """All problems, exceptions taken out; an exception that excuses nothing is a problem too."""
    exceptions, problems = read_exceptions(tree)
    unused = dict(exceptions)
    for name in names or RULES:
        for found in RULES[name](tree):
            path, line, text, subject = (*found, None)[:4]
            key = (name, path, subject)
            if key in exceptions:
                unused.pop(key, None)
            else:
                problems.append(Problem(path, line, name, text, subject))
    for (name, path, subject), line in unused.items():
        if not names or name in names:
            problems.append(Problem(EXCEPTIONS_FILE, line, "exceptions",
                                    f"{name} {path} {subject} excuses nothing: delete the line",
                                    None))
    return problems


def list_files(root):
    """What git knows or would take; without git, everything but the builds."""
    try:
        out = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
                             check=True, capture_output=True).stdout
        return [os.fsdecode(name) for name in out.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, names in os.walk(root):
            folders[:] = [d for d in folders if d != ".git" and not d.startswith("build")]
            found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
        return found


def read_tree(root):
    files = {}
    for path in list_files(root):
        full = os.path.join(root, path)
        if not os.path.isfile(full) or os.path.islink(full):
            continue
        with open(full, "rb") as f:
            data = f.read()
        if b"\0" in data:
            continue
        try:
            files[path] = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return Tree(files)


def main():
    problems = check(read_tree(ROOT))
    for p in problems:
        print(f"{p.path}:{p.line}: {p.rule}: {p.text}")
    failed = len({p.rule for p in problems})
    print(f"tidy: {len(RULES) + 1 - failed} rules hold, {failed} broken")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
