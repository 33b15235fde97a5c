"""A long thread of many people, walked page by page while messages are edited and deleted.

Every message that does not change during the walk must be seen exactly once; those that changed
must stand at the front of the next walk. Which SDK walks depends on what is installed: that of 2020
or today's. WALK_MESSAGES says how many messages (3,000 when unset), WALK_PEOPLE how many people
(250).

    python walk.py --state STATE --results RESULTS fill walk
"""

import asyncio
import os
import random
import ssl
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import aiohttp
from checks import run_script

MESSAGES = int(os.environ.get("WALK_MESSAGES", "3000"))
PEOPLE = int(os.environ.get("WALK_PEOPLE", "250"))
# A call takes 200 people at the most.
PEOPLE_PER_CALL = 100
SENDERS = 32
PAGE = 100
ENDPOINT = os.environ["COMMUNICATION_SERVICES_ENDPOINT"]
CONNECTION_STRING = os.environ["COMMUNICATION_SERVICES_CONNECTION_STRING"]

try:
    from azure.communication.administration import CommunicationIdentityClient
    from azure.communication.chat import (
        ChatClient,
        ChatThreadMember,
        CommunicationUser,
        CommunicationUserCredential as Credential,
    )

    TODAY = False
except ImportError:
    from azure.communication.chat import (
        ChatClient,
        ChatParticipant,
        CommunicationTokenCredential as Credential,
        CommunicationUserIdentifier,
    )
    from azure.communication.identity import CommunicationIdentityClient

    TODAY = True


def identifier(user):
    """The raw id of a user, in either SDK."""
    return user.properties["id"] if TODAY else user.identifier


def token_for(identity, user):
    """A chat token, in either SDK."""
    answer = identity.get_token(user, ["chat"]) if TODAY else identity.issue_token(user, ["chat"])
    return answer.token


def add_people(thread, raw_ids):
    """Adds people, in either SDK."""
    if TODAY:
        users = [CommunicationUserIdentifier(raw_id) for raw_id in raw_ids]
        failed = thread.add_participants([ChatParticipant(identifier=user) for user in users])
        assert not failed, failed
    else:
        users = [CommunicationUser(raw_id) for raw_id in raw_ids]
        thread.add_members([ChatThreadMember(user=user) for user in users])


def thread_of(state):
    """The thread as its creator sees it."""
    return ChatClient(ENDPOINT, Credential(state["token"])).get_chat_thread_client(state["thread"])


async def send_all(state):
    """Sends the messages by plain requests, many at a time."""
    url = f"{ENDPOINT}/chat/threads/{state['thread']}/messages?api-version=2024-03-07"
    numbers = iter(range(MESSAGES))

    async def sender(session):
        for number in numbers:
            async with session.post(url, json={"content": f"message {number}"}) as answer:
                assert answer.status == 201, await answer.text()

    headers = {"authorization": f"Bearer {state['token']}"}
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(), limit=SENDERS)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        await asyncio.gather(*[sender(session) for _ in range(SENDERS)])


def fill(told):
    """Makes the thread, its people and its messages."""
    checks, state = told
    checks.section("fill")
    identity = CommunicationIdentityClient.from_connection_string(CONNECTION_STRING)
    creator = identity.create_user()
    state["token"] = token_for(identity, creator)
    client = ChatClient(ENDPOINT, Credential(state["token"]))
    if TODAY:
        state["thread"] = client.create_chat_thread("walk").chat_thread.id
    else:
        members = [ChatThreadMember(user=creator)]
        state["thread"] = client.create_chat_thread("walk", members).thread_id
    raw_ids = [identifier(identity.create_user()) for _ in range(PEOPLE - 1)]
    thread = thread_of(state)
    for start in range(0, len(raw_ids), PEOPLE_PER_CALL):
        add_people(thread, raw_ids[start : start + PEOPLE_PER_CALL])
    people = thread.list_participants() if TODAY else thread.list_members()
    checks.holds("everybody is in the thread", lambda: len(list(people)) == PEOPLE)
    asyncio.run(send_all(state))


def contents(message):
    """The text of a message, in either SDK; None for what the service says."""
    if TODAY:
        return message.content.message if message.type == "text" else None
    return message.content if message.type == "Text" else None


def walk(told):
    """Walks the thread while another client changes it."""
    checks, state = told
    checks.section("walk")
    walker, changer = thread_of(state), thread_of(state)
    before = {m.id: m.version for m in walker.list_messages() if contents(m) is not None}
    checks.holds("all messages are there", lambda: len(before) == MESSAGES)
    chance = random.Random(7)
    targets = chance.sample(sorted(before), max(4, MESSAGES // 50))
    changed, done, failures = set(), threading.Event(), []
    # Set when one more message has changed: between two pages of the walk at least one does.
    one_more = threading.Event()

    def change():
        try:
            for number, message_id in enumerate(targets):
                if done.is_set():
                    return
                changed.add(message_id)
                if number % 2:
                    changer.delete_message(message_id)
                else:
                    changer.update_message(message_id, content="edited")
                one_more.set()
        except Exception as exception:
            failures.append(exception)

    seen = {}
    worker = threading.Thread(target=change)
    worker.start()
    for page in walker.list_messages(results_per_page=PAGE).by_page():
        for message in page:
            if contents(message) is not None:
                seen[message.id] = seen.get(message.id, 0) + 1
        one_more.clear()
        while len(changed) < len(targets) and worker.is_alive():
            if one_more.wait(timeout=0.1):
                break
    done.set()
    worker.join()
    unchanged = set(before) - changed
    checks.holds("the changes went well", lambda: not failures)
    checks.holds("some messages changed during the walk", lambda: len(changed) >= 4)
    checks.holds("no message that did not change is missed", lambda: unchanged <= set(seen))
    checks.holds("none is seen twice", lambda: all(seen[m] == 1 for m in unchanged))
    again = [m for m in walker.list_messages(results_per_page=PAGE) if contents(m) is not None]
    front = {m.id for m in again[: len(changed)]}
    checks.holds("what changed stands at the front of the next walk", lambda: front == changed)
    checks.holds("the next walk sees each once", lambda: len(again) == MESSAGES)
    print(f"{MESSAGES} messages, {PEOPLE} people, {len(changed)} changed during the walk")


if __name__ == "__main__":
    run_script(lambda checks, state: (checks, state), {"fill": [fill], "walk": [walk]})
