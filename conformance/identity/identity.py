"""The newest Python identity SDK: users, tokens, revocation, deletion.

Its tokens are tried on the chat API by plain requests, so that a revocation is seen to bite.

    python identity.py --state STATE --results RESULTS PHASE...
"""

import os
import sys
from datetime import datetime, timedelta, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

import requests
from azure.communication.identity import (
    CommunicationIdentityClient,
    CommunicationTokenScope,
    CommunicationUserIdentifier,
)
from azure.core.credentials import AzureKeyCredential
from checks import run_script

CHAT = [CommunicationTokenScope.CHAT]


class Conversation:
    """The client, and what the phases share."""

    def __init__(self, checks, state):
        self.checks = checks
        self.state = state
        self.endpoint = os.environ["COMMUNICATION_SERVICES_ENDPOINT"]
        self.connection_string = os.environ["COMMUNICATION_SERVICES_CONNECTION_STRING"]
        self.client = CommunicationIdentityClient.from_connection_string(self.connection_string)

    def status(self, token):
        """What the chat API answers to this token."""
        return requests.get(
            f"{self.endpoint}/chat/threads",
            params={"api-version": "2020-09-21-preview2"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        ).status_code


def lasts(token, wanted):
    """Whether a token ends about that long after now."""
    text = token.expires_on
    if isinstance(text, str):
        # Seven digits of a fraction are one too many for Python's own parser.
        text = datetime.fromisoformat(text.split(".")[0].split("+")[0].rstrip("Z"))
        text = text.replace(tzinfo=timezone.utc)
    return abs(text - datetime.now(timezone.utc) - wanted) < timedelta(minutes=5)


def users_and_tokens(conversation):
    """Creating users and issuing tokens."""
    checks, client = conversation.checks, conversation.client
    checks.section("Users and tokens")
    user = checks.call("create_user answers", client.create_user)
    checks.holds("a user has an id", lambda: user.properties["id"].startswith("8:acs:"))
    checks.holds("the raw id is the id", lambda: user.raw_id == user.properties["id"])
    both = checks.call(
        "create_user_and_token answers", lambda: client.create_user_and_token(CHAT)
    )
    checks.holds("its token is taken by chat", lambda: conversation.status(both[1].token) == 200)
    checks.holds("it lasts a day", lambda: lasts(both[1], timedelta(days=1)))
    token = checks.call("get_token answers", lambda: client.get_token(user, CHAT))
    checks.holds("its token is taken by chat too", lambda: conversation.status(token.token) == 200)
    short = checks.call(
        "get_token takes a lifetime",
        lambda: client.get_token(user, CHAT, token_expires_in=timedelta(hours=1)),
    )
    checks.holds("the token lasts so long", lambda: lasts(short, timedelta(hours=1)))
    checks.refuses(
        "a lifetime under an hour is refused",
        400,
        lambda: client.get_token(user, CHAT, token_expires_in=timedelta(minutes=59)),
    )
    voip = checks.call(
        "a token for calls only is issued",
        lambda: client.get_token(user, [CommunicationTokenScope.VOIP]),
    )
    checks.holds("chat refuses it", lambda: conversation.status(voip.token) in (401, 403))
    conversation.state.update(id=user.raw_id, token=token.token)


def access_keys(conversation):
    """Requests that are not signed with the access key."""
    checks = conversation.checks
    checks.section("Access key")
    key = conversation.connection_string.lower().partition("accesskey=")[2]
    key = conversation.connection_string[-len(key):].rstrip(";")
    client = CommunicationIdentityClient(conversation.endpoint, AzureKeyCredential(key))
    checks.call("a client from endpoint and key works", client.create_user)
    wrong = AzureKeyCredential("d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk=")
    client = CommunicationIdentityClient(conversation.endpoint, wrong)
    checks.refuses("another key is refused", 401, client.create_user)


def revocation(conversation):
    """Revoking tokens and deleting the user."""
    checks, client, state = conversation.checks, conversation.client, conversation.state
    user = CommunicationUserIdentifier(state["id"])
    checks.section("Revocation and deletion")
    checks.holds(
        "a token issued before is still taken", lambda: conversation.status(state["token"]) == 200
    )
    checks.call("revoke_tokens answers", lambda: client.revoke_tokens(user))
    checks.holds(
        "a revoked token is refused", lambda: conversation.status(state["token"]) == 401
    )
    token = checks.call("a new token is issued", lambda: client.get_token(user, CHAT))
    checks.holds("the new token is taken", lambda: conversation.status(token.token) == 200)
    checks.call("delete_user answers", lambda: client.delete_user(user))
    checks.holds(
        "a token of a deleted user is refused", lambda: conversation.status(token.token) == 401
    )
    checks.refuses(
        "a deleted user gets no token", 401, lambda: client.get_token(user, CHAT)
    )


PHASES = {"issue": [users_and_tokens, access_keys], "revoke": [revocation]}

if __name__ == "__main__":
    run_script(Conversation, PHASES)
