# SPDX-License-Identifier: Apache-2.0
"""Private container runtimes: docker, podman, containerd and runc, each with its own state in a temporary directory,
so that nothing here touches containers the machine already has. Used by the tests, the benches and the demonstration.

Every runtime has run(name, *command, **options) -> Container, rm(container) and close(). Names get a suffix that is
unique per runtime object; use container.name. Options: cpus (a quota), cpu_shares, memory, env, mounts
{host: inside}, labels, annotations, cgroup (a path), args (raw ones for this runtime). No container has a network (docker
alone knows the option network: "container:ID")."""
import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import leftovers
from support import ROOT, STOP_S, Missing, mounts_below, processes_mentioning, remove_tree, run, tool, wait_for

CGROUPS = Path("/sys/fs/cgroup")
PROGRAMS = ROOT / "tests" / "programs"
PERIOD_US = 100_000
STOP_DEADLINE_S = 30
IMAGE = "fathom-test"


@dataclass(eq=False)
class Container:
    runtime: "Runtime"
    id: str
    name: str
    pid: int
    details: dict = field(default_factory=dict)

    @property
    def short_id(self):
        return self.id[:12]

    def alive(self):
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def cgroups(self):
        """Path by controller ("" for v2) as /proc/PID/cgroup gives them."""
        lines = Path(f"/proc/{self.pid}/cgroup").read_text().splitlines()
        return {controller: path for line in lines
                for _, controllers, path in [line.split(":", 2)] for controller in controllers.split(",")}


def cgroup_v2_only():
    return (CGROUPS / "cgroup.controllers").exists()


def mount_of(controller):
    """Where a controller's hierarchy is mounted; "" for the unified one."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, (kind, _, options) = line.split(" - ")[0].split(), line.split(" - ")[1].split(" ", 2)
        if fields[4].startswith("/sys/fs/cgroup") and (
                kind == "cgroup2" if not controller else kind == "cgroup" and controller in options.split(",")):
            return Path(fields[4])
    return None


@contextmanager
def limited_parent(runtime, quota_us, memory_bytes):
    """A cgroup for containers, with limits of its own → its path. Those of `runtime` in it end with it."""
    parent = f"fathom-parent-{secrets.token_hex(3)}"
    made = [place / parent for place in ([CGROUPS] if cgroup_v2_only() else [mount_of("cpu"), mount_of("memory")])]
    for place in made:
        place.mkdir()
    try:
        if cgroup_v2_only():
            (made[0] / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
            (made[0] / "memory.max").write_text(str(memory_bytes))
        else:
            (made[0] / "cpu.cfs_quota_us").write_text(str(quota_us))
            (made[1] / "memory.limit_in_bytes").write_text(str(memory_bytes))
        yield f"/{parent}"
    finally:
        for container in [c for c in runtime.containers if any(parent in path for path in c.cgroups().values())]:
            runtime.rm(container)
        for root in {*made, *CGROUPS.glob(f"*/{parent}"), *CGROUPS.glob(parent)}:
            for group in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
                group.rmdir()
            if root.exists():
                root.rmdir()


def compile_programs(directory):
    """Builds each tests/programs/*.c statically, with frame pointers and symbols, into `directory`."""
    for source in sorted(PROGRAMS.glob("*.c")):
        run("cc", "-O2", "-g", "-static", "-pthread", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-o",
            Path(directory) / source.stem, source, timeout=120)
    for name in ("deeprest", "hardstacks", "twinstacks"):
        run("cc", "-O2", "-g", "-static", "-pthread", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-o",
            Path(directory) / f"{name}_omit", PROGRAMS / f"{name}.c", timeout=120)


def make_rootfs(directory):
    """A root file system of busybox and the test programs."""
    root = Path(directory)
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    busybox = tool("busybox")
    shutil.copy(busybox, root / "bin/busybox")
    for applet in run(busybox, "--list").stdout.split():
        if applet != "busybox" and not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/resolv.conf").touch()
    (root / "etc/hosts").touch()
    compile_programs(root / "bin")
    return root


def die_with_parent():
    """In a new daemon: be killed when the process that started it is, so that not even kill -9 leaves it behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def has_begun(pid):
    """Whether the container's own program runs; before it, the runtime's is there, with threads of its own."""
    try:
        return not Path(f"/proc/{pid}/comm").read_text().startswith(("runc", "crun"))
    except (FileNotFoundError, ProcessLookupError):
        return True  # and has ended


class Runtime:
    name = ""
    cgroup_parents = ()

    def __init__(self, base=None):
        # Short, because socket paths below it must fit in 108 bytes.
        self.dir = Path(tempfile.mkdtemp(prefix=f"fathom-{self.name}-", dir=base))
        self.suffix = secrets.token_hex(3)
        self.containers = []
        self.daemon = None
        self.parents_before = self._parents()
        try:
            self.rootfs = make_rootfs(self.dir / "rootfs")
            self.start()
        except BaseException:
            self.close()
            raise

    def _parents(self):
        found = set()
        for parent in self.cgroup_parents:
            found |= {p for p in (CGROUPS / parent, *CGROUPS.glob(f"*/{parent}")) if p.exists()}
        return found

    def unique(self, name):
        return f"{name}-{self.suffix}"

    def spawn(self, *command, ready, env=None):
        """Starts the daemon in a session of its own and waits until `ready` returns true."""
        self.log = self.dir / "daemon.log"
        with open(self.log, "wb") as log:
            self.daemon = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           start_new_session=True, preexec_fn=die_with_parent,
                                           env={**os.environ, **(env or {})})

        def answers():
            if self.daemon.poll() is not None:
                raise RuntimeError(f"{command[0]} ended at once:\n{self.log.read_text(errors='replace')[-2000:]}")
            return ready()

        wait_for(answers, 60, f"{self.name} daemon")

    def run(self, name, *command, **options):
        container = self.create(self.unique(name), [str(c) for c in command], options)
        self.containers.append(container)
        if options:
            raise TypeError(f"{self.name} does not know the options {sorted(options)}")
        wait_for(lambda: has_begun(container.pid), 60, f"{container.name} to begin")
        return container

    def rm(self, container):
        self.destroy(container)
        self.containers.remove(container)

    def start(self):
        pass

    def close(self):
        """Removes every container, stops the daemon, deletes all state; raises when something is left behind."""
        for container in list(self.containers):
            self.rm(container)
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        mark = f"{self.dir}/"
        wait_for(lambda: not processes_mentioning(mark), STOP_DEADLINE_S, f"processes of {self.name} to end")
        remove_tree(self.dir)
        for parent in self._parents() - self.parents_before:
            for group in sorted((p for p in parent.rglob("*") if p.is_dir()), reverse=True):
                group.rmdir()
            parent.rmdir()
        if mounts_below(self.dir) or self.dir.exists():
            raise RuntimeError(f"{self.name} left {self.dir} behind")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def common_flags(options):
    """Flags docker and podman share."""
    flags = []
    for key, flag in (("cpus", "--cpus"), ("cpu_shares", "--cpu-shares"), ("memory", "--memory")):
        value = options.pop(key, None)
        if value is not None:
            flags += [flag, str(value)]
    for key, flag in (("env", "-e"), ("labels", "--label"), ("annotations", "--annotation")):
        for name, value in (options.pop(key, None) or {}).items():
            flags += [flag, f"{name}={value}"]
    for host, inside in (options.pop("mounts", None) or {}).items():
        flags += ["-v", f"{host}:{inside}"]
    return flags + [str(a) for a in options.pop("args", ())]


class Docker(Runtime):
    name = "docker"
    cgroup_parents = ("docker",)
    before = ()
    network = ("--iptables=false", "--bridge=none")

    def start(self):
        self.socket = self.dir / "docker.sock"
        self.env = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.dir / "config")}
        for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"):
            self.env.pop(name, None)
        (self.dir / "daemon.json").write_text("{}")
        self.spawn(*self.before, tool("dockerd"), "--data-root", self.dir / "data", "--exec-root", self.dir / "exec", "--host",
                   f"unix://{self.socket}", "--pidfile", self.dir / "pid", "--config-file", self.dir / "daemon.json",
                   *self.network, "--ip6tables=false", "--exec-opt", "native.cgroupdriver=cgroupfs",
                   ready=lambda: self.socket.exists() and self.cli("info", check=False).returncode == 0)
        archive = self.dir / "rootfs.tar"
        run("tar", "-C", self.rootfs, "-cf", archive, ".")
        self.cli("import", archive, f"{IMAGE}:latest")
        archive.unlink()

    def cli(self, *command, **options):
        return run(tool("docker"), *command, env=self.env, **options)

    def create(self, name, command, options):
        network = options.pop("network", "none")
        identity = self.cli("run", "-d", f"--network={network}", "--name", name, *common_flags(options), IMAGE,
                            *command).stdout.strip()
        pid = int(self.cli("inspect", "-f", "{{.State.Pid}}", identity).stdout)
        return Container(self, identity, name, pid)

    def destroy(self, container):
        self.cli("rm", "-f", container.id)


class DockerNetwork(Docker):
    """With docker's own network: a bridge, rules that translate addresses, and (`proxy`) a program for each published port, which is
    used where the rules do not hold. The daemon lives in a network namespace of its own, so none of that is the machine's; `enter`
    goes before commands that are to run in it. Containers know the options network ("bridge", "container:ID") and publish
    ("127.0.0.1:8080:80")."""
    bridge = "fathom0"
    address = "172.31.77.1"
    setup = ("ip link set lo up && ip link add {0} type bridge && ip address add {1}/24 dev {0} && ip link set {0} up && "
             'exec "$@"').format(bridge, address)

    def __init__(self, proxy, base=None):
        self.network = (f"--bridge={self.bridge}", "--iptables=true", f"--userland-proxy={str(proxy).lower()}")
        for program in ("iptables", "docker-proxy"):
            tool(program)
        super().__init__(base)

    @property
    def before(self):
        return (tool("unshare"), "-n", "sh", "-c", self.setup, "sh")

    @property
    def enter(self):
        return ("nsenter", "-t", self.daemon.pid, "-n")

    def create(self, name, command, options):
        published = options.pop("publish", None)
        options.setdefault("network", "bridge")
        if published:
            options["args"] = (*options.get("args", ()), "-p", published)
        container = super().create(name, command, options)
        container.details["address"] = self.cli("inspect", "-f", "{{.NetworkSettings.IPAddress}}", container.id).stdout.strip()
        return container


class Podman(Runtime):
    name = "podman"
    cgroup_parents = ("libpod_parent",)

    def start(self):
        (self.dir / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = []\nnetns = "none"\n'
            '[engine]\nevents_logger = "file"\nlock_type = "file"\ncgroup_manager = "cgroupfs"\n')
        (self.dir / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{self.dir}/run"\ngraphroot = "{self.dir}/graph"\n')
        self.env = {**os.environ, "CONTAINERS_CONF": str(self.dir / "containers.conf"),
                    "CONTAINERS_STORAGE_CONF": str(self.dir / "storage.conf")}
        archive = self.dir / "rootfs.tar"
        run("tar", "-C", self.rootfs, "-cf", archive, ".")
        self.cli("import", archive, f"{IMAGE}:latest")
        archive.unlink()

    def cli(self, *command, **options):
        # crun of Debian 12 does not run on a hybrid hierarchy.
        oci = "crun" if cgroup_v2_only() and shutil.which("crun") else "runc"
        return run(tool("podman"), "--root", self.dir / "graph", "--runroot", self.dir / "run", "--tmpdir",
                   self.dir / "tmp", "--runtime", tool(oci), "--cgroup-manager=cgroupfs", *command, env=self.env,
                   **options)

    def create(self, name, command, options):
        identity = self.cli("run", "-d", "--name", name, *common_flags(options), IMAGE, *command).stdout.strip()
        pid = int(self.cli("inspect", "-f", "{{.State.Pid}}", identity).stdout)
        return Container(self, identity, name, pid)

    def destroy(self, container):
        self.cli("rm", "-f", "-t", "0", container.id)


class Containerd(Runtime):
    """Plain containerd driven by ctr, in the namespace and with the annotations and labels that Kubernetes' CRI uses:
    options pod, pod_namespace and container set those."""
    name = "containerd"
    cgroup_parents = ("kubepods", "k8s.io", "default")
    namespace = "k8s.io"

    def start(self):
        self.socket = self.dir / "containerd.sock"
        config = self.dir / "config.toml"
        config.write_text(f'version = 2\nroot = "{self.dir}/root"\nstate = "{self.dir}/state"\n'
                          'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                          f'[grpc]\naddress = "{self.socket}"\n[ttrpc]\naddress = "{self.socket}.ttrpc"\n')
        self.spawn(tool("containerd"), "-c", config,
                   ready=lambda: self.socket.exists() and self.cli("version", check=False).returncode == 0)

    def cli(self, *command, namespace=None, **options):
        return run(tool("ctr"), "-a", self.socket, "-n", namespace or self.namespace, *command, **options)

    def create(self, name, command, options):
        namespace = options.pop("namespace", self.namespace)
        pod, app = options.pop("pod", None), options.pop("container", None)
        labels = dict(options.pop("labels", None) or {})
        annotations = dict(options.pop("annotations", None) or {})
        if pod:
            space = options.pop("pod_namespace", "default")
            uid = options.pop("pod_uid", secrets.token_hex(16))
            labels |= {"io.cri-containerd.kind": "container", "io.kubernetes.pod.name": pod,
                       "io.kubernetes.pod.namespace": space, "io.kubernetes.pod.uid": uid,
                       "io.kubernetes.container.name": app or name}
            annotations |= {"io.kubernetes.cri.container-type": "container",
                            "io.kubernetes.cri.sandbox-name": pod, "io.kubernetes.cri.sandbox-namespace": space,
                            "io.kubernetes.cri.sandbox-uid": uid, "io.kubernetes.cri.container-name": app or name,
                            "io.kubernetes.cri.image-name": f"{IMAGE}:latest"}
            options.setdefault("cgroup", f"/kubepods/besteffort/pod{uid}/{name}")
        flags = []
        for key, value in labels.items():
            flags += ["--label", f"{key}={value}"]
        for key, value in annotations.items():
            flags += ["--annotation", f"{key}={value}"]
        for key, value in {"PATH": "/bin", **(options.pop("env", None) or {})}.items():
            flags += ["--env", f"{key}={value}"]
        for host, inside in (options.pop("mounts", None) or {}).items():
            flags += ["--mount", f"type=bind,src={host},dst={inside},options=rbind:rw"]
        if (cgroup := options.pop("cgroup", None)) is not None:
            flags += ["--cgroup", cgroup]
        if (cpus := options.pop("cpus", None)) is not None:
            flags += ["--cpu-quota", str(int(cpus * PERIOD_US)), "--cpu-period", str(PERIOD_US)]
        if (shares := options.pop("cpu_shares", None)) is not None:
            flags += ["--cpu-shares", str(shares)]
        flags += [str(a) for a in options.pop("args", ())]
        self.cli("run", "-d", "--null-io", "--rootfs", *flags, self.rootfs, name, *command, namespace=namespace)
        return Container(self, name, name, self._pid(name, namespace), {"namespace": namespace})

    def _pid(self, identity, namespace):
        for line in self.cli("tasks", "ls", namespace=namespace).stdout.splitlines()[1:]:
            fields = line.split()
            if fields[0] == identity:
                return int(fields[1])
        raise RuntimeError(f"containerd has no task {identity}")

    def destroy(self, container):
        namespace = container.details["namespace"]
        self.cli("tasks", "kill", "-s", "9", container.id, namespace=namespace, check=False)
        wait_for(lambda: self.cli("tasks", "rm", container.id, namespace=namespace, check=False).returncode == 0,
                 STOP_DEADLINE_S, f"task {container.id} to end")
        self.cli("containers", "rm", container.id, namespace=namespace)


class Runc(Runtime):
    name = "runc"
    program = "runc"
    cgroup_parents = ()

    def start(self):
        leftovers.sweep()
        self.cgroup_parents = (leftovers.name_of_mine("test", self.suffix),)
        self.parents_before = set()

    def cli(self, *command, **options):
        return run(tool(self.program), "--root", self.dir / "state", *command, **options)

    def create(self, name, command, options):
        bundle = self.dir / f"bundle-{name}"
        bundle.mkdir()
        self.cli("spec", cwd=bundle)
        spec = json.loads((bundle / "config.json").read_text())
        spec["process"].update(args=command, terminal=False, rlimits=[])
        spec["process"]["env"] += [f"{k}={v}" for k, v in (options.pop("env", None) or {}).items()]
        spec["root"] = {"path": str(self.rootfs), "readonly": False}
        spec["annotations"] = dict(options.pop("annotations", None) or {})
        spec["linux"]["cgroupsPath"] = options.pop("cgroup", None) or f"/{self.cgroup_parents[0]}/{name}"
        spec["mounts"] += [{"destination": inside, "type": "bind", "source": str(host), "options": ["rbind", "rw"]}
                           for host, inside in (options.pop("mounts", None) or {}).items()]
        cpu = spec["linux"].setdefault("resources", {}).setdefault("cpu", {})
        if (cpus := options.pop("cpus", None)) is not None:
            cpu |= {"quota": int(cpus * PERIOD_US), "period": PERIOD_US}
        if (shares := options.pop("cpu_shares", None)) is not None:
            cpu["shares"] = shares
        (bundle / "config.json").write_text(json.dumps(spec))
        # The container keeps its parent's streams, so they must not be a pipe somebody reads to its end.
        with open(bundle / "log", "wb") as log:
            status = subprocess.run([tool(self.program), "--root", str(self.dir / "state"), "run", "-d", "--bundle",
                                     str(bundle), name], stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=STOP_S)
        if status.returncode != 0:
            raise RuntimeError(f"{self.program} run: {(bundle / 'log').read_text(errors='replace')}")
        return Container(self, name, name, json.loads(self.cli("state", name).stdout)["pid"])

    def destroy(self, container):
        self.cli("delete", "-f", container.id)


class Crun(Runc):
    name = "crun"
    program = "crun"


RUNTIMES = {kind.name: kind for kind in (Docker, Podman, Containerd, Runc, Crun)}
