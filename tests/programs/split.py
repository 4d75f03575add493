# SPDX-License-Identifier: Apache-2.0
"""Burns CPU in functions whose shares are known: 70, 20 and 10 per cent of the steps, reached in every way one Python
function can reach another. `split.py WAY [SECONDS]`; ways: call, sorted, map, generator, asyncio, deep (or deep30), eval,
mixed (most of them in turn), naps (sleeps instead), threads, fork (children that live for half a second).
When all is imported and the burning begins it goes to its own directory, which can be seen from outside."""
import asyncio
import os
import sys
import threading
import time

STEPS = 400


def burn(units):
    for _ in range(units):
        total = 0
        for step in range(STEPS):
            total += step * step


def seventy(_=1):
    burn(7)
    return 7


def twenty(_=1):
    burn(2)
    return 2


def ten(_=1):
    burn(1)
    return 1


PARTS = (seventy, twenty, ten)


def by_call():
    for part in PARTS:
        part()


def by_sorted():
    """From C: the key function of sorted()."""
    sorted(range(3), key=lambda number: PARTS[number]())


def by_map():
    """From C: two levels of map(), consumed by sum()."""
    sum(map(lambda part: sum(map(part, (1,))), PARTS))


def parts_in_turn():
    for part in PARTS:
        yield part()


def by_generator():
    for _ in parts_in_turn():
        pass


async def part_later(part):
    await asyncio.sleep(0)
    return part()


async def all_later():
    for part in PARTS:
        await part_later(part)


async def all_later_often():
    for _ in range(50):
        await asyncio.gather(all_later(), all_later())


def by_asyncio():
    asyncio.run(all_later_often())


def by_deep(depth=60):
    if depth > 0:
        return by_deep(depth - 1)
    return by_call()


def by_eval():
    """Code objects that live for a moment, each in the place of the one before."""
    for part in ("seventy", "twenty", "ten"):
        eval(compile(f"{part}()", f"<made for {part}>", "eval"))


def nap_long():
    time.sleep(0.007)


def nap_short():
    time.sleep(0.003)


def by_naps():
    """Blocked 70 and 30 per cent of the time, through the same functions of C."""
    nap_long()
    nap_short()


def by_mixed():
    by_call()
    by_sorted()
    by_map()
    by_generator()
    by_eval()


def loop(way, end):
    while time.monotonic() < end:
        way()


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 600
    end = time.monotonic() + seconds
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    if sys.argv[1] == "fork":
        while time.monotonic() < end:
            child = os.fork()
            if child == 0:
                loop(by_call, time.monotonic() + 0.5)
                os._exit(0)
            os.waitpid(child, 0)
    elif sys.argv[1] == "threads":
        threads = [threading.Thread(target=loop, args=(by_call, end), name=f"worker{n}") for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    elif sys.argv[1][:4] == "deep" and sys.argv[1] != "deep":
        loop(lambda: by_deep(int(sys.argv[1][4:]) - 5), end)  # main, loop and so on are frames, too
    else:
        loop(globals()["by_" + sys.argv[1]], end)


main()
