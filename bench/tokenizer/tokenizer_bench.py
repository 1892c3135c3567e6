#!/usr/bin/env python3
"""Tokenising speed of bench_tokenizer beside the Hugging Face library, in turns.

    bench/tokenizer/tokenizer_bench.py BENCH_TOKENIZER --tokenizers NAME=TOKENIZER_JSON...
        --texts NAME=FILE... [--rounds 7] [--spans]

Needs the package `tokenizers`. A text is cut into pieces of about --piece bytes (samples of a data set) at
line ends, as many of them as --bytes holds, repeated where the file is shorter. FILE may be a pattern for
several files; of .json and .jsonl all strings are taken. Both sides get the same list and hand back lists of
ids; the ids must be equal. Each round runs one side, then the other, and who begins alternates; printed are
the medians of the rounds, and the median of the rounds' ratios. Rates are in MB of UTF-8 by wall clock and by CPU time of the process. With one thread the
library is called with RAYON_NUM_THREADS=1 in a process of its own.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

MASK = (1 << 64) - 1


def serve(tokenizer_json, texts_file):
    """The library's side: a line "THREADS SPANS" → "SECONDS CPU_SECONDS IDS CHECKSUM"."""
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    with open(texts_file, "rb") as file:
        texts = [text.decode() for text in file.read().split(b"\0")[:-1]]
    for line in sys.stdin:
        _, spans = map(int, line.split())
        encode = tokenizer.encode_batch if spans else tokenizer.encode_batch_fast
        wall, cpu = time.perf_counter(), time.process_time()
        encoded = encode(texts, add_special_tokens=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        total = count = 0
        for encoding in encoded:
            for token in encoding.ids:
                total = (total * 31 + token) & MASK
            count += len(encoding.ids)
        print(wall, cpu, count, total, flush=True)


class Side:
    def __init__(self, command, threads):
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)
        self.threads = threads

    def run(self, spans):
        print(self.threads, int(spans), file=self.process.stdin, flush=True)
        wall, cpu, count, total = self.process.stdout.readline().split()
        return float(wall), float(cpu), (int(count), int(total))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def strings(value):
    if isinstance(value, str):
        yield value + "\n"
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def read(path):
    with open(path, encoding="utf-8") as file:
        if path.endswith(".json"):
            return "".join(strings(json.load(file)))
        if path.endswith(".jsonl"):
            return "".join(text for line in file for text in strings(json.loads(line)))
        return file.read()


def pieces(spec, size, piece):
    text = "".join(read(path) for path in sorted(glob.glob(spec, recursive=True)))
    if not text:
        sys.exit(f"no text in {spec}")
    parts, current, length = [], [], 0
    for line in text.replace("\0", "").splitlines(keepends=True):
        current.append(line)
        length += len(line.encode())
        if length >= piece:
            parts.append("".join(current))
            current, length = [], 0
    parts += ["".join(current)] if current else []
    taken, total = [], 0
    while total < size:
        for part in parts:
            if total >= size:
                break
            taken.append(part)
            total += len(part.encode())
    return taken, total


def compare(bench, tokenizer_json, texts_file, threads, spans, rounds):
    sides = [Side([bench, tokenizer_json, texts_file], threads),
             Side([sys.executable, __file__, "--serve", tokenizer_json, texts_file], threads)]
    for side in sides:
        side.run(spans)
    results = [[], []]
    for index in range(rounds):
        for which in ((0, 1) if index % 2 == 0 else (1, 0)):
            results[which].append(sides[which].run(spans))
    for side in sides:
        side.close()
    equal = len({result[2] for side in results for result in side}) == 1
    return results, equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("--tokenizers", nargs="+", required=True)
    parser.add_argument("--texts", nargs="+", required=True)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bytes", type=int, default=1 << 20)
    parser.add_argument("--piece", type=int, default=2000)
    parser.add_argument("--spans", action="store_true", help="places of tokens as well")
    arguments = parser.parse_args()
    print("| tokenizer | text | threads | ids | ours MB/s | library MB/s | ratio | ours MB/s CPU | "
          "library MB/s CPU | ratio CPU |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    different = False
    for tokenizer in arguments.tokenizers:
        name, path = tokenizer.split("=", 1)
        for text in arguments.texts:
            text_name, spec = text.split("=", 1)
            parts, total = pieces(spec, arguments.bytes, arguments.piece)
            with tempfile.NamedTemporaryFile(suffix=".texts") as file:
                file.write(b"".join(part.encode() + b"\0" for part in parts))
                file.flush()
                for threads in arguments.threads:
                    results, equal = compare(arguments.bench, path, file.name, threads, arguments.spans,
                                             arguments.rounds)
                    different |= not equal
                    cells = []
                    for field in (0, 1):
                        times = [[result[field] for result in side] for side in results]
                        rates = [total / 1e6 / statistics.median(side) for side in times]
                        ratio = statistics.median(theirs / ours for ours, theirs in zip(*times))
                        cells += [f"{rates[0]:.1f}", f"{rates[1]:.1f}", f"{ratio:.2f}"]
                    print(f"| {name} | {text_name} | {threads} | {'equal' if equal else 'DIFFER'} | "
                          + " | ".join(cells) + " |", flush=True)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    else:
        main()
