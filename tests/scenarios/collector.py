# SPDX-License-Identifier: Apache-2.0
"""A Java program that keeps most of its small heap alive and makes new objects all the time."""
import os
import shutil
from pathlib import Path

from runtimes import PROGRAMS
from support import run, wait_for

TRUTH = {"garbage": "garbage collection"}
NEEDS = ["java", "javac"]
QUIET = True  # when others want the CPUs its many threads wait for those, too
SYSTEM = {path: path for path in ("/usr", "/lib", "/lib64", "/etc/java-17-openjdk") if Path(path).exists()}


def setup(stage):
    classes = stage.docker.dir / "classes"
    run("javac", "-d", classes, PROGRAMS / "Garbage.java", timeout=120)
    stage.run("garbage", os.path.realpath(shutil.which("java")), "-Xmx24m", "-XX:+UseParallelGC", "-cp", "/srv", "Garbage",
              "14", mounts={**SYSTEM, str(classes): "/srv"})
    wait_for(lambda: stage.is_ready("garbage"), 60, "the Java program to begin")
