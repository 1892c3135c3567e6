#!/usr/bin/env python3
"""Writes the goldens of LoRA's variants: adapters that PEFT made for the base models beside this
file, and what training them must give. As make_llama_goldens.py, without a full fine-tune.

    python make_variant_goldens.py [--output DIR] [lora_pattern lora_saved_tied ...]
"""

import argparse
import copy
import importlib
import json
import pathlib
import shutil

import peft
import safetensors.torch
import torch
import transformers

import make_family_goldens as families
import make_llama_goldens as base

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# name: (base model, seed, keys of PEFT's LoraConfig)
VARIANTS = {
    "lora_pattern": ("llama_untied", 41, dict(
        r=4, lora_alpha=8, use_rslora=True,
        target_modules=r"model\.layers\.\d+\.(self_attn\.[qvo]_proj|mlp\.(up|down)_proj)",
        rank_pattern={r"layers\.1\.self_attn\.q_proj": 7, "down_proj": 3},
        alpha_pattern={"v_proj": 5, r"^model\.layers\.0\.mlp\.up_proj": 20})),
    "lora_saved_tied": ("llama_tied", 42, dict(
        r=3, lora_alpha=6, target_modules=["q_proj", "v_proj"],
        modules_to_save=["embed_tokens", "lm_head"], ensure_weight_tying=True)),
    "lora_saved_head": ("llama_tied", 43, dict(
        r=3, lora_alpha=6, target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"])),
    "lora_saved_embedding": ("llama_tied", 44, dict(
        r=3, lora_alpha=6, target_modules=["q_proj", "v_proj"], modules_to_save=["embed_tokens"])),
    "lora_saved_norms": ("llama_untied", 45, dict(
        r=3, lora_alpha=6, target_modules=["up_proj"], modules_to_save=["norm", "o_proj"])),
    "lora_dora": ("qwen2", 46, dict(r=4, lora_alpha=8, use_dora=True, target_modules=ALL)),
}


def key_of(name):
    """A parameter's name as adapter_model.safetensors has it."""
    return (name.replace(".modules_to_save.default.", ".")
            .replace("lora_magnitude_vector.default.weight", "lora_magnitude_vector")
            .replace(".default.", "."))


def true_float64(model_name):
    if model_name not in families.MODELS:
        return base.true_float64()
    module_name, prefix = families.MODELS[model_name][:2]
    return families.true_float64(importlib.import_module(
        f"transformers.models.{module_name}.modeling_{module_name}"), prefix)


def load_base(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()


def make_adapter(model, model_name, seed, values):
    torch.manual_seed(seed)
    model.name_or_path = model_name
    config = peft.LoraConfig(lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
                             **copy.deepcopy(values))
    wrapped = peft.get_peft_model(model, config)
    with torch.no_grad():  # nothing that is trained stays where it began
        for name, parameter in wrapped.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(0.0, 0.05)
            elif "lora_magnitude_vector" in name:
                parameter.mul_(1.0 + 0.1 * torch.randn_like(parameter))
            elif ".modules_to_save." in name:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return wrapped.eval()


def save_adapter(folder, wrapped, values):
    wrapped.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for key in ("target_modules", "modules_to_save"):  # PEFT writes sets and what it added itself
        wanted = values.get(key)
        config[key] = sorted(wanted) if isinstance(wanted, list) else wanted
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def run_precision(model_folder, adapter_folder, samples, order, dtype):
    model = load_base(model_folder).to(dtype)
    wrapped = peft.PeftModel.from_pretrained(
        model, adapter_folder, is_trainable=True, autocast_adapter_dtype=False).to(dtype).eval()
    tensors = {f"logits.adapter.{i}": logits
               for i, logits in enumerate(base.two_logits(wrapped, samples))}
    trained = [(n, p) for n, p in wrapped.named_parameters() if p.requires_grad]
    decays = not any("norm" in name for name, _ in trained)
    named = [(key_of(n), p) for n, p in trained]
    log, gradients = base.train(wrapped, named, samples, order, base.LORA_RUN, decays)
    tensors.update({f"lora.grad.{n}": g for n, g in gradients.items()})
    tensors.update({f"lora.final.{n}": p.detach() for n, p in named})
    return tensors, log


def make_goldens(name, root):
    model_name, seed, values = VARIANTS[name]
    model_folder, folder = pathlib.Path(__file__).parent / model_name, root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_adapter(folder / "adapter", make_adapter(load_base(model_folder), model_name, seed, values),
                 values)
    samples = [json.loads(line) for line in open(model_folder / "data.jsonl")]
    order = base.step_order()
    arguments = (model_folder, folder / "adapter", samples, order)
    tensors32, log32 = run_precision(*arguments, torch.float32)
    with true_float64(model_name):
        tensors64, log64 = run_precision(*arguments, torch.float64)
    safetensors.torch.save_file(
        {n: t.float().contiguous().clone() for n, t in tensors64.items()},
        folder / "expected.safetensors", {"format": "pt"})
    expected = {
        "format": 1,
        "base": model_name,
        "versions": {"torch": torch.__version__.split("+")[0], "peft": peft.__version__,
                     "transformers": transformers.__version__},
        "samples_for_logits": [0, 1],
        "micro_batches": order,
        "lora": {"optimizer": base.LORA_RUN, "steps": base.STEPS, **log32,
                 "losses64": log64["losses"], "grad_norms64": log64["grad_norms"],
                 "float32_error": {key: base.log_difference(log32, log64, key)
                                   for key in ("losses", "grad_norms")}},
        "float32_error": base.differences(tensors32, tensors64),
    }
    (folder / "expected.json").write_text(base.to_json(expected))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("names", nargs="*", help=f"which of {', '.join(VARIANTS)} (default: all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in arguments.names or VARIANTS:
        make_goldens(name, arguments.output)
        print(f"{name}: written to {arguments.output / name}", flush=True)


if __name__ == "__main__":
    main()
