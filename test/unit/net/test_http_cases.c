/* What a table of bytes is answered with, cut in every way. */
#include "base/mem.h"
#include "http_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- one exchange of bytes, cut in every way -------------------------------------------------- */

struct case_of_bytes {
    const char *name;
    const char *input;
    /* "!" after an answer: it says Connection: close, and the connection is closed. */
    const char *expected;
    const char *or_expected; /* of another release of llhttp, as good; NULL = none */
};

static const struct case_of_bytes cases[] = {
    {"get", "GET /a?b=c HTTP/1.1\r\n" HOST "\r\n", "200:0 GET /a?b=c "},
    {"row_a22 two slashes", "GET // HTTP/1.1\r\n" HOST "\r\n", "200:0 GET //? "},
    {"row_a22 seeds' defect 11", "GET // HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\n",
     "200:0 GET //? "},
    {"row_a22 escapes stay as they are", "GET /key/a%20b%2Fc HTTP/1.1\r\n" HOST "\r\n",
     "200:0 GET /key/a%20b%2Fc? "},
    {"row_a22 raw UTF-8", "GET /key/\xc3\xbc HTTP/1.1\r\n" HOST "\r\n",
     "200:0 GET /key/\xc3\xbc? "},
    {"absolute form", "GET http://A/x?y HTTP/1.1\r\n" HOST "\r\n", "200:0 GET /x?y "},
    {"absolute form without path", "GET http://a HTTP/1.1\r\n" HOST "\r\n", "200:0 GET /? "},
    {"absolute form with query only", "GET http://a?q HTTP/1.1\r\n" HOST "\r\n", "200:0 GET /?q "},
    {"put", "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nxyz", "200:2 PUT /a? xyz"},
    {"put of nothing", "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "200:2 PUT /a? "},
    {"get with a body", "GET /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nxyz",
     "200:0 GET /a? xyz"},
    {"row_a12 options", "OPTIONS /any/path HTTP/1.1\r\n" HOST "\r\n", "200:5 OPTIONS /any/path? "},
    {"row_a12 options star", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "200:5 OPTIONS *? "},
    {"row_a13 method of another standard", "PATCH /a HTTP/1.1\r\n" HOST "\r\n", "200:6 PATCH /a? "},
    {"row_a13 method that nobody knows", "BREW-IT /a HTTP/1.1\r\n" HOST "\r\n",
     "200:6 BREW-IT /a? "},
    {"row_a13 methods have case", "get /a HTTP/1.1\r\n" HOST "\r\n", "200:6 get /a? "},
    {"pipelined",
     "GET /a HTTP/1.1\r\n" HOST "\r\nPUT /b HTTP/1.1\r\n" HOST
     "Content-Length: 1\r\n\r\nxGET /c HTTP/1.1\r\n" HOST "\r\n",
     "200:0 GET /a? |200:2 PUT /b? x|200:0 GET /c? "},
    {"row_a23 chunked",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n"
     "0\r\n\r\n",
     "200:3 POST /a? abc0123456789"},
    {"chunk extensions and trailers",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n"
     "0\r\nTrailer: t\r\nX: y\r\n\r\nGET /b HTTP/1.1\r\n" HOST "\r\n",
     "200:3 POST /a? abc|200:0 GET /b? "},
    {"length in a trailer means nothing",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 7\r\n\r\n"
     "GET /b HTTP/1.1\r\n" HOST "\r\n",
     "200:3 POST /a? |200:0 GET /b? ", "400!"},
    {"empty line between requests",
     "GET /a HTTP/1.1\r\n" HOST "\r\n\r\nGET /b HTTP/1.1\r\n" HOST "\r\n",
     "200:0 GET /a? |200:0 GET /b? "},
    {"asks to close", "GET /a HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /b HTTP/1.1\r\n",
     "200:0 GET /a? !"},
    {"http 1.0 closes", "GET /a HTTP/1.0\r\n\r\n", "200:0 GET /a? !"},
    {"http 1.0 keeps alive",
     "GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
     "200:0 GET /a? |200:0 GET /b? !"},
    {"header without value", "GET /a HTTP/1.1\r\n" HOST "X:\r\nY: \t \r\n\r\n", "200:0 GET /a? "},
    {"upgrade to something unknown is a request",
     "GET /a HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
     "HTTP2-Settings: AAMAAABkAAQ\r\n\r\nGET /b HTTP/1.1\r\n" HOST "\r\n",
     "200:0 GET /a? |200:0 GET /b? "},
    {"upgrade with a body is a request",
     "POST /a HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi"
     "GET /b HTTP/1.1\r\n" HOST "\r\n",
     "200:3 POST /a? hi|200:0 GET /b? "},
    /* Smuggling: what two servers in a row could read in two ways. */
    {"length and chunked",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "400!"},
    {"chunked and length",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
     "400!"},
    {"two lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
     "400!"},
    {"list of lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", "400!"},
    {"signed length", "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", "400!"},
    {"negative length", "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", "400!"},
    {"length in hex", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", "400!"},
    {"length beyond 64 bits",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n", "400!"},
    {"empty length", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", "400!"},
    {"unknown coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", "501!"},
    {"two codings", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", "501!"},
    {"chunked twice",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     "400!"},
    {"coding with a strange space",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n",
     "400!"},
    {"chunked in http 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400!"},
    {"folded header", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", "400!"},
    {"folded first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400!"},
    {"space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400!"},
    {"space in a name", "GET / HTTP/1.1\r\n" HOST "X Y: a\r\n\r\n", "400!"},
    {"no name", "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", "400!"},
    {"no colon", "GET / HTTP/1.1\r\n" HOST "abc\r\n\r\n", "400!"},
    {"no host", "GET / HTTP/1.1\r\n\r\n", "400!"},
    {"two hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", "400!"},
    {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400!"},
    {"host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400!"},
    {"bare line feed after the first line", "GET / HTTP/1.1\n" HOST "\r\n", "400!"},
    {"bare line feed after a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", "400!"},
    {"bare line feed at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", "400!"},
    {"bare carriage return in a value", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", "400!"},
    {"control byte in a value",
     "GET / HTTP/1.1\r\n" HOST "X: a\x01"
     "b\r\n\r\n",
     "400!"},
    {"bare line feed after a chunk size",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "400!"},
    {"bare line feed after a chunk",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", "400!"},
    {"bare line feed after the last chunk",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\n\n", "400!"},
    {"bare line feed at the end of chunks",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\n", "400!"},
    {"bare line feed after a trailer",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nT: x\r\n\n", "400!"},
    {"chunk longer than it says",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
     "400!"},
    {"chunk size in words",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nthree\r\nabc\r\n", "400!"},
    {"chunk size beyond 64 bits",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "400!"},
    {"negative chunk size",
     "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n", "400!"},
    /* Not HTTP/1.1, or not quite. */
    {"http 0.9", "GET /\r\n", "400!"},
    {"http 2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505!"},
    {"http 1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", "505!"},
    {"http 3", "GET / HTTP/3.0\r\n" HOST "\r\n", "505!"},
    {"version in words", "GET / HTTP/one\r\n" HOST "\r\n", "400!"},
    {"lower case protocol", "GET / http/1.1\r\n" HOST "\r\n", "400!"},
    {"two spaces", "GET  / HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"space in the target", "GET /a b HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"tab in the target", "GET /a\tb HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"fragment", "GET /a#b HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"target without slash", "GET a HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"target of a proxy", "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"absolute form of TLS without TLS", "GET https://a/x HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"absolute form of another host", "GET http://b/x HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"absolute form with another port", "GET http://a:1/x HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"absolute form without host", "GET http:///x HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"tls hello", "\x16\x03\x01\x02", "400!"},
    {"noise", "\xff\xfe\xfd", "400!"},
    {"only a space", " GET / HTTP/1.1\r\n", "400!"},
    {"line feeds only", "\n\n\n", "400!"},
    {"many empty lines", "\r\n\r\n\r\nGET /a HTTP/1.1\r\n" HOST "\r\n", "200:0 GET /a? "},
    {"endless method", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "400!"},
    {"long method", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA /a HTTP/1.1\r\n" HOST "\r\n", "400!"},
    {"bad after good", "GET /a HTTP/1.1\r\n" HOST "\r\nnonsense\r\n", "200:0 GET /a? |400!"},
    {"expectation that nobody knows",
     "PUT /a HTTP/1.1\r\n" HOST "Expect: miracles\r\nContent-Length: 1\r\n\r\n", "417!"},
    {"row_a23 body too long", "PUT /none HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n", "413!"},
    {"row_a23 chunks too long",
     "PUT /none HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "413!"},
};

/* Feed the input in pieces that end at `first`, then every `step` bytes. */
static void run_case(const struct case_of_bytes *t, size_t first, size_t step)
{
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    size_t size = strlen(t->input);
    size_t at = 0;
    while (at < size) {
        size_t end = at == 0 ? first : at + step;
        end = end < size ? end : size;
        /* On the heap and to the byte, so that a read beyond is seen. */
        uint8_t *piece = mem_alloc(end - at);
        memcpy(piece, t->input + at, end - at);
        fake_conn_feed(c, slice_of(piece, end - at));
        mem_free(piece);
        at = end;
    }
    fake_loop_turn(&w.loop);
    char *answers = read_answers(buf_slice(&c->sent));
    bool other = t->or_expected != NULL && strcmp(answers, t->or_expected) == 0;
    const char *expected = other ? t->or_expected : t->expected;
    bool closes = expected[strlen(expected) - 1] == '!';
    if (strcmp(answers, expected) != 0 || closes != c->is_gone || (closes && !c->was_flushed)) {
        fail_msg("%s, cut at %zu and every %zu: got \"%s\"%s instead of \"%s\"", t->name, first,
                 step, answers, c->is_gone ? " and the end" : "", expected);
    }
    mem_free(answers);
    http_world_finish(&w);
}

static void every_case_gets_its_answer_in_whatever_pieces_it_comes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = strlen(cases[i].input);
        run_case(&cases[i], size, size);
        run_case(&cases[i], 1, 1);
        for (size_t cut = 1; cut < size; cut++) {
            run_case(&cases[i], cut, size);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_gets_its_answer_in_whatever_pieces_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
