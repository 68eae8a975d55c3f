"""The disk of one member, as far as disk_shim.c stands in its way: faults, and power loss. Standard
library only."""
import contextlib
import mmap
import os
import random
import struct

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECTOR = 512
ALWAYS = -1

# struct control of disk_shim.c.
FIELDS = ["stall_sync", "sync_delay_us", "sync_errors", "write_errors", "read_errors", "free_bytes",
          "syncs", "writes", "reads", "faults"]

HEAD = struct.Struct("<IIQQQQQIIII")  # struct journal_head
MAGIC = 0x4C4E524A
WRITE, TRUNCATE, CREATE, RENAME, UNLINK, SYNC_BEGIN, SYNC_DONE = range(1, 8)
ABOUT_DATA = (WRITE, TRUNCATE)
ABOUT_NAMES = (CREATE, RENAME, UNLINK)


def find_shim(binary):
    """The preloaded library of the build that `binary` is from, else of build/; None without."""
    for build in (os.path.dirname(binary), os.path.join(ROOT, "build")):
        path = os.path.join(build, "test", "chaos", "libdisk_shim.so")
        if os.path.exists(path):
            return path
    return None


class Record:
    def __init__(self, raw, names, data, position):
        (_, self.kind, self.inode, self.offset, self.old_size, self.held, self.sync, self.size,
         self.is_zero, _, _) = HEAD.unpack(raw)
        self.name, self.other = names
        self.data = bytes(self.size) if self.is_zero else data
        self.position = position
        self.raw = raw + self.name.encode() + self.other.encode() + data


def read_journal(path):
    """Every whole record, in order: the last one may be cut short by the kill."""
    with open(path, "rb") as f:
        text = f.read()
    records, at = [], 0
    while at + HEAD.size <= len(text):
        head = text[at:at + HEAD.size]
        magic, *_, size, is_zero, name_size, other_size = HEAD.unpack(head)
        assert magic == MAGIC, f"{path} is damaged at {at}"
        names_at = at + HEAD.size
        data_at = names_at + name_size + other_size
        end = data_at + (0 if is_zero else size)
        if end > len(text):
            break
        names = (text[names_at:names_at + name_size].decode(),
                 text[names_at + name_size:data_at].decode())
        records.append(Record(head, names, text[data_at:end], len(records)))
        at = end
    return records


def unsynced(records):
    """The records that no sync covered, in order."""
    begun, covered = {}, {}  # covered: what a sync of (inode) reached, by position
    for r in records:
        if r.kind == SYNC_BEGIN:
            begun[r.inode, r.sync] = r.position
        elif r.kind == SYNC_DONE and (r.inode, r.sync) in begun:
            reached = begun[r.inode, r.sync]
            covered[r.inode] = max(reached, covered.get(r.inode, -1))
    return [r for r in records
            if (r.kind in ABOUT_DATA and r.position > covered.get(r.inode, -1)) or
            (r.kind in ABOUT_NAMES and r.position > covered.get(0, -1))]


class Disk:
    """Faults for the files in `directory`; give `environment()` to the process."""

    def __init__(self, shim, directory):
        self.shim = shim
        self.directory = os.path.realpath(directory)
        self.control_path = self.directory + ".control"
        self.journal_path = self.directory + ".journal"
        self.held_prefix = self.directory + ".held."
        with open(self.control_path, "wb") as f:
            f.write(bytes(mmap.PAGESIZE))
        with open(self.control_path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        self.set("free_bytes", -1)

    def environment(self):
        # A sanitizer would like to be the first library; behind the shim it sees all calls as well.
        asan = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))
        return {"LD_PRELOAD": self.shim, "ASAN_OPTIONS": asan,
                "CHAOS_DISK_CONTROL": self.control_path, "CHAOS_DISK_JOURNAL": self.journal_path,
                "CHAOS_DISK_HELD": self.held_prefix, "CHAOS_DISK_DIRECTORY": self.directory}

    def get(self, field):
        return struct.unpack_from("<q", self.page, FIELDS.index(field) * 8)[0]

    def set(self, field, value):
        struct.pack_into("<q", self.page, FIELDS.index(field) * 8, value)

    def heal(self):
        for field in FIELDS[:5]:
            self.set(field, 0)
        self.set("free_bytes", -1)

    def close(self):
        self.page.close()

    # --- while the process does not run ---

    def compact(self):
        """Before a start: forget what is durable, so that the journal stays short."""
        if not os.path.exists(self.journal_path):
            return
        left = unsynced(read_journal(self.journal_path))
        with open(self.journal_path, "wb") as f:
            f.writelines(r.raw for r in left)
        self._drop_held({r.held for r in left})

    def lose_power(self, seed=None):
        """Undo what was not synced: all of it, or, with a seed, a random part of the sectors and
        perhaps none of the names. Returns how many changes were unsynced."""
        if not os.path.exists(self.journal_path):
            return 0
        left = unsynced(read_journal(self.journal_path))
        rng = random.Random(seed)
        keeps_names = seed is not None and rng.random() < 0.5
        salt = rng.random()
        for r in reversed(left):
            if r.kind in ABOUT_NAMES:
                if not keeps_names:
                    self._undo_name(r)
            else:
                self._undo_data(r, None if seed is None else salt)
        os.truncate(self.journal_path, 0)
        self._drop_held(set())
        return len(left)

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _path_of_inode(self, inode):
        for entry in os.scandir(self.directory):
            if entry.inode() == inode:
                return entry.path
        return None

    def _undo_name(self, r):
        held = self.held_prefix + str(r.held)
        if r.kind == CREATE:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(r.name))
        elif r.kind == UNLINK:
            if r.held and not os.path.exists(self._path(r.name)):
                os.link(held, self._path(r.name))
        elif r.kind == RENAME and self._path_of_inode(r.inode) == self._path(r.other):
            os.rename(self._path(r.other), self._path(r.name))
            if r.held:
                os.link(held, self._path(r.other))

    def _undo_data(self, r, salt):
        """`salt`: a sector is kept or undone as a whole, the same through all records."""
        path = self._path_of_inode(r.inode)
        if path is None:
            return
        with open(path, "r+b") as f:
            for at in range(r.offset // SECTOR * SECTOR, r.offset + r.size, SECTOR):
                if salt is not None and random.Random(f"{salt} {r.inode} {at}").random() < 0.5:
                    continue
                first, last = max(at, r.offset), min(at + SECTOR, r.offset + r.size)
                f.seek(first)
                f.write(r.data[first - r.offset:last - r.offset])
            f.truncate(r.old_size)

    def _drop_held(self, wanted):
        folder, prefix = os.path.split(self.held_prefix)
        for name in os.listdir(folder):
            if name.startswith(prefix) and int(name[len(prefix):]) not in wanted:
                os.unlink(os.path.join(folder, name))
