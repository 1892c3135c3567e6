#!/usr/bin/env python3
"""Compares Athanor's template interpreter with jinja2, configured as transformers does.

    compare_jinja.py PROGRAM [--count N] [--seed N]     generated templates through `PROGRAM render`
    compare_jinja.py PROGRAM --golden FILE              writes the cases of tests/data/jinja_golden.jsonl

The verdict is one of: equal, both refuse, only ours refuses (a construct that is missing: allowed,
counted and listed by message), and differs (exit 1): other text, or text where jinja2 refuses.
"""
import argparse
import collections
import datetime
import json
import random
import subprocess
import sys
import tempfile
import warnings

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

DATE = datetime.datetime(2024, 7, 26)
MESSAGES = [
    [{"role": "user", "content": "Hi <b>&\n  you\t'quoted' \"twice\""},
     {"role": "assistant", "content": " Grüße, ẞ ΑΣ 東京 🔥\n\nline two\r\n", "n": 3,
      "tool_calls": [{"name": "f", "arguments": {"x": 1.5, "y": [True, None], "ä": "ö"}}]},
     {"role": "tool", "content": "3.0", "n": -7, "items": [3, 1, 2]}],
    [{"role": "system", "content": ""}, {"role": "user", "content": "abc ABC aBc-d_e 12_3",
                                          "n": 10, "keys": "k"},
     {"role": "user", "content": ["a", "B", "a", "c"], "x": {"y": {"z": [1, [2, 3]]}}}],
    [{"role": "Zoë", "content": "x" * 30 + " \u00a0y\u2003", "n": 0}],
]
EXPRESSIONS = """
M[0] M[-1] M[0].content M[1].content M[-1].content M[0].role M[1].n M[2].n M[0].missing M[7] M
M|length M[0].keys() M[1].items() M[2].values() M[0].items M[1].keys M[2].items M[2]['items']
range(5) range(3,-4,-2) range(M|length) [1,2,3,4,5] [3,'a',none] (1,2) (1,) {'b':2,'A':1,'a':3} {}
'' 'a' 'Hello wORLD' 'x,y,,z' '  pad ' 'it\\'s' "a\\nb" 'ß' 'ǆ straße' '12' '-3.7' '1e3' 'nan' '0x1F' '1_000'
0 1 -1 7 2.5 -2.5 3.5 0.1 1e16 1e-5 123456789 1.0 true false none undefined_name
['b','A','a','B'] [[1,'x'],[0,'y']] [{'k':'b','v':1},{'k':'a','v':2},{'k':'B','v':3}] [1.5,2,true]
namespace(a=1,b='x') dict(a=1) dict([('a',1)],b=2) loop M[1].tool_calls M[2].x.y.z strftime_now('%d')
""".split()
FILTERS = """
length count string upper lower capitalize title trim trim('a') list first last reverse join join(',') join('-',attribute='k')
tojson tojson(indent=2) tojson(ensure_ascii=true) tojson(sort_keys=true) tojson(separators=(',',':'))
default('d') default('d',true) d int int(5) int(0,16) float float(1.5) abs round round(1) round(1,'floor') round(0,'ceil')
replace('a','b') replace('','-') replace('a','b',1) indent indent(2,true) indent('>',blank=true) wordcount escape e safe
forceescape items dictsort dictsort(by='value') dictsort(reverse=true) sort sort(reverse=true) sort(attribute='k')
sort(attribute='k',case_sensitive=true) unique unique(attribute='v') min max max(attribute='v') sum sum(attribute='v')
sum(start=10) select select('string') select('defined') reject('none') select('gt',1) selectattr('k') selectattr('role','equalto','user')
rejectattr('n','defined') selectattr('content','string') map(attribute='role') map(attribute='k',default='?') map('upper')
map('length') map('tojson') map('int') map('default','z') groupby('k') groupby('role') groupby('n',default=0) batch(2) batch(2,'-') slice(2)
slice(3,'-') center(9) truncate(9) truncate(9,true,'~',0) format format(1) format('x','y') attr('upper')
""".split()
METHODS = """
strip() strip('a') lstrip() rstrip('\\n') split() split(',') split(',',1) rsplit(',',1) split(none,1) rsplit(none,1)
splitlines() splitlines(true) upper() lower() title() capitalize() swapcase() replace('a','b') replace('a','b',1) replace('','.')
startswith('a') startswith(('H','G')) endswith('z') find('l') rfind('l') index('a') count('a') count('') find('') find('a',1)
startswith('e',1) join(['a','b']) join(M[0]) isalpha() isdigit() isspace() isupper() islower() istitle() isalnum() isnumeric()
isdecimal() isascii() removeprefix('H') removesuffix('z') partition(',') rpartition(',') zfill(6) ljust(8,'.') rjust(8) center(9,'*')
get('a') get('zz') get('zz',4) get('role') items() keys() values() copy() count(1) index(2) format(1) format('a',b=2) pop() update() append(1)
items()|list keys()|list values()|list|first a b role content missing real
""".split()
TESTS = """
defined undefined none string number integer float boolean true false mapping sequence iterable callable odd even
upper lower escaped divisibleby(2) sameas(none) in([1,'a']) eq(1) ne(1) lt(2) gt(1) le(1) ge('a') string
""".split()
OPERATORS = "+ - * / // % ** ~ == != < <= > >= and or in".split() + ["not in"]
FORMATS = ["%s", "%d", "%5.1f|", "%-6s|", "%06.2f", "%x", "%r", "%%", "%+d", "%s-%s", "%(a)s", "%e",
           "%g", "%.2s", "%5s|", "%i"]
BRACES = ["{}", "{0}-{0}", "{:>6}|", "{:<6}|", "{:^7}|", "{:.2f}", "{:05d}", "{!r}", "{:,}", "{a}", "{0[0]}",
          "{:x}", "{:+}", "{{}}{}", "{:*^9}", "{:e}", "{:.3g}", "{:%}", "{0.role}", "{:{b}}"]
BLOCKS = """
{% for m in X %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ m }}{% endfor %}
{% for m in X if m %}{{ loop.length }}/{{ loop.revindex }}:{{ m }};{% else %}none{% endfor %}
{% for m in X %}{{ loop.cycle('a', 'b') }}{{ loop.changed(m) }}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}
{% for a, b in X %}{{ a }}={{ b }}{% endfor %}
{% for m in X recursive %}[{{ loop.depth }}{{ m if m is string or m is number else loop(m) }}]{% endfor %}
{% set ns = namespace(n=0) %}{% for m in X if ns.n < 2 %}{% set ns.n = ns.n + 1 %}{{ m }}{% endfor %}{{ ns.n }}
{% set ns = namespace(n=0) %}{% for m in X if ns.n < 2 %}{{ loop.last }}{% set ns.n = ns.n + 1 %}{{ m }}{% endfor %}{{ ns }}
{% macro f(a, b='B', c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(X) }}{{ f(X, 1) }}{{ f(b=X) }}{{ f() }}
{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, X, *[2, 3], z=X) }}{{ f(**{'q': 1}) }}
{% macro f(a) %}<{{ caller(a) }}>{% endmacro %}{% call(x) f(X) %}{{ x }}!{% endcall %}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, X) }}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(X) }}
{% set x = X %}{% if x %}{{ x }}{% elif x is none %}N{% else %}E{% endif %}
{% set x %}  {{ X }}  {% endset %}[{{ x|trim }}]
{% set x | upper %}{{ X }}{% endset %}{{ x }}
{% filter indent(2) %}{{ X }}{% endfilter %}
{% with a = X, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}
{%- for m in X -%}  {% if loop.index == 2 %}{% continue %}{% endif %}{{ m }} {% if loop.index > 3 %}{% break %}{% endif %} {%- endfor -%}
{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('|') %}{{ j() }}{{ j() }}
{% generation %}{{ X }}{% endgeneration %}
   {% if X %}   \\n  yes\\n   {% endif %}   \\n {#- c -#} \\n {{- X -}} \\n end\\n
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}
{% set a, b = X %}{{ a }}{{ b }}
{{ X[0] }}{{ X[-1] }}{{ X[1:] }}{{ X[::-1] }}{{ X[:2] }}{{ X['a'] }}{{ X.a }}
{{ raise_exception('no ' ~ X) }}
{% raw %}{{ X }}{% endraw %}{{ X }}{# {{ X }} #}
""".strip().split("\n")


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def expression(self, depth=2):
        pick = self.random.choice
        kind = self.random.random()
        if depth == 0 or kind < 0.15:
            return pick(EXPRESSIONS)
        inner = self.expression(depth - 1)
        if kind < 0.50:
            return f"({inner}|{pick(FILTERS)})"
        if kind < 0.68:
            return f"({inner}.{pick(METHODS)})"
        if kind < 0.75:
            return f"({inner} is {pick(['', 'not '])}{pick(TESTS)})"
        if kind < 0.88:
            return f"({inner} {pick(OPERATORS)} {self.expression(depth - 1)})"
        if kind < 0.91:
            return f"('{pick(FORMATS)}' % {inner})"
        if kind < 0.94:
            return f"'{pick(BRACES)}'.format({inner}, a={self.expression(0)}, b=8)"
        if kind < 0.97:
            return f"({inner} if {self.expression(depth - 1)} else {self.expression(0)})"
        bounds = [pick(["", "0", "1", "-1", "2", "9"]) for _ in range(2)]
        return f"({inner}[{bounds[0]}:{bounds[1]}])"

    def template(self):
        head = "{% set M = messages %}"
        if self.random.random() < 0.6:
            return head + "{{ " + self.expression(self.random.choice([1, 2, 3])) + " }}"
        block = self.random.choice(BLOCKS).replace("\\n", "\n")
        return head + block.replace("X", self.expression(self.random.choice([0, 1, 2])))


def environment():
    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

        def _body(self, caller):
            return caller()

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = DATE.strftime
    return env


def reference(env, template, messages):
    try:
        return env.from_string(template).render(messages=messages, tools=None,
                                                add_generation_prompt=False)
    except Exception:  # whatever Python raises is a refusal
        return None


def ours(program, folder, template, messages):
    path = folder + "/t.jinja"
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write(template)
    done = subprocess.run([program, "render", "--template", path, "--date", "2024-07-26"],
                          input=json.dumps(messages).encode(), capture_output=True, timeout=60)
    if done.returncode not in (0, 65):
        raise SystemExit(f"exit code {done.returncode} for {template!r}: {done.stderr.decode()}")
    text = done.stdout.decode() if done.returncode == 0 else None
    return text, done.stderr.decode().strip().split(".jinja:", 1)[-1]


def compare(program, count, seed):
    env, generator = environment(), Generator(seed)
    verdicts, missing, example = collections.Counter(), collections.Counter(), {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            # Three of four are templates that jinja2 accepts.
            needed = generator.random.random() < 0.75
            while True:
                template, messages = generator.template(), generator.random.choice(MESSAGES)
                wanted = reference(env, template, messages)
                if wanted or not needed:
                    break
            text, error = ours(program, folder, template, messages)
            if wanted is not None and " object at 0x" in wanted or "bound method" in (wanted or "") \
                    or "built-in method" in (wanted or "") or "<function" in (wanted or ""):
                wanted = None  # the text of an address is no text to agree on
            if wanted == text:
                verdicts["equal" if text is not None else "both refuse"] += 1
            elif text is None:
                verdicts["only ours refuses"] += 1
                message = error.split(":", 1)[-1].strip()
                missing[message] += 1
                example[message] = template
            else:
                verdicts["differs"] += 1
                print(f"DIFFERS {template!r}\n  wanted {wanted!r}\n  ours   {text!r}")
    for message, times in missing.most_common(40):
        print(f"{times:5d} refused: {message}   {example[message]!r}")
    print(dict(verdicts))
    return 1 if verdicts["differs"] else 0


def write_golden(program, path):
    env, generator, kept = environment(), Generator(7), []
    while len(kept) < 150:
        template, messages = generator.template(), generator.random.choice(MESSAGES)
        wanted = reference(env, template, messages)
        if wanted and " at 0x" not in wanted and "method" not in wanted and len(wanted) < 300:
            with tempfile.TemporaryDirectory() as folder:
                if ours(program, folder, template, messages)[0] is None:
                    continue  # says that a construct is missing
            kept.append({"template": template, "messages": messages, "rendered": wanted})
    with open(path, "w", encoding="utf-8") as out:
        for case in kept:
            out.write(json.dumps(case, ensure_ascii=False) + "\n")
    return 0


def main():
    warnings.simplefilter("ignore", SyntaxWarning)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--golden")
    arguments = parser.parse_args()
    if arguments.golden:
        return write_golden(arguments.program, arguments.golden)
    return compare(arguments.program, arguments.count, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
