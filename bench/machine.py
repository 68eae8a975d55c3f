"""What the kernel says about processes, the disk and the machine while something is measured."""
import os
import platform
import resource
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
IDLE_SHARE = 0.92
FOREIGN_CPU_MAX = 0.10


def cpu_seconds(pid):
    """User and system time of a process so far, of all its threads."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_kib(pid):
    """Resident, the part of it that is nobody else's file, and with shared pages divided."""
    found = {}
    for name in ("status", "smaps_rollup"):
        try:
            with open(f"/proc/{pid}/{name}", encoding="utf-8") as f:
                for line in f:
                    if line.startswith(("VmRSS:", "RssAnon:", "Pss:")):
                        found[line.split(":")[0]] = int(line.split()[1])
        except PermissionError:
            pass
    return found


def written_bytes(pid):
    """Bytes of the pages that a process made dirty. A page counts each time, and with large folios
    as all pages of its folio, so that this may be a hundred times what reached the disk."""
    with open(f"/proc/{pid}/io", encoding="utf-8") as f:
        return int(dict(line.split(": ") for line in f)["write_bytes"])


def disk_bytes(path):
    """Bytes that reached the device below `path`, of all processes, the journal of the file system
    among them. None where the file system has no device of its own."""
    device = os.stat(path).st_dev
    try:
        with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat",
                  encoding="utf-8") as f:
            return int(f.read().split()[6]) * 512
    except FileNotFoundError:
        return None


def processor_ticks():
    """(idle, stolen, all) of all processors since the start."""
    with open("/proc/stat", encoding="utf-8") as f:
        ticks = [int(t) for t in f.readline().split()[1:9]]
    return ticks[3] + ticks[4], ticks[7], sum(ticks)


def pressure_us(what):
    """Microseconds in which somebody waited for `what` (cpu, io); None where it is not told."""
    try:
        with open(f"/proc/pressure/{what}", encoding="utf-8") as f:
            return int(f.readline().rsplit("=", 1)[1])
    except (OSError, ValueError):
        return None


def own_cpu_seconds(pids):
    """Ours: this process, its children that have ended, and those that run."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage) + sum(cpu_seconds(p) for p in pids)


class Surroundings:
    """What else went on while something was measured. `pids` run from the beginning to the end."""

    def __init__(self, pids):
        self.pids = pids
        self.begun = time.monotonic()
        self.before = self.read()

    def read(self):
        return (*processor_ticks(), own_cpu_seconds(self.pids), pressure_us("cpu"),
                pressure_us("io"))

    def end(self):
        seconds = time.monotonic() - self.begun
        after = self.read()
        idle, stolen, ticks, own = (a - b for a, b in zip(after[:4], self.before[:4]))
        busy = ticks - idle
        told = {"foreign_cpu": max(0.0, busy - own * TICK) / max(ticks, 1),
                "steal": stolen / max(ticks, 1)}
        for name, a, b in zip(("psi_cpu", "psi_io"), after[4:], self.before[4:]):
            told[name] = (a - b) / 1e6 / seconds if a is not None else None
        return told


def wait_idle(patience, look=0.5):
    """Until nobody else uses this machine. False: it did not become idle within `patience`."""
    end = time.monotonic() + patience
    while True:
        idle, _, ticks = processor_ticks()
        time.sleep(look)
        idle_now, _, ticks_now = processor_ticks()
        if idle_now - idle >= IDLE_SHARE * (ticks_now - ticks):
            return True
        if time.monotonic() >= end:
            return False


def describe(path):
    """What a figure depends on and a reader cannot see."""
    def output_of(*command):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(": ", 1)[1].strip() for line in f if "model name" in line), "?")
    with open("/proc/meminfo", encoding="utf-8") as f:
        memory = int(f.readline().split()[1]) // 1024
    return {"kernel": platform.release(), "processor": model, "processors": os.cpu_count(),
            "memory_mib": memory,
            "mount": " ".join(output_of("findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T",
                                        path).split())}
