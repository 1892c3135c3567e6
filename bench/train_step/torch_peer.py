#!/usr/bin/env python3
"""LoRA steps of PyTorch + transformers + PEFT, for train_step.py. Prints one line of JSON.

Rank 16 on all linear layers, AdamW, one row of tokens a step, every token a target. Frozen weights
and activations in the given dtype, the adapter in float32 for float32 and in bfloat16 for bfloat16
(what peft gives with autocast_adapter_dtype=False: the faster choice on a CPU).
"""

import argparse
import json
import resource
import time

import torch
import peft
import transformers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("data", help="JSONL of input_ids, one row a line")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    with open(arguments.data, encoding="utf-8") as file:
        rows = [torch.tensor([json.loads(line)["input_ids"]]) for line in file]
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.model, dtype=getattr(torch, arguments.dtype),
        attn_implementation=arguments.attention)
    model.config.use_cache = False
    config = peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", bias="none")
    model = peft.get_peft_model(model, config, autocast_adapter_dtype=False)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
    call = torch.compile(model) if arguments.mode == "compile" else model

    seconds, cpu_seconds, losses = [], [], []
    for step in range(arguments.steps):
        ids = rows[step % len(rows)]
        begin, cpu_begin = time.perf_counter(), time.process_time()
        loss = call(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)
        cpu_seconds.append(time.process_time() - cpu_begin)
    print(json.dumps({
        "seconds": seconds, "cpu_seconds": cpu_seconds, "losses": losses,
        "trained": sum(p.numel() for p in trained),
        "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "peft": peft.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}}))


if __name__ == "__main__":
    main()
