"""The official SDKs' own test files, unmodified, against a live server.

Each phase is a package and its version. Its source package is fetched from where pip gets its
packages, and every test file runs in a pytest of its own: some leave event loops behind that
others stumble over. `live.py` stands in for the authors' test framework.

    python official.py --state STATE --results RESULTS PACKAGE==VERSION...
"""

import argparse
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Test files that are run, where not all are: the others of this package buy telephone numbers.
ONLY = {
    "azure-communication-administration": "test_communication_identity_client*.py",
}

# No test takes this long; one that does has met a server that does not answer.
FILE_SECONDS_MAX = 600


def source_of(package, folder):
    """Fetches and unpacks a source package; returns the folder with its tests."""
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = folder / package.replace("==", "-")
    if not unpacked.is_dir():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        pip += ["--disable-pip-version-check"]
        sources = ["--no-binary", ":all:", "--dest", str(folder), package]
        subprocess.run([*pip, *sources], check=True)
        (archive,) = [path for path in folder.glob(f"{unpacked.name}.*") if path.is_file()]
        opened = zipfile.ZipFile(archive) if archive.suffix == ".zip" else tarfile.open(archive)
        with opened:
            opened.extractall(folder)
    return unpacked / "tests"


def run_file(file, tests, results):
    """Runs one test file; what came out is in the results, not in the exit code."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(tests)])
    environment["OFFICIAL_RESULTS"] = str(results)
    options = ["-q", "--noconftest", "-p", "live", "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, file.name],
        cwd=tests,
        env=environment,
        timeout=FILE_SECONDS_MAX,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # 0: all passed, 1: some failed; anything else means that the file did not run.
    if done.returncode not in (0, 1):
        print(done.stdout)
        raise SystemExit(f"{file.name} did not run")


def main():
    """Runs the packages named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    parser.add_argument("--results", required=True)
    parser.add_argument("packages", nargs="+")
    arguments = parser.parse_args()
    # Beside the suites' own folders, so that they are fetched once.
    sources = Path(arguments.state).resolve().parents[2] / "sources"
    results = Path(arguments.results).resolve()
    for package in arguments.packages:
        tests = source_of(package, sources)
        pattern = ONLY.get(package.partition("==")[0], "test_*.py")
        for file in sorted(tests.glob(pattern)):
            run_file(file, tests, results)


main()
