"""Stands in for the test framework of the official SDKs' authors, which is not published.

Loaded by pytest before the official test files (`-p live`). It says that the service is live and
hands out the connection string; recording, sanitising and making cloud resources do nothing.
"""

import asyncio
import functools
import inspect
import json
import os
import sys
import types
import unittest


def _connection_string():
    return os.environ["COMMUNICATION_SERVICES_CONNECTION_STRING"]


def _module(name, **members):
    """Registers a module of this name; its parents are made where nothing provides them."""
    module = types.ModuleType(name)
    module.__path__ = []
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[name] = module
    return module


def _nothing(*_args, **_kwargs):
    return None


def _as_it_is(function):
    return function


def _trim(function, kwargs):
    """Takes out what the test function does not ask for."""
    known = inspect.signature(function).parameters
    for name in [name for name in kwargs if name not in known]:
        del kwargs[name]


class RecordingProcessor:
    """Would change recordings; there are none."""


class ReplayableTest:
    """Has the list of headers that recordings leave out."""

    FILTER_HEADERS = []


class _Scrubber:
    register_name_pair = staticmethod(_nothing)


class AzureTestCase(unittest.TestCase):
    """The base of the test classes of 2020."""

    is_live = True

    def setUp(self):
        self.recording_processors = []
        self.scrubber = _Scrubber()

    def is_playback(self):
        return False


class AzureRecordedTestCase:
    """The base of today's test classes."""

    is_live = True

    def is_playback(self):
        return False


class Preparer:
    """Would make a cloud resource for a test; the test gets the server's connection string, under
    the names of what the files of 2021 and 2022 say that they want of the environment too."""

    def __init__(self, *_args, **wanted):
        self.names = ["connection_string", *wanted]

    set_cache = _nothing

    def __call__(self, function):
        @functools.wraps(function)
        def prepared(test, *args, **kwargs):
            kwargs.update(dict.fromkeys(self.names, _connection_string()))
            _trim(function, kwargs)
            return function(test, *args, **kwargs)

        # pytest must not take the parameters for fixtures.
        del prepared.__wrapped__
        return prepared


class NoDirectory:
    """A credential of a directory that there is none of here: its token is worth nothing."""

    def __init__(self, *_args, **_kwargs):
        pass

    def get_token(self, *_scopes, **_kwargs):
        return types.SimpleNamespace(token="no.such.directory", expires_on=2**31)


class NoDirectoryAsync(NoDirectory):
    """The same for asynchronous clients."""

    async def get_token(self, *scopes, **kwargs):
        return super().get_token(*scopes, **kwargs)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception):
        pass

    async def close(self):
        pass


def _call_and_await(_test, method):
    result = method()
    if inspect.iscoroutine(result):
        asyncio.get_event_loop().run_until_complete(result)


# unittest by itself drops what an asynchronous test returns, and so passes what never ran.
unittest.TestCase._callTestMethod = _call_and_await

_module("azure_devtools")
_module(
    "azure_devtools.scenario_tests",
    RecordingProcessor=RecordingProcessor,
    ReplayableTest=ReplayableTest,
)
_module(
    "azure_devtools.scenario_tests.utilities",
    is_text_payload=lambda _payload: False,
    trim_kwargs_from_test_function=_trim,
)
_module("azure_devtools.scenario_tests.exceptions", AzureTestError=Exception)
_module(
    "devtools_testutils",
    AzureTestCase=AzureTestCase,
    AzureRecordedTestCase=AzureRecordedTestCase,
    AzureMgmtPreparer=Preparer,
    ResourceGroupPreparer=Preparer,
    FakeResource=None,
    PowerShellPreparer=Preparer,
    is_live=lambda: True,
    recorded_by_proxy=_as_it_is,
    add_body_key_sanitizer=_nothing,
)
_module("devtools_testutils.aio", recorded_by_proxy_async=_as_it_is)
_module("devtools_testutils.resource_testcase", RESOURCE_GROUP_PARAM="resource_group")
_module("devtools_testutils.fake_credentials", FakeTokenCredential=NoDirectory)
_module("devtools_testutils.fake_credentials_async", AsyncFakeCredential=NoDirectoryAsync)
_module("azure.identity", DefaultAzureCredential=NoDirectory)
_module("azure.identity.aio", DefaultAzureCredential=NoDirectoryAsync)
_module("azure.mgmt")
_module("azure.mgmt.communication", CommunicationServiceManagementClient=None)
_module("azure.mgmt.communication.models", CommunicationServiceResource=None)
_module("msal", PublicClientApplication=NoDirectory)

for _name in [
    "AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING",
    "COMMUNICATION_LIVETEST_DYNAMIC_CONNECTION_STRING",
    "COMMUNICATION_LIVETEST_STATIC_CONNECTION_STRING",
]:
    os.environ[_name] = _connection_string()


def pytest_runtest_logreport(report):
    """Writes the outcome of a test as one JSON object per line, for conformance/expected.jsonl."""
    if report.when != "call" and report.passed:
        return
    file, _, test = report.nodeid.partition("::")
    outcome = {"section": os.path.basename(file), "check": test, "outcome": "pass"}
    if not report.passed:
        # A test that was skipped has shown nothing.
        outcome.update(outcome="fail", detail=str(report.longrepr).strip().splitlines()[-1])
    with open(os.environ["OFFICIAL_RESULTS"], "a", encoding="utf-8") as results:
        results.write(json.dumps(outcome, ensure_ascii=False) + "\n")
