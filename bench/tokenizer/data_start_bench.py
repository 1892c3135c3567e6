#!/usr/bin/env python3
"""How long a data set takes to be ready, cold and from the cache, in turns.

    bench/tokenizer/data_start_bench.py ATHANOR MODEL [--samples 100000] [--rounds 3] [--threads 1 2]

MODEL has a config.json, a tokenizer and a chat template (or give --template). The set is made here:
conversations of two turns of words drawn from a seed, about 200 tokens each. Each round runs `athanor data`
three ways, on the same file: without a cache, with an empty one, with the one just filled. Printed are medians
of wall-clock seconds / CPU seconds of the whole command, start and report included.
"""
import argparse
import json
import pathlib
import random
import resource
import shutil
import statistics
import subprocess
import tempfile
import time

SYLLABLES = [a + b for a in "bcdfghjklmnprstvw" for b in ("a", "e", "i", "o", "u", "en", "ar", "ing", "ed")]


def make_set(path, samples):
    rng = random.Random(1)
    words = ["".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 3))) for _ in range(20000)]
    weights = [1 / (i + 1) for i in range(len(words))]
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(samples):
            def text(low, high):
                return " ".join(rng.choices(words, weights, k=rng.randint(low, high))).capitalize() + "."
            json.dump({"messages": [{"role": "user", "content": text(5, 40)},
                                    {"role": "assistant", "content": text(20, 120)}]}, file)
            file.write("\n")


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("athanor")
    parser.add_argument("model")
    parser.add_argument("--template", default="chatml")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_set(folder / "set.jsonl", arguments.samples)
        config = folder / "config.yaml"
        config.write_text(json.dumps({
            "model_name_or_path": str(pathlib.Path(arguments.model).resolve()), "cutoff_len": 2048,
            "dataset": str(folder / "set.jsonl"), "packing": True, "template": arguments.template,
            "output_dir": str(folder / "out")}))
        print("| threads | no cache s | filling the cache s | from the cache s | tokens |")
        print("| --- | --- | --- | --- | --- |")
        for threads in arguments.threads:
            times = {"off": [], "miss": [], "hit": []}
            for _ in range(arguments.rounds):
                shutil.rmtree(folder / "cache", ignore_errors=True)
                for use in times:
                    place = "none" if use == "off" else str(folder / "cache")
                    begin = time.perf_counter()
                    used = cpu_seconds()
                    out = subprocess.run(
                        [arguments.athanor, "data", str(config), "--json", "--samples", "0",
                         f"data_cache={place}", f"preprocessing_num_workers={threads}"],
                        check=True, stdout=subprocess.PIPE).stdout
                    times[use].append((time.perf_counter() - begin, cpu_seconds() - used))
                    report = json.loads(out)
                    assert report["cache"]["use"] == use, report["cache"]
            cells = [" / ".join(f"{statistics.median(column):.2f}" for column in zip(*times[use]))
                     for use in times]
            print(f"| {threads} | " + " | ".join(cells) + f" | {report['tokens']} |", flush=True)


if __name__ == "__main__":
    main()
