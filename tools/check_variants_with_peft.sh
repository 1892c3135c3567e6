#!/usr/bin/env bash
# Trains each variant of LoRA for a few steps on a golden model, as users ask for it in a config, and
# compares the adapter's logits with PEFT's. Usage: check_variants_with_peft.sh ATHANOR PYTHON
# PYTHON has torch, transformers, peft and safetensors.
set -euo pipefail

athanor=$(realpath "$1")
python=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ids='[3, 16, 55, 41, 7, 28]'

check() {  # check NAME MODEL [key=value ...]
  local name=$1 model=$root/tests/golden/$2
  shift 2
  printf 'model_name_or_path: %s\ndataset: %s\n' "$model" "$model/data.jsonl" >"$work/$name.yaml"
  "$athanor" train "$work/$name.yaml" output_dir="$work/$name" max_steps=5 cutoff_len=32 \
    learning_rate=2e-2 lora_rank=3 ranks=2 zero.stage=3 global_batch_size=4 threads=1 "$@" >"$work/log" 2>&1 ||
    { cat "$work/log"; return 1; }
  "$athanor" generate "$model" --adapter "$work/$name" --logits-of "$ids" \
    --logits-file "$work/$name.safetensors" >"$work/log" 2>&1 || { cat "$work/log"; return 1; }
  echo "$name: $*"
  "$python" "$root/tools/check_adapter_with_peft.py" "$model" "$work/$name" --ids "$ids" \
    --logits "$work/$name.safetensors" --atol 2e-5 --rtol 2e-5 2>/dev/null
}

check plain llama_tied
check pattern llama_untied 'lora_target=.*\.layers\.\d+\.(self_attn\.[qv]|mlp\.up)_proj' use_rslora=true \
  'rank_pattern={"1.self_attn.q_proj": 7}' 'alpha_pattern={"v_proj": 5}'
check saved_both llama_tied lora_target=q_proj,v_proj additional_target=embed_tokens,lm_head
check saved_head llama_tied lora_target=q_proj,v_proj additional_target=lm_head
check saved_embedding llama_tied lora_target=q_proj additional_target=embed_tokens
check saved_untied llama_untied lora_target=up_proj additional_target=embed_tokens,lm_head,norm,o_proj
check dora qwen2 use_dora=true
check dora_pattern llama_tied use_dora=true use_rslora=true 'rank_pattern={"down_proj": 5}' additional_target=lm_head
