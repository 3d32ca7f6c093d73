"""The Docker engine: the one that runs, or one that we install and start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from ci import golang, host
from ci.cache import Cache, key
from ci.console import Failure, Step, console
from ci.pins import HERE
from ci.process import output, run

PACKAGES = ("docker.io", "containerd", "runc", "iptables")
START_SECONDS = 60
STOP_SECONDS = 60
INFO_SECONDS = 20
RUNTIME = "runc-wrapper"
PROGRAMS = HERE / "go" / "programs"

# Python complains of a child that is forgotten while it runs, which is what a daemon is for.
_daemons: list[subprocess.Popen[bytes]] = []


def ensure(cache: Cache | None = None) -> str:
    """Have a Docker engine that answers; as root on Debian one is installed and started.

    :returns: its version.
    :raises Failure: there is none and we may not, or cannot, start one.
    """
    cache = cache or Cache()
    version, problem = _version()
    if version:
        return version
    _check_startable(problem)
    with cache.lock("engine", "the start of the Docker engine"):
        version, problem = _version()
        if version:
            return version
        _install(cache)
        version, _ = _version()
        if not version:
            version = _start(cache)
    return version


def runs() -> bool:
    """Whether an engine answers; none is started."""
    return bool(_version()[0])


def _version() -> tuple[str, str]:
    """The version of the engine that answers, or "" and what the client said."""
    try:
        status, version, error = output(
            ["docker", "info", "--format", "{{.ServerVersion}}"], timeout_seconds=INFO_SECONDS
        )
    except Failure:
        return "", "not installed"
    if status or not version.strip():
        return "", error.strip()
    return version.strip(), ""


def _check_startable(problem: str) -> None:
    if "permission denied" in problem:
        raise Failure(
            "you may not use the Docker engine's socket; add yourself to the group docker (sudo usermod -aG docker"
            " $USER), log in again, and run the command again."
        )
    if address := os.environ.get("DOCKER_HOST"):
        raise Failure(f"no Docker engine answers at DOCKER_HOST={address}; start it or unset the variable.")
    if host.system() != "linux":
        raise Failure("no Docker engine runs; start Docker Desktop (or another engine) and run the command again.")
    if not host.is_root():
        raise Failure("no Docker engine runs; start it (sudo systemctl start docker) and run the command again.")
    if not host.is_debian():
        raise Failure(
            "no Docker engine runs and only Debian's packages are installed by this command; install Docker, start"
            " it, and run the command again."
        )


def install_packages(packages: tuple[str, ...], cache: Cache, step: Step) -> None:
    """Install Debian packages without asking anything.

    :raises Failure: apt-get failed, or its mirror cannot be reached.
    """
    log = cache.log("apt-get")
    what = f"installing {', '.join(packages)}"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    # Another apt-get, unattended upgrades most of all, is waited for instead of failed on.
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120"]
    try:
        run([*apt, "update"], step=step, log=log, what=what, env=quiet)
        run([*apt, "install", "-y", "--no-install-recommends", *packages], step=step, log=log, what=what, env=quiet)
    except Failure as failure:
        if any("Could not resolve" in line or "Unable to locate" in line for line in failure.tail):
            raise Failure(
                f"{what} failed because no Debian mirror can be reached; connect to a network that reaches one.",
                failure.log,
                failure.tail,
            ) from failure
        raise


def _install(cache: Cache) -> None:
    if shutil.which("dockerd") and shutil.which("docker"):
        return
    host.require_disk(Path("/var"), 2, "installing the Docker engine")
    with console.step("install the Docker engine from Debian's packages") as step:
        install_packages(PACKAGES, cache, step)


def wrapper(cache: Cache) -> Path:
    """The directory with the wrapper of runc for hosts without CAP_SYS_RESOURCE, and the pause program.

    :raises Failure: no Go, too old a Go, or a build that failed.
    """

    def build(folder: Path) -> None:
        with console.step("build the wrapper of runc") as step:
            golang.build(
                ["./runc-wrapper", "./pause"],
                module=PROGRAMS,
                into=folder,
                step=step,
                log=cache.log("build-programs"),
                what="building the wrapper of runc",
                system="linux",
            )

    return cache.make("programs", key(PROGRAMS, host.architecture()), build)


def _start(cache: Cache) -> str:
    with console.step("start the Docker engine") as step:
        if _has_systemd() and not host.lacks_sys_resource():
            run(["systemctl", "start", "docker"], step=step, log=cache.log("systemctl"), what="starting Docker")
            return _wait(step, None, cache.folder("logs") / "systemctl.log")
        folder = cache.folder("engine")
        log = folder / "dockerd.log"
        command = ["dockerd", "--pidfile", str(folder / "dockerd.pid")]
        if host.lacks_sys_resource():
            command += ["--add-runtime", f"{RUNTIME}={wrapper(cache) / 'runc-wrapper'}", "--default-runtime", RUNTIME]
        with log.open("ab") as sink:
            # A session of its own: the engine outlives this command and the terminal.
            daemon = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
            )
        _daemons.append(daemon)
        try:
            return _wait(step, daemon, log)
        except BaseException:
            daemon.terminate()
            raise


def _has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _wait(step: Step, daemon: subprocess.Popen[bytes] | None, log: Path) -> str:
    while step.elapsed_seconds < START_SECONDS:
        version, problem = _version()
        if version:
            return version
        step.progress(problem.splitlines()[-1] if problem else "")
        if daemon and daemon.poll() is not None:
            break
        time.sleep(0.3)
    raise Failure(
        "the Docker engine does not start; its log says why.", log, log.read_text(errors="replace").splitlines()[-15:]
    )


def stop(cache: Cache | None = None) -> bool:
    """Stop the engine that we started, unless containers run in it, which would stop with it. Says why it does not.

    :returns: whether it was stopped.
    :raises Failure: it does not end.
    """
    cache = cache or Cache()
    pid_file = cache.root / "engine" / "dockerd.pid"
    pid = _our_daemon(pid_file)
    if pid is None:
        console.say("no engine runs that was started from this cache; nothing is stopped")
        return False
    _, running, _ = output(["docker", "ps", "--format", "{{.Names}}"])
    if names := running.split():
        console.say(f"the Docker engine is left running for its containers: {', '.join(names)}")
        return False
    with console.step("stop the Docker engine") as step:
        os.kill(pid, signal.SIGTERM)
        while _our_daemon(pid_file) is not None:
            if step.elapsed_seconds > STOP_SECONDS:
                raise Failure(f"the Docker engine (process {pid}) does not end; end it with: kill -9 {pid}.")
            time.sleep(0.1)
    return True


def _our_daemon(pid_file: Path) -> int | None:
    """The process in a pid file, if it is a dockerd started with that file and not a later reuse of its number."""
    try:
        pid = int(pid_file.read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (OSError, ValueError):
        return None
    return pid if arguments[0].endswith("dockerd") and str(pid_file) in arguments else None
