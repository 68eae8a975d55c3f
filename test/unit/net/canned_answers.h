/* Answers of servers of HTTP/1, sound and broken, and what becomes of them at our clients. */
#pragma once

#include "base/status.h"

#include <stddef.h>

struct canned_case {
    const char *name;
    const char *method;
    const char *answer;
    enum status expected;
    int http_status;
    const char *body; /* NULL: there is no answer */
};

/* Asked with answer_bytes_max = 1000; the connection is closed after the answer. */
static const struct canned_case canned_cases[] = {
    {"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", STATUS_OK, 200, "hello"},
    {"chunked", "GET",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
     STATUS_OK, 200, "hello"},
    {"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", STATUS_OK, 200, "hello"},
    {"http 1.0", "GET", "HTTP/1.0 404 Not Found\r\n\r\nhello", STATUS_OK, 404, "hello"},
    {"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n", STATUS_OK, 200, ""},
    {"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", STATUS_OK, 204, ""},
    {"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", STATUS_OK,
     304, ""},
    {"100 first", "PUT",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", STATUS_OK, 200,
     "ok"},
    {"cut off in the body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", STATUS_CLOSED,
     0, NULL},
    {"cut off in the chunks", "GET",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", STATUS_CLOSED, 0, NULL},
    {"cut off in the head", "GET", "HTTP/1.1 200 OK\r\nContent-Le", STATUS_CLOSED, 0, NULL},
    {"cut off before", "GET", "", STATUS_CLOSED, 0, NULL},
    {"too long", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", STATUS_TOO_LARGE, 0,
     NULL},
    {"noise", "GET", "SSH-2.0-OpenSSH_9.2\r\n", STATUS_CORRUPT, 0, NULL},
    {"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
     STATUS_CORRUPT, 0, NULL},
};
