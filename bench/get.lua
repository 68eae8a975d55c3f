-- wrk: GETs of keys that put.lua wrote: not 0, which it may not have come to, and not 1, which wrk
-- asks for only to try the script.
local suffix = ""
local threads = 0

function setup(thread)
    thread:set("id", threads)
    threads = threads + 1
end

function init(args)
    keys = tonumber(args[1] or "100000")
    count = id * 7919
    suffix = args[2] or ""
end

function request()
    count = count + 1
    return wrk.format("GET", "/key/bench/" .. (2 + count % keys) .. suffix)
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("result requests=%d duration_us=%d p50_us=%d p99_us=%d status_errors=%d socket_errors=%d\n",
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
