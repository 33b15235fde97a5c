"""The official SDKs' own test files, unmodified, against a live server.

Each phase is a package and its version. Its source package is fetched from where pip gets its
packages, and every test file runs in a pytest of its own: some leave event loops behind that
others stumble over. As many run at once as there are processors. `live.py` stands in for the
authors' test framework.

    python official.py --state STATE --results RESULTS PACKAGE==VERSION...
"""

import argparse
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent

# The test files that talk to a server; others test a package against mocks, or buy telephone
# numbers.
LIVE = {
    "azure-communication-administration": "test_communication_identity_client*.py",
    "azure-communication-chat": "test_chat*_e2e*.py",
    "azure-communication-identity": "test_communication_identity_client*.py",
}

# The releases whose test files are all run.
WHOLE = {
    "azure-communication-chat==1.0.0b3",
    "azure-communication-chat==1.3.0",
}

# No test takes this long; one that does has met a server that does not answer.
FILE_SECONDS_MAX = 600

FETCHES_MAX = 3
FETCH_PAUSE_SECONDS = 5


def source_of(package, folder):
    """Fetches and unpacks a source package; returns the folder with its tests."""
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = folder / package.replace("==", "-")
    if not unpacked.is_dir():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        pip += ["--disable-pip-version-check"]
        sources = ["--no-binary", ":all:", "--dest", str(folder), package]
        fetch([*pip, *sources])
        (archive,) = [path for path in folder.glob(f"{unpacked.name}.*") if path.is_file()]
        opened = zipfile.ZipFile(archive) if archive.suffix == ".zip" else tarfile.open(archive)
        with opened:
            opened.extractall(folder)
    return unpacked / "tests"


def fetch(command):
    """Runs what needs the network, again where that fails."""
    for _ in range(FETCHES_MAX - 1):
        if subprocess.run(command).returncode == 0:
            return
        time.sleep(FETCH_PAUSE_SECONDS)
    subprocess.run(command, check=True)


def run_file(file, folder):
    """Runs one test file and returns what came out, as lines; the exit code does not tell."""
    results = folder / f"{file.stem}.jsonl"
    results.write_text("")
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(file.parent)])
    environment["OFFICIAL_RESULTS"] = str(results)
    options = ["-q", "--noconftest", "-p", "live", "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, file.name],
        cwd=file.parent,
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
    return results.read_text(encoding="utf-8")


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
    with ThreadPoolExecutor(os.cpu_count()) as pool, results.open("w", encoding="utf-8") as out:
        for package in arguments.packages:
            tests = source_of(package, sources)
            pattern = "test_*.py" if package in WHOLE else LIVE[package.partition("==")[0]]
            files = sorted(tests.glob(pattern))
            out.writelines(pool.map(lambda file: run_file(file, results.parent), files))


main()
