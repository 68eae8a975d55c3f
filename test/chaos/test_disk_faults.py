"""The shim does to a process what it says: errors, stalls, a full disk; and a power loss takes what
was not synced, and nothing else."""
import os
import random
import subprocess
import sys
import time

import pytest

import disk_faults

SHIM = disk_faults.find_shim(os.environ.get("CONCLAVE", ""))

PRELUDE = """
import errno, os, sys
d = sys.argv[1]
def open_(name, flags=os.O_RDWR | os.O_CREAT):
    return os.open(os.path.join(d, name), flags, 0o600)
def path(name):
    return os.path.join(d, name)
def sync_dir():
    fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
def code(call, *arguments):
    try:
        call(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]
def end():
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def disk(tmp_path):
    if SHIM is None:
        pytest.skip("libdisk_shim.so is not built: ninja -C build")
    directory = tmp_path / "data"
    directory.mkdir()
    made = disk_faults.Disk(SHIM, str(directory))
    yield made
    made.close()


def run(disk, text):
    """Run Python that ends as it likes; what it printed."""
    disk.compact()
    done = subprocess.run([sys.executable, "-c", PRELUDE + text, disk.directory],
                          env={**os.environ, **disk.environment()}, capture_output=True, text=True,
                          timeout=30)
    assert done.returncode in (0, -9), done.stderr
    return done.stdout.strip()


def content(disk, name):
    with open(os.path.join(disk.directory, name), "rb") as f:
        return f.read()


def names(disk):
    return sorted(os.listdir(disk.directory))


SOUND = """
fd = open_("log"); os.pwrite(fd, b"a" * 5000, 0); os.fdatasync(fd); sync_dir()
"""


def test_a_kill_alone_loses_nothing(disk):
    run(disk, SOUND + "os.pwrite(fd, b'b' * 10, 0); os.pwrite(fd, b'c' * 9000, 4000); end()")
    assert content(disk, "log") == b"b" * 10 + b"a" * 3990 + b"c" * 9000


def test_power_loss_takes_what_was_not_synced(disk):
    run(disk, SOUND + "os.pwrite(fd, b'b' * 10, 0); os.pwrite(fd, b'c' * 9000, 4000);"
                      "os.ftruncate(fd, 100); open_('new'); end()")
    assert disk.lose_power() > 0
    assert content(disk, "log") == b"a" * 5000
    assert names(disk) == ["log"]


def test_power_loss_keeps_what_was_synced(disk):
    run(disk, SOUND + """
os.pwrite(fd, b"b" * 6000, 10); os.fdatasync(fd); os.ftruncate(fd, 5500); os.fdatasync(fd)
other = open_("other"); os.pwrite(other, b"x", 0); os.fdatasync(other); sync_dir(); end()
""")
    disk.lose_power()
    assert content(disk, "log") == b"a" * 10 + b"b" * 5490
    assert names(disk) == ["log", "other"]


# Writes of the log: around the page cache, and durable when they return.
DIRECT = """
import mmap
blocks = mmap.mmap(-1, 8192); blocks.write(b"b" * 8192)
direct = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_DIRECT)
def write_direct(flags): return os.pwritev(direct, [blocks], 4096, flags)
"""


def test_a_write_that_is_durable_when_it_returns_outlives_the_power(disk):
    run(disk, SOUND + DIRECT + "write_direct(os.RWF_DSYNC); os.pwrite(fd, b'c', 0); end()")
    disk.lose_power()
    assert content(disk, "log") == b"a" * 4096 + b"b" * 8192


def test_without_that_flag_it_does_not(disk):
    run(disk, SOUND + DIRECT + "write_direct(0); end()")
    assert content(disk, "log") == b"a" * 4096 + b"b" * 8192
    disk.lose_power()
    assert content(disk, "log") == b"a" * 5000


def test_a_write_that_is_durable_fails_as_a_sync_does(disk):
    run(disk, SOUND + "os.close(fd)")
    disk.set("sync_errors", 1)
    said = run(disk, "fd = open_('log')" + DIRECT +
               "print(code(write_direct, os.RWF_DSYNC)); end()")
    assert said.split() == ["EIO"]
    disk.lose_power()
    assert content(disk, "log") == b"a" * 5000


def test_power_loss_after_a_kill_and_a_start_takes_what_the_first_left(disk):
    run(disk, SOUND + "os.pwrite(fd, b'b' * 10, 0); end()")
    run(disk, "fd = open_('log'); os.pwrite(fd, b'c' * 10, 20); end()")
    disk.lose_power()
    assert content(disk, "log") == b"a" * 5000


def test_a_sync_by_the_next_process_covers_what_the_first_wrote(disk):
    run(disk, SOUND + "os.pwrite(fd, b'b' * 10, 0); end()")
    run(disk, "fd = open_('log'); os.fdatasync(fd); os.pwrite(fd, b'c' * 10, 20); end()")
    disk.lose_power()
    assert content(disk, "log") == b"b" * 10 + b"a" * 4990


@pytest.mark.parametrize("synced", [False, True])
def test_a_rename_counts_after_the_sync_of_the_directory(disk, synced):
    run(disk, SOUND + """
new = open_("log.tmp"); os.pwrite(new, b"new", 0); os.fdatasync(new)
os.rename(path("log.tmp"), path("log"))
""" + ("sync_dir();" if synced else "") + "end()")
    disk.lose_power()
    assert content(disk, "log") == (b"new" if synced else b"a" * 5000)
    assert names(disk) == ["log"]


def test_a_rename_before_the_sync_of_the_data_gives_an_empty_file(disk):
    """The classic: the name is durable and what it names is not."""
    run(disk, SOUND + """
new = open_("log.tmp"); os.pwrite(new, b"new", 0)
os.rename(path("log.tmp"), path("log")); sync_dir(); end()
""")
    disk.lose_power()
    assert content(disk, "log") == b""


@pytest.mark.parametrize("synced", [False, True])
def test_an_unlink_counts_after_the_sync_of_the_directory(disk, synced):
    run(disk, SOUND + "os.unlink(path('log'));" + ("sync_dir();" if synced else "") + "end()")
    disk.lose_power()
    assert names(disk) == ([] if synced else ["log"])
    assert synced or content(disk, "log") == b"a" * 5000


def test_a_torn_power_loss_takes_sectors_at_random(disk):
    run(disk, SOUND.replace("5000", "51200") + "os.pwrite(fd, b'b' * 51200, 0); end()")
    disk.lose_power(seed=1)
    data = content(disk, "log")
    sectors = {data[at:at + 512] for at in range(0, len(data), 512)}
    assert sectors == {b"a" * 512, b"b" * 512}


def test_power_loss_at_random_moments_agrees_with_a_model(disk):
    """Random writes, syncs and cuts; the model keeps what the last sync saw."""
    for seed in range(20):
        rng = random.Random(seed)
        text, now, durable = ["fd = open_('log')", "os.ftruncate(fd, 0)", "os.fdatasync(fd)",
                              "sync_dir()"], b"", b""
        for _ in range(rng.randint(1, 30)):
            what = rng.choice(["write", "write", "write", "sync", "cut"])
            if what == "write":
                at, size, letter = rng.randint(0, len(now)), rng.randint(1, 3000), rng.randint(1, 9)
                text.append(f"os.pwrite(fd, bytes([{letter}]) * {size}, {at})")
                now = now[:at] + bytes([letter]) * size + now[at + size:]
            elif what == "cut":
                size = rng.randint(0, len(now))
                text.append(f"os.ftruncate(fd, {size})")
                now = now[:size]
            else:
                text.append("os.fdatasync(fd)")
                durable = now
        run(disk, "\n".join(text + ["end()"]))
        assert content(disk, "log") == now, f"seed {seed}"
        disk.lose_power()
        assert content(disk, "log") == durable, f"seed {seed}"


def test_errors_come_as_often_as_asked(disk):
    disk.set("sync_errors", 1)
    disk.set("write_errors", 2)
    disk.set("read_errors", disk_faults.ALWAYS)
    said = run(disk, """
fd = open_("log")
print(code(os.pwrite, fd, b"x", 0), code(os.pwrite, fd, b"x", 0), code(os.pwrite, fd, b"x", 0))
print(code(os.fdatasync, fd), code(os.fdatasync, fd))
print(code(os.pread, fd, 1, 0), code(os.pread, fd, 1, 0))
""")
    assert said.split() == ["EIO", "EIO", "None", "EIO", "None", "EIO", "EIO"]
    assert disk.get("faults") == 5 and disk.get("syncs") == 2


def test_what_a_failed_sync_covered_is_not_durable(disk):
    run(disk, SOUND + "os.pwrite(fd, b'b', 0); os.close(fd); end()")
    disk.set("sync_errors", 1)
    run(disk, "fd = open_('log'); code(os.fdatasync, fd); end()")
    disk.lose_power()
    assert content(disk, "log") == b"a" * 5000


def test_a_full_disk_takes_what_fits_and_gives_room_back(disk):
    disk.set("free_bytes", 1000)
    said = run(disk, """
fd = open_("log")
print(os.pwrite(fd, b"x" * 600, 0), os.pwrite(fd, b"x" * 600, 600), code(os.pwrite, fd, b"x", 1000))
print(os.pwrite(fd, b"y" * 600, 0), code(os.posix_fallocate, fd, 0, 2000))
print(os.fstatvfs(fd).f_bavail)
os.ftruncate(fd, 0)
print(os.pwrite(fd, b"x" * 900, 0), code(os.posix_fallocate, fd, 0, 1000))
""")
    assert said.split() == ["600", "400", "ENOSPC", "600", "ENOSPC", "0", "900", "None"]


def test_a_stalled_sync_ends_when_told(disk):
    disk.set("stall_sync", 1)
    process = subprocess.Popen([sys.executable, "-c", PRELUDE + SOUND, disk.directory],
                               env={**os.environ, **disk.environment()})
    deadline = time.monotonic() + 10
    while disk.get("syncs") == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)
    assert process.poll() is None
    disk.set("stall_sync", 0)
    assert process.wait(10) == 0


def test_other_directories_are_left_alone(disk, tmp_path):
    disk.set("write_errors", disk_faults.ALWAYS)
    run(disk, f"fd = os.open({str(tmp_path / 'other')!r}, os.O_RDWR | os.O_CREAT)\n"
              "assert os.pwrite(fd, b'x', 0) == 1; os.fdatasync(fd)")
    assert disk.get("writes") == 0 and disk.get("syncs") == 0
