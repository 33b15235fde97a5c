"""Runs the code of the README, of docs/quickstart.md and of its Chinese edition, as it stands.

The blocks of one page share their names, as if pasted one after the other into a program. A
phase is an API and an edition; each block is one check.

    python guide.py --state STATE --results RESULTS PHASE...
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir))

from checks import run_script

DOCUMENTS = {
    "english": ["README.md", "docs/quickstart.md"],
    "chinese": ["docs/quickstart.zh-CN.md"],
}


def blocks(document, api):
    """The code blocks of an API, each with the heading above it."""
    heading, code = "", None
    with open(os.path.join(HERE, os.pardir, os.pardir, document), encoding="utf-8") as file:
        for line in file:
            if code is not None and line.startswith("```"):
                yield heading, "".join(code)
                code = None
            elif code is not None:
                code.append(line)
            elif line.strip() == f"```python {api}":
                code = []
            elif line.startswith("#"):
                heading = line.strip("# \n")


def edition(api, language):
    """The part that runs the blocks of an API in a language."""

    def part(checks):
        for document in DOCUMENTS[language]:
            checks.section(document)
            names = {}
            found = list(blocks(document, api))
            checks.holds("the page has code", lambda: found)
            for heading, code in found:
                compiled = compile(code, f"{document}: {heading}", "exec")
                checks.call(heading, lambda: exec(compiled, names))

    return part


PHASES = {
    f"{api}-{language}": [edition(api, language)]
    for api in ("today", "2020")
    for language in DOCUMENTS
}

if __name__ == "__main__":
    run_script(lambda checks, state: checks, PHASES)
