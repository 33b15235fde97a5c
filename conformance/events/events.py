"""Runs the examples of docs/events.md as they stand, while a thread lives.

Each example is a program of its own that prints what it is told; the official SDK does what is to
be told. In the second phase the server may be another process on the same data: the examples,
which are started anew then, show that nothing else is needed.

    python events.py --state STATE --results RESULTS PHASE...
"""

import functools
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir))

from azure.communication.chat import ChatClient, ChatParticipant, CommunicationTokenCredential
from azure.communication.identity import CommunicationIdentityClient
from checks import run_script

DOCUMENT = os.path.join(HERE, os.pardir, os.pardir, "docs", "events.md")
# Generous: machines that run this are busy.
PATIENCE_SECONDS = 60
PREFIX = "Microsoft.Communication."


def block(fence):
    """The code under that fence of the page."""
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read().split(f"```{fence}\n", 1)[1].split("```", 1)[0]


class Example:
    """A running example and the lines that it prints."""

    def __init__(self, command, code, suffix, token):
        environment = {**os.environ, "CHAT_TOKEN": token}
        # curl takes it from its own variable.
        environment["CURL_CA_BUNDLE"] = os.environ["REQUESTS_CA_BUNDLE"]
        self._file = tempfile.NamedTemporaryFile("w", suffix=suffix, encoding="utf-8")
        self._file.write(code)
        self._file.flush()
        self._process = subprocess.Popen(
            [*command, self._file.name], stdout=subprocess.PIPE, text=True, env=environment
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def waits_for(self, words):
        """Whether a line with these words comes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                line = self._lines.get(timeout=deadline - time.monotonic())
            except (queue.Empty, ValueError):
                return False
            if all(word in line for word in words):
                return True

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._file.close()


EXAMPLES = {
    "curl": (["sh"], "sh curl", ".sh"),
    "Python": ([sys.executable], "python events", ".py"),
    "JavaScript": (["node"], "js events", ".mjs"),
}


def conversation(checks, state):
    """Makes the users and the thread, once."""
    identity = CommunicationIdentityClient.from_connection_string(
        os.environ["COMMUNICATION_SERVICES_CONNECTION_STRING"]
    )
    return checks, state, identity


def listen(told, phase):
    checks, state, identity = told
    endpoint = os.environ["COMMUNICATION_SERVICES_ENDPOINT"]
    users, tokens = zip(*(identity.create_user_and_token(["chat"]) for _ in range(2)))
    clients = [ChatClient(endpoint, CommunicationTokenCredential(token.token)) for token in tokens]
    examples = {
        name: Example(command, block(fence), suffix, tokens[1].token)
        for name, (command, fence, suffix) in EXAMPLES.items()
    }
    talk = {**os.environ, "CHAT_TOKEN": tokens[1].token}
    talk["CURL_CA_BUNDLE"] = os.environ["REQUESTS_CA_BUNDLE"]
    try:
        # Until each is connected: what is sent before that is not told.
        created = clients[0].create_chat_thread(
            "waiting", thread_participants=[ChatParticipant(identifier=users[1])]
        )
        thread = clients[0].get_chat_thread_client(created.chat_thread.id)
        for name, example in examples.items():
            checks.section(f"{phase}: docs/events.md, {name}")
            checks.holds("the example is told of messages", lambda: beats(thread, example))
            if name == "curl":
                subprocess.run(
                    ["sh", "-c", block("sh talk")], env=talk, check=True, stdout=subprocess.DEVNULL
                )
                checks.holds("what the page says is told", lambda: example.waits_for(["at noon?"]))
            message = thread.send_message("\u00a1hola, \u4f60\u597d! \"%22\"")
            wanted = [PREFIX + "ChatMessageReceived"]
            if name != "curl":
                wanted.append("\u00a1hola, \u4f60\u597d! \"%22\"")
            checks.holds("a message comes as it was sent", lambda: example.waits_for(wanted))
            thread.update_message(message.id, "edited")
            thread.send_typing_notification()
            thread.delete_message(message.id)
            thread.update_topic(name)
            for kind in (
                "ChatMessageEdited",
                "ChatTypingIndicatorReceived",
                "ChatMessageDeleted",
                "ChatThreadPropertiesUpdatedPerUser",
            ):
                checks.holds(f"{kind} comes", lambda: example.waits_for([PREFIX + kind]))
    finally:
        for example in examples.values():
            example.stop()


def beats(thread, example):
    """Sends until the example has heard one."""
    done = threading.Event()

    def send():
        while not done.wait(0.5):
            thread.send_message("beat")

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return example.waits_for([PREFIX + "ChatMessageReceived"])
    finally:
        done.set()
        sender.join()


if __name__ == "__main__":
    run_script(
        conversation,
        {phase: [functools.partial(listen, phase=phase)] for phase in ("before", "after")},
    )
