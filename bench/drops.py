#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the programs of fathom drops take for each dropped packet, those of fathom connections --all-sockets for each
datagram and for each packet that is none; in a network namespace of their own, by the kernel's own statistics."""
import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import support  # noqa: E402
from dns import NAMESPACE, compiled, run_time  # noqa: E402

PORT = 5999


def datagrams(seconds):
    """To a port where nobody listens: each is dropped (and answered, where somebody is connected)."""
    sender, end, sent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(100):
            sender.sendto(b"x" * 64, ("127.0.0.1", PORT))
        sent += 100
    return sent / seconds


def received(seconds):
    """The same to a socket that takes them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", PORT))
        return datagrams(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-s", "--seconds", type=float, default=3)
    options = parser.parse_args()
    if NAMESPACE not in os.environ:
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], {**os.environ, NAMESPACE: "1"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    fathom = str(support.fathom_binary())
    with tempfile.TemporaryDirectory() as directory:
        talker = compiled(directory, "tcpload")

        def talk():
            with subprocess.Popen([talker, "serve", "127.0.0.1", "7000"], stdout=subprocess.DEVNULL) as server:
                time.sleep(0.2)
                subprocess.run([talker, "connect", "127.0.0.1", "7000", "20000"], check=True, capture_output=True)
                server.kill()

        for name, command, load in (
                ("a dropped packet", ("drops", "-d", "600"), lambda: datagrams(options.seconds)),
                ("a datagram, one end", ("connections", "--all-sockets", "-d", "600"),
                 lambda: received(options.seconds)),
                ("a packet, alone", ("connections", "-d", "600"), talk),
                ("a packet, all sockets", ("connections", "--all-sockets", "-d", "600"), talk)):
            ns, runs, rate = run_time([fathom, *command], load)
            print(f"{name:24}{ns / max(runs, 1):8.0f} ns a run, {runs} runs" + (f", {rate:.0f}/s" if rate else ""))


if __name__ == "__main__":
    main()
