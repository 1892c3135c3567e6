#!/usr/bin/env python3
"""Tokens/s of `athanor generate` against what the memory's bandwidth allows.

    generate.py ATHANOR MODEL_FOLDER [--rounds 5] [--threads 2]

A token reads every weight once: bound = bandwidth / bytes of the weights. The bandwidth is that of
`athanor doctor`, taken anew in each round. The time of a token is that of a long run less that of a
short one, over the tokens between them; wall time, best of the rounds as the bandwidth's, and CPU
time, which other load disturbs less, as the median.
"""

import argparse
import json
import os
import pathlib
import statistics
import struct
import subprocess
import time

PROMPT = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"  # goes on for long without an end
SHORT, LONG = 4, 68


def weights(model):
    """Elements of the model; a tied embedding counts once, as the head reads it."""
    total = 0
    for path in model.glob("*.safetensors"):
        with open(path, "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        for name, tensor in header.items():
            if name != "__metadata__":
                elements = 1
                for extent in tensor["shape"]:
                    elements *= extent
                total += elements
    return total


def timed(arguments, tokens, extra):
    command = [arguments.athanor, "generate", str(arguments.model), "--prompt", PROMPT,
               "--max-new-tokens", str(tokens), "--threads", str(arguments.threads), *extra]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, text


def check_length(arguments, text):
    ids = json.loads(subprocess.run([arguments.athanor, "tokenize", str(arguments.model)],
                                    input=text[len(PROMPT):], capture_output=True, text=True,
                                    check=True).stdout)
    if len(ids) < LONG - 4:  # cut in other places, the text may have a few tokens less
        raise SystemExit(f"the text ended after {len(ids)} tokens, needed are {LONG}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("athanor")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    elements = weights(arguments.model)
    results, bandwidths = {}, []
    for _ in range(arguments.rounds):
        rates = json.loads(subprocess.run([arguments.athanor, "doctor", "--json"],
                                          capture_output=True, text=True, check=False).stdout)
        bandwidths.append(rates["rates"]["memory_bytes_per_second"])
        for dtype, size, extra in (("float32", 4, []), ("bfloat16", 2, ["--bf16"])):
            short = timed(arguments, SHORT, extra)
            long = timed(arguments, LONG, extra)
            check_length(arguments, long[2])
            results.setdefault((dtype, size), []).append(
                [(long[i] - short[i]) / (LONG - SHORT) for i in (0, 1)])
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, load {os.getloadavg()[0]:.1f}, "
          f"{arguments.threads} threads, {elements:,} weights, "
          f"doctor's copies {max(bandwidths) / 1e9:.1f} GB/s")
    print("| dtype | tokens/s | bound | share | CPU ms a token | GB/s of CPU time |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (dtype, size), times in results.items():
        bound = max(bandwidths) / (elements * size)
        rate = 1 / min(wall for wall, _ in times)
        cpu = statistics.median(cpu for _, cpu in times)
        print(f"| {dtype} | {rate:.1f} | {bound:.1f} | {100 * rate / bound:.0f} % "
              f"| {1e3 * cpu:.1f} | {elements * size / cpu / 1e9:.1f} |")


if __name__ == "__main__":
    main()
