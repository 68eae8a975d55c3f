"""Every rule of tidy.py can fail, and lets pass what is right: `python3 tools/test_tidy.py`."""
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402

HEADER = "/* h */\n#pragma once\n"


def problems(name, files):
    return tidy.check(tidy.Tree(files), [name])


class RuleCase(unittest.TestCase):
    def fails(self, name, files, *words):
        """Exactly one problem, and it says these words."""
        found = problems(name, files)
        self.assertEqual(len(found), 1, found)
        for word in words:
            self.assertIn(word, found[0].text)
        return found[0]

    def passes(self, name, files):
        self.assertEqual(problems(name, files), [])


class Include(RuleCase):
    def test_a_room_includes_only_what_the_table_says(self):
        p = self.fails("include", {"src/raft/a.c": '\n#include "wal/wal.h"\n'}, "raft may not")
        self.assertEqual((p.path, p.line), ("src/raft/a.c", 2))
        self.fails("include", {"src/net/a.c": '#include "node/node.h"\n'}, "net may not")
        self.fails("include", {"src/base/a.c": '#include "raft/raft.h"\n'}, "base may not")
        self.fails("include", {"src/main.c": '#include "node/node.h"\n'}, "main.c may not")
        self.passes("include", {"src/node/a.c": '#include "wal/wal.h"\n#include "base/buf.h"\n'})
        self.passes("include", {"src/main.c": '#include "cmd/verbs.h"\n'})

    def test_every_pair_outside_the_table_is_refused(self):
        for room, allowed in tidy.MAY_INCLUDE.items():
            path = "src/main.c" if room == "main.c" else f"src/{room}/a.c"
            for other in set(tidy.MAY_INCLUDE) - {"main.c", room, "base"}:
                found = problems("include", {path: f'#include "{other}/x.h"\n'})
                self.assertEqual(len(found), 0 if other in allowed else 1, (room, other))

    def test_the_four_rooms_never_see_each_other(self):
        four = ["raft", "wal", "kv", "net"]
        for a in four:
            for b in four:
                self.assertTrue(b not in tidy.MAY_INCLUDE[a], (a, b))

    def test_an_unknown_room_and_a_bare_name_are_refused(self):
        self.fails("include", {"src/misc/a.c": ""}, "not in the table")
        self.fails("include", {"src/raft/a.c": '#include "log.h"\n'}, "room/log.h")

    def test_comments_and_other_folders_do_not_count(self):
        self.passes("include", {"src/raft/a.c": '/*\n#include "wal/wal.h"\n*/\n'})
        self.passes("include", {"test/unit/raft/a.c": '#include "wal/wal.h"\n'})


class Pure(RuleCase):
    def test_the_core_includes_no_io_and_no_clock(self):
        self.fails("pure", {"src/raft/a.c": "#include <stdio.h>\n"}, "<stdio.h>")
        self.fails("pure", {"src/raft/a.h": "#include <time.h>\n"}, "<time.h>")
        self.fails("pure", {"src/raft/a.c": '#include "base/log.h"\n'}, "event")
        self.passes("pure", {"src/raft/a.c": '#include <string.h>\n#include "base/mem.h"\n',
                             "src/wal/b.c": "#include <stdio.h>\n"})


class Banned(RuleCase):
    def test_each_banned_call_is_found_and_names_its_replacement(self):
        calls = {"strcpy(a, b)": "snprintf", "strcat(a, b)": "struct buf",
                 "sprintf(a, b)": "snprintf", "vsprintf(a, b, c)": "snprintf",
                 "gets(a)": "getline", "rand()": "rng.h", "srand(1)": "rng.h",
                 "time(NULL)": "now_ms", "assert(x)": "CHECK",
                 "malloc(1)": "mem.h", "calloc(1, 2)": "mem.h", "realloc(p, 2)": "mem.h",
                 "free(p)": "mem.h", "json_loads(s)": "jansson", "llhttp_init(p)": "net/http.h",
                 "nghttp2_session_del(p)": "net/grpc.h", "SSL_read(s)": "net/tls.h",
                 "uv_run(l)": "net/loop.h"}
        covered = set()
        for call, instead in calls.items():
            p = self.fails("banned", {"src/wal/a.c": f"    {call};\n"}, instead)
            covered.add(p.subject)
        self.assertEqual(covered, {entry[0] for entry in tidy.BANNED_CALLS})

    def test_the_homes_of_the_calls_are_spared(self):
        self.passes("banned", {"src/base/mem.c": "free(malloc(1));\n",
                               "src/net/uv_loop.c": "#include <uv.h>\nuv_run(l);\n",
                               "src/net/http.c": "#include <llhttp.h>\nllhttp_init(p);\n",
                               "src/base/a.c": "json_text_next(s);\n",  # of base/json_cut.h
                               "src/api/a.c": "#include <jansson.h>\njson_loads(s);\n"})

    def test_names_that_contain_a_banned_one_are_spared(self):
        self.passes("banned", {"src/wal/a.c": "mem_free(p); snprintf(a); ops->free(p); "
                                              'x.time(1); fgets(a); runtime(1); s = "free(p)";\n'
                                              "// free(p)\n"})

    def test_headers_of_libraries_stay_in_their_rooms(self):
        self.fails("banned", {"src/api/a.c": "#include <uv.h>\n"}, "net/loop.h")
        self.fails("banned", {"src/net/loop.c": "#include <uv.h>\n"}, "net/loop.h")
        self.fails("banned", {"src/node/a.c": "#include <jansson.h>\n"}, "structs")
        self.fails("banned", {"src/api/a.c": "#include <llhttp.h>\n"}, "net/http.h")
        self.fails("banned", {"src/net/http.c": "#include <openssl/ssl.h>\n"}, "net/tls.h")

    def test_our_own_functions_of_the_loop_are_not_libuv(self):
        files = {"src/net/loop.h": "struct loop *uv_loop_create(void);\n",
                 "src/cmd/server.c": "uv_loop_create();\nuv_close(h);\n"}
        self.fails("banned", files, "uv_close")


def function(name, lines):
    return f"static int {name}(int a)\n{{\n" + "    a++;\n" * (lines - 2) + "}\n"


class Lengths(RuleCase):
    def test_a_long_function_is_named_with_its_length(self):
        limit = tidy.FUNCTION_LINES_MAX
        files = {"src/kv/a.c": function("fine", limit) + "\n" + function("long_one", limit + 1)}
        p = self.fails("function-length", files, "long_one()", str(limit + 1))
        self.assertEqual(p.line, limit + 4)

    def test_a_long_table_is_no_function(self):
        self.passes("function-length",
                    {"src/kv/a.c": "static int t[] = {\n" + "    1,\n" * 200 + "};\n"})

    def test_a_function_with_a_signature_of_many_lines_is_found(self):
        text = "int wide(int a,\n         int b)\n{\n" + "    a++;\n" * 80 + "}\n"
        self.fails("function-length", {"src/kv/a.c": text}, "wide()")

    def test_a_long_file_is_refused(self):
        self.fails("file-length", {"src/kv/a.c": "\n" * (tidy.FILE_LINES_MAX + 1)}, "split")
        self.passes("file-length", {"src/kv/a.c": "\n" * tidy.FILE_LINES_MAX})


class Names(RuleCase):
    def test_a_basename_lives_in_one_folder(self):
        self.fails("basename", {"src/api/http.c": "", "src/net/http.c": ""}, "src/api/http.c")
        self.passes("basename", {"src/net/http.c": "", "src/net/http.h": ""})

    def test_a_header_has_pragma_once(self):
        self.fails("pragma-once", {"src/kv/a.h": "int x;\n"}, "pragma once")
        self.passes("pragma-once", {"src/kv/a.h": HEADER})


class Layout(RuleCase):
    def test_lines_have_at_most_100_columns(self):
        self.fails("columns", {"src/kv/a.c": "x" * 101 + "\n"}, "101")
        self.passes("columns", {"src/kv/a.c": "\N{CROWN}" * 100 + "\n"})

    def test_tabs_and_trailing_space_are_refused(self):
        self.fails("white-space", {"src/kv/a.c": "\tx\n"}, "tab")
        self.fails("white-space", {"tools/a.py": "x \n"}, "end of the line")
        self.fails("white-space", {"tools/a.py": "x"}, "no newline")
        self.passes("white-space", {"src/kv/a.c": "    x\n", "Makefile": "\tx\n"})


class Words(RuleCase):
    def test_leftovers_are_refused(self):
        for word in tidy.LEFTOVER_WORDS:
            self.fails("leftover", {"src/kv/a.c": f"// {word}: later\n"}, word)
        self.passes("leftover", {"README.md": "mastodon\n"})

    def test_paths_of_one_machine_are_refused(self):
        for place in tidy.MACHINE_PATHS:
            self.fails("machine-path", {"docs/a.md": f"see {place}x\n"}, place)
        # The same words inside a longer path are somebody else's business.
        for place in tidy.MACHINE_PATHS:
            text = f"tools{place}x $d{place} https://a.example{place}\n"
            self.passes("machine-path", {"a.sh": text})


class Docs(RuleCase):
    def test_a_relative_link_resolves(self):
        self.fails("link", {"docs/A.md": "[b](B.md)\n"}, "docs/B.md")
        self.fails("link", {"docs/A.md": "[b](B.md#gone)\n", "docs/B.md": "# Here\n"}, "heading")
        self.passes("link", {"docs/A.md": "# It's here\n[b](../README.md) [c](#its-here) "
                                          "[d](https://x.example) [e](../src)\n",
                             "README.md": "", "src/a.c": ""})

    def test_a_path_in_backticks_names_a_file(self):
        self.fails("doc-path", {"README.md": "`raft/gone.c`\n"}, "raft/gone.c")
        self.passes("doc-path", {"README.md": "`raft/a.c` `src/raft/a.c`\n", "src/raft/a.c": ""})


class DeadFiles(RuleCase):
    def test_a_source_is_built_and_a_header_is_included(self):
        self.fails("dead-file", {"src/kv/a.c": "", "src/kv/meson.build": "files('b.c')"}, "a.c")
        self.fails("dead-file", {"src/kv/a.h": HEADER}, "nobody includes")
        self.passes("dead-file", {"src/kv/a.c": '#include "kv/a.h"\n', "src/kv/a.h": HEADER,
                                  "src/kv/meson.build": "files('a.c')"})


class Rows(RuleCase):
    TESTS = {"test/e2e/test_x.py": "def test_row_a1():\n    pass\n",
             "test/unit/raft/test_y.c": "static void rule_e1_y(\n    void **state)\n{\n}\n",
             "test/scenario/z.txt": ""}

    def rows(self, change=lambda table: table, tests="`e2e/test_x.py::test_row_a1`"):
        """The table with the same tests in each row, changed."""
        table = [f"| {letter}{n + 1} | what it asks | {tests} |"
                 for letter, count in tidy.ROW_TABLES.items() for n in range(count)]
        return {**self.TESTS, tidy.ROWS_FILE: "\n".join(change(table)) + "\n"}

    def test_every_row_is_there_once_with_words_and_tests(self):
        self.passes("row", self.rows())
        self.fails("row", self.rows(lambda table: table[1:]), "A1 is missing")
        self.fails("row", self.rows(lambda table: table + table[:1]), "A1 is listed twice")
        self.fails("row", self.rows(lambda table: table + [table[0].replace("A1", "G1")]),
                   "no row G1")
        self.fails("row", self.rows(lambda table: ["| A1 | | `scenario/z` |"] + table[1:]),
                   "few words")
        self.fails("row", self.rows(lambda table: ["| A1 | what it asks | later |"] + table[1:]),
                   "A1 has no test")
        self.fails("row", self.TESTS, "gone")

    def test_every_test_of_a_row_exists(self):
        for good in ("e2e/test_x.py::test_row_a1", "e2e/*::test_row_a1", "scenario/z",
                     "unit/raft/test_y.c::rule_e1_y", "unit/raft/test_y.c::rule_e1_*"):
            self.passes("row", self.rows(tests=f"`{good}`"))
            row = f"| A1 | what it asks | `{good}`, `{good}_gone` |"
            self.fails("row", self.rows(lambda table: [row] + table[1:]), good + "_gone")


class Exceptions(unittest.TestCase):
    LONG = {"src/kv/a.c": function("long_one", 100)}

    def check(self, text):
        return tidy.check(tidy.Tree({**self.LONG, tidy.EXCEPTIONS_FILE: text}),
                          ["function-length"])

    def test_a_listed_problem_passes(self):
        self.assertEqual(self.check("function-length src/kv/a.c long_one -- a dispatch switch\n"),
                         [])

    def test_a_line_without_a_reason_or_a_rule_is_refused(self):
        for text in ["function-length src/kv/a.c long_one\n", "no-rule src/kv/a.c x -- because\n"]:
            found = self.check(text)
            self.assertIn("reason", found[0].text)
            self.assertEqual(len(found), 2)

    def test_a_line_that_excuses_nothing_is_refused(self):
        found = self.check("function-length src/kv/a.c long_one -- yes\n"
                           "function-length src/kv/b.c gone -- no\n")
        self.assertEqual(len(found), 1)
        self.assertIn("excuses nothing", found[0].text)


class Program(unittest.TestCase):
    def test_every_rule_has_a_test_here(self):
        with open(__file__, encoding="utf-8") as f:
            text = f.read()
        for name in tidy.RULES:
            self.assertIn(f'fails("{name}"', text, f"no test shows that {name} can fail")

    def test_it_prints_file_line_and_rule_exits_1_and_is_quick(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "src/kv"))
            os.makedirs(os.path.join(root, "tools"))
            with open(tidy.__file__, encoding="utf-8") as f:
                program = f.read()
            copy = os.path.join(root, "tools/tidy.py")
            with open(copy, "w", encoding="utf-8") as f:
                f.write(program)
            with open(os.path.join(root, "src/kv/a.h"), "w", encoding="utf-8") as f:
                f.write("int x; \n")
            started = time.monotonic()
            out = subprocess.run([sys.executable, copy], capture_output=True, text=True)
            self.assertEqual(out.returncode, 1)
            self.assertIn("src/kv/a.h:1: white-space: ", out.stdout)
            self.assertLess(time.monotonic() - started, 10)


if __name__ == "__main__":
    unittest.main()
