#!/usr/bin/env python3
"""Planned against measured: peak memory and step time of six configurations.

    bench/plan_vs_measured/plan_vs_measured.py build/cpu/athanor

Each configuration is planned and trained for a few steps of a 26-million-parameter model with random
weights. Printed as a table of Markdown: peak bytes of a rank in the plan and in the run's allocator,
resident memory of the process (all ranks), floor time of a step at the rates that `--machine here`
measures, and the median time of a step but the first.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = [
    ("full, f32", ["finetuning_type=full"]),
    ("full, f32, recomputation full", ["finetuning_type=full", "gradient_checkpointing=full"]),
    ("LoRA, f32", ["finetuning_type=lora"]),
    ("LoRA, bf16", ["finetuning_type=lora", "bf16=true"]),
    ("full, f32, 2 ranks, stage 3", ["finetuning_type=full", "ranks=2", "zero.stage=3"]),
    ("full, f32, 2 ranks, stage 3, layer_major",
     ["finetuning_type=full", "ranks=2", "zero.stage=3", "zero.schedule=layer_major",
      "gradient_checkpointing=full"]),
]
COMMON = {
    "gradient_checkpointing": "none", "zero.schedule": "batch_major", "train_from_scratch": "true",
    "template": "chatml", "cutoff_len": "256", "packing": "true", "global_batch_size": "4",
    "per_device_train_batch_size": "1", "max_steps": "4", "logging_steps": "1", "threads": "1",
    "save_steps": "0", "overwrite_output_dir": "true",
}


def make_model(folder):
    source = ROOT / "examples/00_pretrain_tiny/model_init"
    shutil.copytree(source, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.update(hidden_size=512, intermediate_size=1536, num_hidden_layers=8,
                  num_attention_heads=8, num_key_value_heads=4)
    config.pop("head_dim", None)
    path.write_text(json.dumps(config))


def run(command):
    """Exit code, output, errors and the largest resident size in bytes."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        errors = err.read()
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{errors}")
        return out.read(), errors, usage.ru_maxrss * 1024


def mib(value):
    return f"{value / 2**20:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("athanor")
    parser.add_argument("--only", type=int, choices=range(1, len(CASES) + 1), help="one of them")
    arguments = parser.parse_args()
    program = arguments.athanor
    cases = CASES[arguments.only - 1:arguments.only] if arguments.only else CASES
    print("| configuration | plan MiB | allocator MiB | RSS MiB | floor ms | step ms | step / floor |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_model(folder / "model")
        config = folder / "config.yaml"
        config.write_text("")
        for name, settings in cases:
            keys = [f"model_name_or_path={folder / 'model'}", f"output_dir={folder / 'out'}",
                    f"dataset={ROOT / 'examples/01_first_lora/captain_ember.jsonl'}"]
            keys += [f"{key}={value}" for key, value in COMMON.items()] + settings
            plan = json.loads(run([program, "plan", str(config), "--json", *keys])[0])
            _, errors, rss = run([program, "train", str(config), *keys])
            allocated = int(re.search(r"memory: (\d+) bytes", errors).group(1))
            log = (folder / "out/trainer_log.jsonl").read_text().splitlines()
            steps = [json.loads(line)["step_ms"] for line in log if "step_ms" in line]
            step = statistics.median(steps[1:])
            planned = plan["ranks"][0]["tiers"]["device"]["peak_bytes"]
            floor = plan["step"]["floor_seconds"] * 1e3
            print(f"| {name} | {mib(planned)} | {mib(allocated)} | {mib(rss)} | {floor:.0f} | "
                  f"{step:.0f} | {step / floor:.2f} |", flush=True)


if __name__ == "__main__":
    main()
