# SPDX-License-Identifier: Apache-2.0
"""Scenarios: one file each, a load whose trouble is known. fathom diagnose has to say so.

A module has
  TRUTH   a dict: container (as named in setup) -> the verdict that must come first for it, or None: nothing may be found
  NOTES   optional dict: container -> what must be noted of it, though nothing is wrong
  CULPRIT optional dict: container -> whom that verdict must name (a name of setup, or "the host")
  FILES   True when files alone are enough
  QUIET   True when another load on the CPUs makes it another truth: left out of noisy variants
  ALONE   True when it loads the machine so much that others beside it would suffer
  NEEDS   optional: programs the machine must have; without them it is left out
  SECONDS optional: the least time to look
  setup(stage)  starts what it needs by stage.run(name, *command, **options of runtimes.py)

tests/containers/test_diagnose.py runs some of them at a time; ./dev bench diagnosis runs all, again and again."""
import importlib
import os
import pkgutil
import shutil
from pathlib import Path
from types import ModuleType

from support import run, wait_for

TROUBLE = "/bin/trouble"


def names():
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("test_"))


def lacks(scenario):
    """Programs a scenario needs and this machine has not."""
    return [name for name in getattr(scenario, "NEEDS", []) if not shutil.which(name)]


def load(name) -> ModuleType:
    return importlib.import_module(f"scenarios.{name}")


class Stage:
    """Containers by the names scenarios give them."""

    def __init__(self, docker, prefix=""):
        self.docker = docker
        self.prefix = prefix  # so that scenarios may use the same names at the same time
        self.containers = {}
        self.before = []  # what goes before the command that looks
        self.undo = []  # functions, called in reverse when the containers are gone

    def run(self, name, *command, **options):
        container = self.docker.run(self.prefix + name, *command, **options)
        self.containers[name] = container
        return container

    def inside(self, name, *command):
        """Runs a tool of the host in the container's network namespace."""
        run("nsenter", "-t", self.containers[name].pid, "-n", *command)

    def read(self, name, setting):
        """A number of /proc/sys/net/netfilter, of the container's network namespace."""
        pid = self.containers[name].pid
        return int(run("nsenter", "-t", pid, "-n", "cat", f"/proc/sys/net/netfilter/{setting}").stdout)

    def disk(self):
        """The device whose file system containers are on: a whole disk, as limits want it."""
        number = os.stat(self.docker.dir).st_dev
        device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
        return f"/dev/{device.parent.name if (device / 'partition').exists() else device.name}"

    def wait_ready(self, scenario):
        """Until those programs that say so have begun."""
        for short in self.containers:
            if f'"{short}", TROUBLE' in Path(scenario.__file__).read_text():
                wait_for(lambda s=short: self.is_ready(s), 60, f"{short} to begin")

    def is_ready(self, name):
        """Has its program said that it has begun?"""
        return "ready" in self.docker.cli("logs", self.containers[name].id, check=False).stdout

    def close(self):
        for container in self.containers.values():
            self.docker.rm(container)
        self.containers = {}
        while self.undo:
            self.undo.pop()()

    def name_of(self, short):
        return self.containers[short].name if short in self.containers else short


def first_verdict(report, name):
    """The first finding of a container, None when there is none."""
    return next((f for f in report["findings"] if f["container"] == name), None)


def has_note(report, name, note):
    return any(n["container"] == name and n["verdict"] == note for n in report["notes"])


def blames(found, name):
    """Does a finding name this culprit? Servers are named with their ports."""
    culprit = found["culprit"] or ""
    return culprit == name or culprit.startswith(f"{name} port ")
