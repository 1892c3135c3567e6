#!/usr/bin/env python3
"""Loads an adapter written by Athanor with transformers + PEFT and compares logits.

Exit code 0: within tolerance; 1: above it, or shapes or adapter tensors differ; 2: command line.

    python check_adapter_with_peft.py BASE ADAPTER --ids ids.json --logits logits.safetensors
        [--tensor logits] [--dtype float32] [--atol 1e-4] [--rtol 1e-4] [--no-adapter]

--ids: JSON, one list of token ids or a list of such lists, as text or as a file.
--logits: .safetensors, .npy or .json; [T, V] for one list, [B, T, V] for lists of equal length;
in a safetensors file also one tensor per list, named NAME.0, NAME.1, ... (NAME: --tensor).
"""

import argparse
import json
import pathlib
import sys

import numpy
import safetensors
import safetensors.torch
import torch
import transformers


def read_ids(text):
    path = pathlib.Path(text)
    ids = json.loads(text if text.lstrip().startswith("[") else path.read_text())
    return [ids] if ids and isinstance(ids[0], int) else ids


def read_logits(path, name, count):
    """One [T, V] float32 tensor per list of ids."""
    if path.suffix == ".safetensors":
        tensors = safetensors.torch.load_file(path)
        if f"{name}.0" in tensors:
            return [tensors[f"{name}.{i}"].float() for i in range(count)]
        if name not in tensors:
            sys.exit(f"{path}: no tensor {name!r} or {name + '.0'!r}, found {sorted(tensors)[:8]}")
        logits = tensors[name].float()
    elif path.suffix == ".npy":
        logits = torch.from_numpy(numpy.load(path)).float()
    else:
        value = json.loads(path.read_text())
        if isinstance(value[0][0], list):
            return [torch.tensor(rows, dtype=torch.float32) for rows in value]
        logits = torch.tensor(value, dtype=torch.float32)
    return list(logits) if logits.dim() == 3 else [logits]


def load_model(arguments):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.base, dtype=getattr(torch, arguments.dtype), attn_implementation="eager")
    if not arguments.no_adapter:
        import peft
        model = peft.PeftModel.from_pretrained(model, arguments.adapter)
        check_names(model, arguments.adapter)
    return model.eval()


def check_names(model, folder):
    """PEFT only warns about tensors that it misses or does not know; here that is a failure."""
    from peft import get_peft_model_state_dict
    expected = {n: tuple(t.shape) for n, t in get_peft_model_state_dict(model).items()}
    with safetensors.safe_open(folder / "adapter_model.safetensors", "pt") as file:
        found = {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}
    if expected != found:
        wrong = sorted(set(expected.items()) ^ set(found.items()))
        sys.exit(f"adapter tensors differ from what PEFT expects, {len(wrong)} in all: {wrong[0]}")


def compare(index, got, reference, atol, rtol):
    """Prints the errors of one sequence; true when max |difference| <= atol + rtol * max |ref|."""
    if got.shape != reference.shape:
        print(f"sequence {index}: logits have shape {list(got.shape)}, "
              f"PEFT gives {list(reference.shape)}")
        return False
    error, scale = (got - reference).abs().max().item(), reference.abs().max().item()
    same_choice = (got.argmax(-1) == reference.argmax(-1)).float().mean().item()
    good = error <= atol + rtol * scale  # false for NaN
    print(f"sequence {index}: max abs {error:.3e}, max rel {error / scale:.3e}, same argmax "
          f"{100 * same_choice:.1f} % {'' if good else 'ABOVE TOLERANCE'}".rstrip())
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", type=pathlib.Path, help="Hugging Face model folder")
    parser.add_argument("adapter", type=pathlib.Path, help="adapter folder written by Athanor")
    parser.add_argument("--ids", required=True, help="JSON text or file")
    parser.add_argument("--logits", type=pathlib.Path, required=True, help="written by Athanor")
    parser.add_argument("--tensor", default="logits", help="name inside a safetensors file")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float64"])
    parser.add_argument("--atol", type=float, default=1e-4)
    parser.add_argument("--rtol", type=float, default=1e-4)
    parser.add_argument("--no-adapter", action="store_true", help="compare the base alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    ids = read_ids(arguments.ids)
    logits = read_logits(arguments.logits, arguments.tensor, len(ids))
    if len(logits) != len(ids):
        sys.exit(f"{arguments.logits}: logits for {len(logits)} sequences, ids has {len(ids)}")
    model = load_model(arguments)
    good = True
    for index, (sequence, got) in enumerate(zip(ids, logits)):
        with torch.no_grad():
            reference = model(input_ids=torch.tensor([sequence])).logits[0].float()
        good = compare(index, got, reference, arguments.atol, arguments.rtol) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
