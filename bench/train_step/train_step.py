#!/usr/bin/env python3
"""LoRA steps of Athanor against PyTorch + transformers + PEFT: tokens/s and peak memory.

    train_step.py ATHANOR MODEL_FOLDER --torch-python VENV/bin/python [--rounds 3] [--steps 3]

A round runs every contestant for a few steps, one after another, so that other load on the machine
meets all of them; the first step of a run (buffers, compilation) is not counted. Both sides train the
same row of 512 random tokens, and must agree in their first loss. Reported are the median of the
wall time of a step, its CPU time, which other load disturbs much less (the peer counts it; Athanor's
is that of the whole run less that of a run of a single step), peak resident memory, and the median over the
rounds of the ratios of Athanor to the peer.
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOKENS = 512


def write_rows(path, vocabulary):
    rng = random.Random(1)
    row = json.dumps({"input_ids": [rng.randrange(17, vocabulary) for _ in range(TOKENS)]})
    path.write_text((row + "\n") * 8, encoding="utf-8")


def measured(command, environment):
    """Output, CPU seconds and peak KiB of one command."""
    # Files, not pipes: nobody reads while wait4 waits.
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, text=True,
                                   env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if process.returncode != 0:
        raise SystemExit(f"{command} failed:\n{text}")
    return text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def athanor(arguments, rows, dtype, steps, folder):
    command = [arguments.athanor, "train", str(HERE / "config.yaml"),
               f"model_name_or_path={arguments.model}", f"dataset={rows}", f"output_dir={folder}",
               f"bf16={'true' if dtype == 'bfloat16' else 'false'}",
               f"threads={arguments.threads}", f"max_steps={steps}"]
    _, cpu, rss = measured(command, {})
    with open(folder / "trainer_log.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    lines = [line for line in lines if "step_ms" in line]
    return {"seconds": [line["step_ms"] / 1e3 for line in lines],
            "losses": [line["loss"] for line in lines], "cpu": cpu, "rss_kib": rss}


def torch(arguments, rows, dtype, mode, steps):
    command = [arguments.torch_python, str(HERE / "torch_peer.py"), str(arguments.model), str(rows),
               "--dtype", dtype, "--mode", mode, "--steps", str(steps),
               "--threads", str(arguments.threads)]
    # Threads that wait asleep: spinning ones would also be counted as CPU time, and take the
    # cores from other load's time slices to nobody's gain.
    text, cpu, _ = measured(command, {"OMP_WAIT_POLICY": "PASSIVE"})
    result = json.loads(text.strip().splitlines()[-1])
    return {**result, "cpu": cpu, "cpu_step": statistics.median(result["cpu_seconds"][1:] or [0])}


def run(arguments, rows, contestant, dtype, steps, folder):
    if contestant == "athanor":
        return athanor(arguments, rows, dtype, steps, folder)
    return torch(arguments, rows, dtype, contestant, steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("athanor")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--torch-python", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--modes", nargs="*", default=["eager", "compile"])
    arguments = parser.parse_args()
    if arguments.steps < 2:
        parser.error("--steps: needed are 2 or more, since the first is not counted")
    config = json.loads((arguments.model / "config.json").read_text(encoding="utf-8"))
    contestants = ["athanor", *arguments.modes]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rows = folder / "rows.jsonl"
        write_rows(rows, config["vocab_size"])
        for dtype in arguments.dtypes:
            start = athanor(arguments, rows, dtype, 1, folder / "out")["cpu"]
            for number in range(arguments.rounds):
                for contestant in contestants:
                    result = run(arguments, rows, contestant, dtype, arguments.steps, folder / "out")
                    result["step"] = statistics.median(result["seconds"][1:])
                    if contestant == "athanor":
                        result["cpu_step"] = (result["cpu"] - start) / (arguments.steps - 1)
                    results.setdefault((dtype, contestant), []).append(result)
                    print(f"round {number + 1} {dtype} {contestant}: {result['step']:.2f} s, "
                          f"{result['cpu_step']:.2f} CPU s a step, loss {result['losses'][0]:.4f}, "
                          f"load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    report(arguments, results, contestants)


def report(arguments, results, contestants):
    print(f"\n{time.strftime('%Y-%m-%d %H:%M')}, load {os.getloadavg()[0]:.1f}, "
          f"{arguments.threads} threads")
    print("| dtype | | tokens/s | CPU s a step | peak MiB | time, Athanor / peer | CPU, Athanor / peer |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for dtype in arguments.dtypes:
        ours = results[dtype, "athanor"]
        for contestant in contestants:
            theirs = results[dtype, contestant]
            if abs(theirs[0]["losses"][0] / ours[0]["losses"][0] - 1) > 0.01:
                raise SystemExit(f"{dtype} {contestant}: first loss {theirs[0]['losses'][0]}, "
                                 f"Athanor's is {ours[0]['losses'][0]}: not the same work")
            if contestant == "athanor":
                ratios = ("", "")
            else:
                ratios = tuple(
                    f"{statistics.median(a[key] / b[key] for a, b in zip(ours, theirs)):.2f}"
                    for key in ("step", "cpu_step"))
            print(f"| {dtype} | {contestant} "
                  f"| {TOKENS / statistics.median(r['step'] for r in theirs):.0f} "
                  f"| {statistics.median(r['cpu_step'] for r in theirs):.2f} "
                  f"| {max(r['rss_kib'] for r in theirs) / 1024:.0f} | {ratios[0]} | {ratios[1]} |")


if __name__ == "__main__":
    main()
