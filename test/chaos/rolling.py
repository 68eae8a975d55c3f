"""F17: members replaced one by one under load: by themselves (a rolling restart), by another
version (an upgrade), and back (a downgrade). Standard library only."""
import os
import re
import shutil
import subprocess
import tempfile

import chaos_cluster
import harness
from timeline import Run

CAUGHT_UP_S = 15.0
RETRY_S = 10.0
# A build that does not know the other's formats says so, and touches nothing.
CLEAR_WORDS = re.compile(
    r"format version \d+ is not known|written by a newer version|speaks peer protocol \d+")
FORMAT_PAGES = ["docs/DATA_DIR.md", "docs/PROTOCOL.md"]


class Refused(AssertionError):
    """The build does not take the member's data, or does not speak with the others."""


def reason(log):
    """The line of a member's log that says why it refused, else its last one."""
    lines = log.strip().split("\n")
    return next((line for line in lines if CLEAR_WORDS.search(line)), lines[-1])


def start_with(run, member, binary):
    """Start `member` as `binary`, and wait until it has what the others have."""
    member.binary = binary
    already = len(member.log())
    member.start(wait=False)
    target = max(s["commitIndex"] for s in (m.status() for m in run.cluster) if s)

    def caught_up():
        if not member.is_running():
            raise Refused(reason(member.log()[already:]))
        return (member.status() or {}).get("appliedIndex", 0) >= target
    try:
        harness.wait_for(caught_up, f"{member.name} has caught up", CAUGHT_UP_S)
    except AssertionError:
        said = member.log()[already:]
        if CLEAR_WORDS.search(said):
            raise Refused(reason(said)) from None
        raise


def replace(run, member, binary, what):
    """One member down and up again, with the leadership handed over if it leads."""
    leads = run.cluster.wait_leader() is member
    with run.window(f"F17 {what} of {member.name}" + (", which leads" if leads else ""), 0.0):
        code = member.terminate()
        run.expect(code == 0, f"{member.name} ended with {code}")
        start_with(run, member, binary)


def in_order(run):
    """Followers first, so that leadership moves once."""
    leader = run.cluster.wait_leader()
    return run.cluster.others(leader) + [leader]


def replace_all(run, binary, what):
    for member in in_order(run):
        replace(run, member, binary, what)


def restart_all(run):
    replace_all(run, harness.BINARY, "restart")


def run_restart(seed):
    """(is good, the timeline)"""
    with chaos_cluster.ChaosCluster(3) as cluster:
        run = Run(cluster, f"{seed}.restart", retry_s=RETRY_S)

        def story():
            run.start()
            restart_all(run)
        return run.tell(story)


# --- another version --------------------------------------------------------------------------


def git(*arguments):
    return subprocess.run(["git", "-C", harness.ROOT, *arguments], capture_output=True, check=True)


def build_previous(directory, revision):
    """The binary of `revision`, built in `directory`; (path, None) or (None, why there is none)."""
    for tool in ("git", "meson", "ninja", "tar"):
        if shutil.which(tool) is None:
            return None, f"there is no {tool}"
    try:
        archive = git("archive", "--format=tar", revision).stdout
        subprocess.run(["tar", "-x", "-C", directory], input=archive, check=True)
    except subprocess.CalledProcessError as e:
        return None, f"git has no {revision}: {e.stderr.decode().strip() if e.stderr else e}"
    build = os.path.join(directory, "build")
    for command in (["meson", "setup", build, directory, "--buildtype=debugoptimized"],
                    ["ninja", "-C", build, "conclave"]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return None, f"{revision} does not build: {done.stdout[-500:]}"
    return os.path.join(build, "conclave"), None


def formats_changed(revision):
    """The pages of formats that differ between `revision` and this tree."""
    return [p for p in FORMAT_PAGES
            if subprocess.run(["git", "-C", harness.ROOT, "diff", "--quiet", revision, "--", p],
                              check=False).returncode != 0]


def change_version(run, old, new, revision, what):
    """All members from `old` to `new`. True: done. False: refused, as a change of formats that the
    pages tell of may be; then everybody is `old` again, and unharmed."""
    try:
        replace_all(run, new, what)
        return True
    except Refused as e:
        changed = formats_changed(revision)
        is_clear = CLEAR_WORDS.search(str(e)) is not None
        run.windows[-1].notes.append(
            f"refused: {e}" + (f" (formats changed: {', '.join(changed)})" if changed else ""))
        run.expect(is_clear or changed, "refused, and no page of formats tells of a change")
    for member in run.cluster:
        if member.binary != old or not member.is_running():
            if member.is_running():
                member.terminate()
            start_with(run, member, old)
    return False


def run_versions(seed, revision):
    """Up from `revision` to this build and back, under load; (is good, the timeline)."""
    directory = tempfile.mkdtemp(prefix="conclave-previous-")
    try:
        old, why = build_previous(directory, revision)
        if old is None:
            return True, f"rolling upgrade: left out, {why}"
        with chaos_cluster.ChaosCluster(3, binary=old) as cluster:
            run = Run(cluster, f"{seed}.versions", retry_s=RETRY_S)

            def story():
                run.start()
                if change_version(run, old, harness.BINARY, revision, f"upgrade from {revision}"):
                    change_version(run, harness.BINARY, old, revision, f"downgrade to {revision}")
            return run.tell(story)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_all(seed):
    yield run_restart(seed)
    yield run_versions(seed, os.environ.get("CHAOS_PREVIOUS", "HEAD~1"))
