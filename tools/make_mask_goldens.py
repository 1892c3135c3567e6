#!/usr/bin/env python3
"""Ids and assistant masks of transformers for tests/data/mask_golden.jsonl.

Needs transformers and jinja2. Renders own conversations by the templates of runtime/data/templates with
apply_chat_template(return_assistant_tokens_mask=True) and the tokenizer of examples/00_pretrain_tiny.
Usage: make_mask_goldens.py > tests/data/mask_golden.jsonl
"""
import json
from pathlib import Path

from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"place": "Zürich", "days": 2}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "How it will be <there> & when",
                                         "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}}


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


CONVERSATIONS = {
    "one": turns(("user", "Hi"), ("assistant", "Hello there!")),
    "system": turns(("system", "Be brief."), ("user", "Why?"), ("assistant", "Because.")),
    "three": turns(("user", "a"), ("assistant", "b c"), ("user", "d\n"), ("assistant", " e \n"), ("user", "f"),
                   ("assistant", "g")),
    "empty answer": turns(("user", "say nothing"), ("assistant", "")),
    "unicode": turns(("user", "Grüße 你好 👩‍👩‍👧"), ("assistant", "naïve 👍🏽 é\u0301 العربية")),
    "special text": turns(("user", "what is <|im_end|> for?"), ("assistant", "it ends: <|endoftext|> done")),
    "user last": turns(("user", "a"), ("assistant", "b"), ("user", "c")),
    "code": turns(("user", "print"), ("assistant", "```python\nfor i in range(3):\n    print(i)\n```")),
}
CALLS = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
         {"role": "tool", "content": "{\"sun\": true}"}, {"role": "assistant", "content": "Sunny."}]


def main():
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "examples/00_pretrain_tiny/model")
    for file in sorted((ROOT / "runtime/data/templates").glob("*.jinja")):
        tokenizer.chat_template = file.read_text(encoding="utf-8")
        tokenizer.bos_token = "<|endoftext|>"
        cases = [(name, messages, None) for name, messages in CONVERSATIONS.items()]
        if file.stem == "qwen":
            cases.append(("calls", CALLS, [TOOL]))
        for name, messages, tools in cases:
            got = tokenizer.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=True,
                                                return_assistant_tokens_mask=True)
            row = {"template": file.stem, "case": name, "messages": messages, "input_ids": got["input_ids"],
                   "mask": "".join(map(str, got["assistant_masks"]))}
            if tools:
                row["tools"] = tools
            print(json.dumps(row, ensure_ascii=False))


main()
