"""What the Python conformance scripts share: named checks, written as JSON lines."""

import argparse
import json
import os
import traceback


class Checks:
    """Runs checks by name and writes each outcome to a file, one JSON object per line."""

    def __init__(self, path):
        self._file = open(path, "w", encoding="utf-8")
        self._section = ""

    def section(self, name):
        """Checks that follow belong to this part of the page."""
        self._section = name

    def run(self, part):
        """Runs a part of a script; where it breaks off is recorded as a failed check."""
        try:
            part()
        except Exception as exception:
            self._record("the part comes to its end", False, self._describe(exception))

    def holds(self, name, statement):
        """Records whether a statement (a function) is true; an exception makes it false."""
        try:
            self._record(name, bool(statement()), "it is not so")
        except Exception as exception:  # whatever the SDK raises, the check has failed
            self._record(name, False, self._describe(exception))

    def call(self, name, function):
        """Records whether a call comes back, and hands on what it returns."""
        try:
            result = function()
        except Exception as exception:
            self._record(name, False, self._describe(exception))
            return None
        self._record(name, True, "")
        return result

    def refuses(self, name, status, function):
        """Records whether a call is refused with this HTTP status."""
        try:
            function()
        except Exception as exception:
            found = getattr(exception, "status_code", None)
            self._record(name, found == status, self._describe(exception))
        else:
            self._record(name, False, "the call was not refused")

    def _describe(self, exception):
        last = traceback.extract_tb(exception.__traceback__)[-1]
        return f"{type(exception).__name__} in {last.name}: {exception}"

    def _record(self, name, passed, detail):
        outcome = {"section": self._section, "check": name, "outcome": "pass"}
        if not passed:
            outcome.update(outcome="fail", detail=detail)
        self._file.write(json.dumps(outcome, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self):
        """Ends the run."""
        self._file.close()


def run_script(conversation, phases):
    """Runs the phases named on the command line.

    `conversation` is called with the checks and the state that the phases share; the state is
    kept in a file from one run of the script to the next. What came out stands in the results,
    not in the exit code.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    parser.add_argument("--results", required=True)
    parser.add_argument("phases", nargs="+", choices=phases)
    arguments = parser.parse_args()
    state = {}
    if os.path.exists(arguments.state):
        with open(arguments.state, encoding="utf-8") as file:
            state = json.load(file)
    checks = Checks(arguments.results)
    told = conversation(checks, state)
    for phase in arguments.phases:
        for part in phases[phase]:
            checks.run(lambda: part(told))
    with open(arguments.state, "w", encoding="utf-8") as file:
        json.dump(state, file)
    checks.close()
