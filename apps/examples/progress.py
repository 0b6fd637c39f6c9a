#!/usr/bin/env python3
"""A loop with a bar that shows how far it is (python3-tqdm), as in a notebook: the work is done in other processes, and results
come in the order in which they are there.

    python3 apps/examples/progress.py [HOW_MANY]
"""
import concurrent.futures
import sys
import zlib

import ropewalk
from tqdm import tqdm


def score(number: int) -> int:
    return zlib.crc32(str(number).encode() * 1000)


def main(count: int) -> None:
    with ropewalk.Executor(2) as pool:
        futures = [pool.submit(score, number) for number in range(count)]
        best = 0
        for future in tqdm(concurrent.futures.as_completed(futures), total=count, unit="calls"):
            best = max(best, future.result())
    print(f"the best of {count}: {best}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
