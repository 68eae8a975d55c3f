/* cmd/monitor_frame.h - what `conclave monitor` shows, as one frame. Pure. */
#pragma once

#include "cmd/canvas.h"
#include "cmd/monitor_log.h"

struct monitor_look {
    uint32_t rows;      /* of the terminal; 0 = any number */
    bool is_utf8;       /* else the throughput is drawn in ASCII */
    time_t wall;        /* now, for the title */
    const char *asked;  /* the endpoints, told when nobody answers */
    const char *footer; /* the last line, or NULL */
};

/* `log` has noted the view that is shown. The caller has called canvas_init, and calls
 * canvas_deinit. */
void monitor_frame_make(struct canvas *c, const struct monitor_log *log,
                        const struct monitor_look *look);
