"""Run a command beside a small Slurm cluster on this machine: `python slurm.py COMMAND`.

Debian's packages slurm-wlm and munge have the programs. The controller and two nodes are processes
of this machine, and use only the loopback interface. Slurm reads /etc/slurm/slurm.conf, because a
job step does not get SLURM_CONF. So there can be one such cluster at a time.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CONFIGURATION = Path("/etc/slurm/slurm.conf")
#: The first line of our configuration, with the folder of the cluster. A configuration without it
#: belongs to another cluster.
MARK = "# A cluster for tests in "
PROGRAMS = "munged", "slurmctld", "slurmd", "sbatch"
#: The nodes of each partition. Only tests that kill nodes use the second one.
PARTITIONS = {"main": ["n1", "n2"], "unstable": ["n3", "n4"]}
NODES = [name for names in PARTITIONS.values() for name in names]
#: The program of each process, by the name of its pid file.
DAEMONS = dict.fromkeys(NODES, "slurmd") | {"slurmctld": "slurmctld", "munged": "munged"}
#: Each node claims to have these, so that jobs can ask for them. Slurm does not reserve them.
CPUS, MEMORY = 8, 20000
ENVIRONMENT = os.environ | {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}

TEMPLATE = """{mark}{folder}
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# Slurm waits for cred_expire before it starts a job of a failed node again.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/%n
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
# A job that uses more memory than it asked for is killed, within a second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
# A node that does not answer for 5 s is down, and comes back when it answers.
SlurmdTimeout=5
ReturnToService=2
KillWait=2
# Tell of jobs that have ended for so many seconds.
MinJobAge=7200
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
{nodes}
PartitionName=main Nodes=n1,n2 Default=YES
PartitionName=unstable Nodes=n3,n4
"""


def obstacle() -> str | None:
    """Return why no cluster can be started here, or None."""
    path = ENVIRONMENT["PATH"]
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "only root can start a Slurm cluster"
    if CONFIGURATION.exists() and not CONFIGURATION.read_text().startswith(MARK):
        return f"{CONFIGURATION} belongs to another cluster"
    return None


class Cluster:
    """A cluster. Its processes write their logs and pid files to ``folder``."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def current(cls) -> "Cluster | None":
        """Return the cluster that :data:`CONFIGURATION` describes, if it is one of ours."""
        with contextlib.suppress(OSError):
            first = CONFIGURATION.read_text().partition("\n")[0]
            if first.startswith(MARK):
                return cls(Path(first.removeprefix(MARK)))
        return None

    def start(self) -> None:
        """Start all processes, and wait until the nodes take jobs."""
        (self.folder / "state").mkdir(parents=True)
        port, *ports = free_ports(1 + len(NODES))
        host = socket.gethostname()
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} "
            f"RealMemory={MEMORY} State=UNKNOWN"
            for name, port in zip(NODES, ports, strict=True)
        )
        CONFIGURATION.parent.mkdir(exist_ok=True)
        CONFIGURATION.write_text(
            TEMPLATE.format(mark=MARK, folder=self.folder, host=host, port=port, nodes=nodes)
        )
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        names = {"socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
        files = [f"--{option}={self.folder}/{name}" for option, name in names.items()]
        run("munged", "--force", f"--key-file={key}", f"--seed-file={self.folder}/seed", *files)
        run("slurmctld", "-c")
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: self.states() == {"idle"}, "all nodes are idle")

    def start_node(self, node: str) -> None:
        """Start the process of a node."""
        run("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """Kill all processes of a node and of its jobs, as a loss of power does."""
        tasks = processes_with(f"SLURMD_NODENAME={node}")
        for pid in [
            self.pid(node),
            *{parent for task in tasks for parent in steps_of(task)},
            *tasks,
        ]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Cancel all jobs, and end all processes."""
        if self.pid("slurmctld"):
            subprocess.run(["scancel", "--user=root"], timeout=30)
        for name in DAEMONS:
            if pid := self.pid(name):
                os.kill(pid, signal.SIGTERM)
                try:
                    wait_until(lambda name=name: not self.pid(name), f"{name} has ended")
                except AssertionError:
                    os.kill(pid, signal.SIGKILL)
        # Beside the configuration of a cluster that is gone, each start of Snakemake's executor
        # would take ten seconds longer.
        CONFIGURATION.unlink()

    def pid(self, name: str) -> int | None:
        """Return the id of a running process of this cluster, or None."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / f"{name}.pid").read_text())
            command, state, _ = process(pid)
            if command == DAEMONS[name] and state != "Z":
                return pid
        return None

    def states(self) -> set[str]:
        """Return the states of the nodes."""
        return set(run("sinfo", "--Node", "--noheader", "--format=%t").split())

    def jobs(self, folder: Path | None = None) -> list[dict[str, str]]:
        """Return what Slurm knows of each job, or of those that were submitted in a folder."""
        columns = {"id": "%A", "state": "%T", "rule": "%k", "node": "%N", "folder": "%Z"}
        columns |= {"start": "%S", "end": "%e", "cpus": "%C", "memory": "%m", "limit": "%l"}
        text = run(
            *("squeue", "--noheader", "--states=all", "--sort=i"),
            f"--format={'|'.join(columns.values())}",
        )
        jobs = [dict(zip(columns, line.split("|"), strict=True)) for line in text.splitlines()]
        return [job for job in jobs if folder is None or job["folder"] == str(folder)]


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a cluster. One that an earlier process left is ended first."""
    if reason := obstacle():
        sys.exit(f"slurm.py: {reason}.")
    if left := Cluster.current():
        left.stop()
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder, "cluster"))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def run(*command: str) -> str:
    """Run a command of Slurm to its end, and return what it printed."""
    with tempfile.TemporaryFile("w+") as output:
        # No pipe, which a process in the background would keep open.
        ended = subprocess.run(
            command, stdout=output, stderr=output, env=ENVIRONMENT, cwd="/", timeout=60
        )
        output.seek(0)
        text = output.read()
    assert ended.returncode == 0, f"{command[0]}: {text}"
    return text


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface on which nothing listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def processes_with(variable: str) -> list[int]:
    """Return the ids of all processes with a variable in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if variable.encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def process(pid: int) -> tuple[str, str, int]:
    """Return the name, the state and the parent of a process."""
    start, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
    state, parent, *_ = rest.split()
    return start.partition("(")[2], state, int(parent)


def steps_of(pid: int) -> list[int]:
    """Return the processes of Slurm that a process of a job descends from."""
    found = []
    with contextlib.suppress(OSError):
        while pid > 1:
            command, _, parent = process(pid)
            found += [pid] * (command == "slurmstepd")
            pid = parent
    return found


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait until a condition holds, or fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


if __name__ == "__main__":
    # End the cluster as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_cluster():
        sys.exit(subprocess.run(sys.argv[1:]).returncode)
