/* api/metric_text.h - the text format of /metrics (Prometheus 0.0.4), for those who add figures. */
#pragma once

#include "base/buf.h"

/* Before a metric's values: what it means, and "counter", "gauge" or "histogram". */
void metric_head(struct buf *out, const char *name, const char *help, const char *type);
