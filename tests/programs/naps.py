# SPDX-License-Identifier: Apache-2.0
"""Blocks in three threads, each in its own way: a sleep, a lock (futex), a read from a pipe."""
import os
import threading
import time

bell = threading.Condition()
out_of, into = os.pipe()


def nap_asleep():
    while True:
        time.sleep(0.005)
        with bell:
            bell.notify()
        os.write(into, b"x")


def nap_on_lock():
    while True:
        with bell:
            bell.wait()


def nap_on_pipe():
    while True:
        os.read(out_of, 1)


for nap in (nap_on_lock, nap_on_pipe):
    threading.Thread(target=nap, daemon=True).start()
nap_asleep()
