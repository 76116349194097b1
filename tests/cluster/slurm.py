"""How does a real SLURM come up for a test? One node, no accounting, a folder of its own; Debian's packages, as root.

``python tests/cluster/slurm.py COMMAND`` installs what isn't there, starts a cluster, runs COMMAND and stops it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The last is for results in a storage.
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "rsync")
PROGRAMS = ("munged", "slurmctld", "slurmd", "squeue", "rsync")
# More than the machine has, so that jobs which sleep needn't take turns.
CPUS, MEMORY_MB = 8, 64000
# Where SLURM looks by itself, after /etc. Snakemake's plugin takes SLURM_CONF away from the steps of a job.
KNOWN = Path("/run/slurm/conf")
# Debian asks it before a package starts a service. 101: not allowed.
POLICY = Path("/usr/sbin/policy-rc.d")

CONFIGURATION = """\
ClusterName=homolog
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# Nothing that needs control groups, which containers seldom have.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
# What makes SLURM set CUDA_VISIBLE_DEVICES. It takes any character device for a GPU.
GPUS = "Name=gpu File={folder}/gpu0 Flags=nvidia_gpu_env\n"


@dataclass(frozen=True)
class Waiting:
    """A job in the queue: its number, what the submitter says of it, and why it isn't running."""

    number: str
    comment: str
    reason: str


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs; `environment` is what a process needs to use it."""

    folder: Path
    node: str

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """What a SLURM command prints; CalledProcessError where it fails."""
        done = subprocess.run(
            command, env=os.environ | self.environment, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def state(self) -> str:
        """The node's, such as ``idle`` or ``drained``."""
        return self.ask("sinfo", "--noheader", "--format=%T").strip()

    def set_state(self, state: str) -> None:
        """``drain`` the node, or ``resume`` it."""
        self.ask("scontrol", "update", f"NodeName={self.node}", f"State={state}", "Reason=test")

    def job(self, number: str) -> dict[str, str]:
        """What the controller knows of a job."""
        words = self.ask("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def queue(self, state: str) -> list[Waiting]:
        """Jobs in a state such as ``PENDING``."""
        lines = self.ask("squeue", "--noheader", f"--states={state}", "--format=%i|%k|%r").splitlines()
        return [Waiting(*line.split("|", 2)) for line in lines]


def install() -> None:
    """Debian's packages, unless they are there; no service is started."""
    if all(shutil.which(program, path=_path()) for program in PROGRAMS):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(
            f"homolog: error: {', '.join(PACKAGES)} aren't all installed: run as root on Debian, say in a container"
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    allowed = not POLICY.exists()
    if allowed:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True)
        command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    finally:
        if allowed:
            POLICY.unlink()


@contextmanager
def started() -> Iterator[Cluster]:
    """A cluster in a temporary folder. At the end its jobs are stopped, then its three daemons, and the folder goes."""
    # Not below a folder of pytest's, which others can't enter: munge would refuse to put its socket there.
    with tempfile.TemporaryDirectory(prefix="homolog-slurm-") as folder:
        Path(folder).chmod(0o755)
        yield from _started(Cluster(Path(folder), socket.gethostname().split(".")[0]))


def _started(cluster: Cluster) -> Iterator[Cluster]:
    folder = cluster.folder
    if os.path.lexists(KNOWN) or Path("/etc/slurm/slurm.conf").exists():
        sys.exit(f"homolog: error: a SLURM is set up here already, in /etc/slurm or {KNOWN}: try it elsewhere")
    _configure(cluster)
    made = not KNOWN.parent.exists()
    KNOWN.parent.mkdir(exist_ok=True)
    KNOWN.symlink_to(folder)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        munged = [f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid"]
        munged += [f"--seed-file={folder}/munge.seed", f"--log-file={folder}/munge.log", "--num-threads=2"]
        daemons.append(_daemon(cluster, "munged", "--foreground", *munged))
        _wait((folder / "munge.socket").exists, "munge's socket", folder, daemons)
        daemons.append(_daemon(cluster, "slurmctld", "-D"))
        daemons.append(_daemon(cluster, "slurmd", "-D"))
        _wait(lambda: cluster.state() == "idle", "an idle node", folder, daemons)
        yield cluster
    finally:
        try:
            _stop(cluster, daemons)
        finally:
            KNOWN.unlink()
            if made:
                KNOWN.parent.rmdir()


def _configure(cluster: Cluster) -> None:
    folder = cluster.folder
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(1024))
    os.mknod(folder / "gpu0", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # /dev/null by another name
    text = CONFIGURATION.format(folder=folder, host=cluster.node, ports=_free_ports(2), cpus=CPUS, memory=MEMORY_MB)
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text(GPUS.format(folder=folder))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _path() -> str:
    # Daemons lie where a user's PATH needn't lead.
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _daemon(cluster: Cluster, program: str, *options: str) -> subprocess.Popen[bytes]:
    path = shutil.which(program, path=_path())
    assert path, f"{program} isn't installed"
    with (cluster.folder / f"{program}.log").open("wb") as log:
        environment = os.environ | cluster.environment
        return subprocess.Popen([path, *options], env=environment, stdout=log, stderr=log, start_new_session=True)


def _wait(
    holds: Callable[[], object],
    what: str,
    folder: Path,
    daemons: Iterable[subprocess.Popen[bytes]] = (),
    seconds: float = 60,
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        dead = [daemon.args[0] for daemon in daemons if daemon.poll() is not None]
        if dead:
            logs = "".join(path.read_text() for path in folder.glob("*.log"))
            raise RuntimeError(f"{', '.join(dead)} ended while {what} was waited for:\n{logs}")
        try:
            if holds():
                return
        except subprocess.CalledProcessError:
            pass  # The controller doesn't answer yet.
        time.sleep(0.2)
    raise RuntimeError(f"no {what} within {seconds:.0f} s")


def _stop(cluster: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    if len(daemons) == 3:
        subprocess.run(["scancel", "--user=root"], env=os.environ | cluster.environment, check=False)
        _wait(lambda: not cluster.ask("squeue", "--noheader"), "an empty queue", cluster.folder)
    for daemon in reversed(daemons):
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit("usage: python tests/cluster/slurm.py COMMAND [ARGUMENT ...]")
    install()
    with started() as cluster:
        return subprocess.run(sys.argv[1:], env=os.environ | cluster.environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
