"""The Python chat quickstart of November 2020, call by call in the order of the page.

Every statement that the page makes is one check. The page is told in two phases, `send` and
`receive`, so that the server can be killed and started again in between; what the second needs
is kept in a state file. Nothing is configured but by the variables that `cavansite env` exports.

    python quickstart.py --state STATE --results RESULTS PHASE...
"""

import os
import sys
import time
from datetime import datetime, timedelta, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from azure.communication.administration import CommunicationIdentityClient
from azure.communication.chat import (
    ChatClient,
    ChatMessagePriority,
    ChatThreadClient,
    ChatThreadMember,
    CommunicationUser,
    CommunicationUserCredential,
)
from checks import run_script

# `created_on` has whole seconds: messages further apart than this can be told by it.
APART = 1.2


class Page:
    """The quickstart's conversation: who takes part, and what was sent."""

    def __init__(self, checks, state):
        self.checks = checks
        self.state = state
        self.endpoint = os.environ["COMMUNICATION_SERVICES_ENDPOINT"]
        self.identity_client = CommunicationIdentityClient.from_connection_string(
            os.environ["COMMUNICATION_SERVICES_CONNECTION_STRING"]
        )

    def new_user(self, name):
        """A user with a token, kept under this name."""
        user = self.identity_client.create_user()
        token = self.identity_client.issue_token(user, scopes=["chat"]).token
        self.state[name] = {"id": user.identifier, "token": token}
        return user

    def user(self, name):
        """The user of this name."""
        return CommunicationUser(self.state[name]["id"])

    def chat_client(self, name):
        """A chat client with the token of the user of this name."""
        return ChatClient(self.endpoint, CommunicationUserCredential(self.state[name]["token"]))

    def thread(self, name):
        """The thread as the user of this name sees it."""
        return self.chat_client(name).get_chat_thread_client(self.state["thread_id"])


def utcnow():
    """Now as the page writes it: UTC without a zone."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def member(user, **optional):
    """A member for `create_chat_thread` and `add_members`."""
    return ChatThreadMember(user=user, **optional)


def newest(messages):
    """Messages by id, as the list gave them."""
    return {message.id: message for message in messages}


def texts(thread):
    """The contents of the user messages that a member sees."""
    return [m.content for m in thread.list_messages() if m.type == "Text" and not m.deleted_on]


def ids(thread):
    """The identifiers of the members."""
    return [m.user.identifier for m in thread.list_members()]


def prerequisites(page):
    """先决条件: an endpoint, an access token and a user."""
    checks = page.checks
    checks.section("Prerequisites")
    user = checks.call("create_user answers", lambda: page.new_user("alice"))
    checks.holds("a user has an identifier", lambda: user.identifier.startswith("8:acs:"))
    token = checks.call(
        "issue_token answers for the scope chat",
        lambda: page.identity_client.issue_token(user, scopes=["chat"]),
    )
    checks.holds("a token is a string", lambda: token.token.count(".") == 2)
    checks.holds("a token comes with the user's id", lambda: token.id == user.identifier)
    checks.holds("a token says when it ends", lambda: token.expires_on is not None)
    checks.call("more users can be created", lambda: page.new_user("bob"))
    checks.holds(
        "two users have two identifiers",
        lambda: page.state["alice"]["id"] != page.state["bob"]["id"],
    )


def make_chat_client(page):
    """创建聊天客户端."""
    checks = page.checks
    checks.section("Create a chat client")
    client = checks.call(
        "a ChatClient is made from endpoint and token", lambda: page.chat_client("alice")
    )
    checks.call("the service takes its token", lambda: list(client.list_chat_threads()))

    def with_another_token():
        token = page.state["alice"]["token"][:-4] + "AAAA"
        client = ChatClient(page.endpoint, CommunicationUserCredential(token))
        list(client.list_chat_threads())

    checks.refuses("a token that was tampered with is refused", 401, with_another_token)


def start_thread(page):
    """启动聊天会话."""
    checks = page.checks
    checks.section("Start a chat thread")
    chat_client = page.chat_client("alice")
    members = [
        member(page.user("alice"), display_name="name", share_history_time=utcnow()),
        member(page.user("bob"), display_name="Bob"),
    ]
    thread = checks.call(
        "create_chat_thread answers",
        lambda: chat_client.create_chat_thread("test topic", members),
    )
    checks.holds("it returns a ChatThreadClient", lambda: isinstance(thread, ChatThreadClient))
    checks.holds(
        "the client has the thread_id",
        lambda: thread.thread_id.startswith("19:") and thread.thread_id.endswith("@thread.v2"),
    )
    other = checks.call(
        "another thread can be created",
        lambda: chat_client.create_chat_thread("other topic", [member(page.user("alice"))]),
    )
    checks.holds("the thread_id is unique", lambda: other.thread_id != thread.thread_id)
    page.state["thread_id"] = thread.thread_id
    page.state["other_thread_id"] = other.thread_id

    found = checks.call(
        "get_chat_thread answers", lambda: chat_client.get_chat_thread(thread.thread_id)
    )
    checks.holds("the thread has its topic", lambda: found.topic == "test topic")
    checks.holds(
        "the thread has its creator",
        lambda: found.created_by.identifier == page.state["alice"]["id"],
    )
    checks.holds(
        "the thread has its creation time",
        lambda: abs(found.created_on - datetime.now(timezone.utc)) < timedelta(minutes=5),
    )
    both = sorted(page.state[name]["id"] for name in ("alice", "bob"))
    checks.holds(
        "the listed members are in the thread",
        lambda: sorted(m.user.identifier for m in found.members) == both,
    )
    checks.holds("list_members lists them", lambda: sorted(ids(thread)) == both)
    checks.holds(
        "members have their display names",
        lambda: sorted(m.display_name for m in thread.list_members()) == ["Bob", "name"],
    )
    checks.holds(
        "list_chat_threads lists both threads",
        lambda: {thread.thread_id, other.thread_id}
        <= {info.id for info in chat_client.list_chat_threads()},
    )
    page.state["created_on"] = found.created_on.isoformat()


def get_thread_client(page):
    """获取聊天会话客户端."""
    checks = page.checks
    checks.section("Get a chat thread client")
    chat_client = page.chat_client("alice")
    thread_id = page.state["thread_id"]
    thread = checks.call(
        "get_chat_thread_client answers for an existing thread",
        lambda: chat_client.get_chat_thread_client(thread_id),
    )
    checks.holds("its thread_id is the given one", lambda: thread.thread_id == thread_id)
    checks.holds(
        "operations work through it", lambda: page.state["bob"]["id"] in ids(thread)
    )
    checks.refuses(
        "a thread that does not exist is refused",
        404,
        lambda: list(
            chat_client.get_chat_thread_client(f"19:{'0' * 32}@thread.v2").list_messages()
        ),
    )


def send_messages(page):
    """向聊天会话发送消息."""
    checks = page.checks
    checks.section("Send a message to a chat thread")
    thread = page.thread("alice")
    sent = page.state["sent"] = {}

    def send_one(name, content, **optional):
        result = checks.call(
            f"send_message answers: {name}", lambda: thread.send_message(content, **optional)
        )
        sent[name] = result and result.id
        return result

    result = send_one(
        "as on the page",
        "hello world",
        priority=ChatMessagePriority.NORMAL,
        sender_display_name="sender name",
    )
    checks.holds("the SendChatMessageResult has an id", lambda: result.id.isdigit())
    time.sleep(APART)
    send_one("high priority", "urgent", priority=ChatMessagePriority.HIGH)
    page.state["halfway"] = utcnow().isoformat()
    time.sleep(APART)
    send_one("content alone", "你好，世界 <b>&</b> 🌍")
    send_one("to be edited", "first version")
    send_one("to be deleted", "to be deleted")
    checks.holds("the id is unique", lambda: len(set(sent.values())) == len(sent))


def receive_messages(page):
    """从聊天会话接收聊天消息."""
    checks = page.checks
    checks.section("Receive chat messages from a chat thread")
    thread = page.thread("alice")
    sent = page.state["sent"]
    messages = checks.call("list_messages answers", lambda: newest(thread.list_messages()))
    checks.holds(
        "every message that was sent is there under its id",
        lambda: set(sent.values()) <= set(messages),
    )
    first = messages[sent["as on the page"]]
    checks.holds("a message has the content sent", lambda: first.content == "hello world")
    checks.holds(
        "any script and markup come back as sent",
        lambda: messages[sent["content alone"]].content == "你好，世界 <b>&</b> 🌍",
    )
    checks.holds("a message has the priority sent", lambda: first.priority == "Normal")
    checks.holds(
        "a high priority is kept", lambda: messages[sent["high priority"]].priority == "High"
    )
    checks.holds(
        "a message has the sender's display name",
        lambda: first.sender_display_name == "sender name",
    )
    checks.holds(
        "a message has its sender", lambda: first.sender.identifier == page.state["alice"]["id"]
    )
    checks.holds("a sent message is of the type Text", lambda: first.type == "Text")
    checks.holds(
        "a message has the time of its creation",
        lambda: abs(first.created_on - datetime.now(timezone.utc)) < timedelta(minutes=5),
    )
    apart = ["as on the page", "high priority", "content alone"]
    checks.holds(
        "created_on sorts messages in the order they were sent",
        lambda: sorted(apart, key=lambda name: messages[sent[name]].created_on) == apart
        and len({messages[sent[name]].created_on for name in apart}) == len(apart),
    )
    checks.holds(
        "a message that was not touched is neither edited nor deleted",
        lambda: first.edited_on is None and first.deleted_on is None,
    )
    checks.holds(
        "other members receive the same messages",
        lambda: set(sent.values()) <= set(newest(page.thread("bob").list_messages())),
    )
    answer = checks.call(
        "another member can send", lambda: page.thread("bob").send_message("hello Alice")
    )
    checks.holds(
        "polling finds a new message", lambda: answer.id in newest(thread.list_messages())
    )
    checks.holds(
        "pages of two hold the same messages as one list",
        lambda: [m.id for m in thread.list_messages(results_per_page=2)]
        == [m.id for m in thread.list_messages()],
    )


def edits_and_deletions(page):
    """list_messages 返回最新版本的消息."""
    checks = page.checks
    checks.section("Edited and deleted messages")
    thread = page.thread("alice")
    sent = page.state["sent"]
    edited, deleted = sent["to be edited"], sent["to be deleted"]
    before = newest(thread.list_messages())
    checks.call("update_message answers", lambda: thread.update_message(edited, "second version"))
    checks.call("delete_message answers", lambda: thread.delete_message(deleted))
    after = newest(thread.list_messages())
    checks.holds(
        "the list has the latest version of an edited message",
        lambda: after[edited].content == "second version",
    )
    checks.holds(
        "edited_on is the time of the edit",
        lambda: abs(after[edited].edited_on - datetime.now(timezone.utc)) < timedelta(minutes=5),
    )
    checks.holds(
        "created_on stays the original time",
        lambda: after[edited].created_on == before[edited].created_on,
    )
    checks.holds("an edited message is not deleted", lambda: after[edited].deleted_on is None)
    checks.holds("a deleted message stays in the list", lambda: deleted in after)
    checks.holds(
        "deleted_on is the time of the deletion",
        lambda: abs(after[deleted].deleted_on - datetime.now(timezone.utc))
        < timedelta(minutes=5),
    )
    checks.holds("a deleted message has no content", lambda: not after[deleted].content)
    checks.holds("every message appears once", lambda: len(after) == len(before))
    found = checks.call("get_message answers", lambda: thread.get_message(edited))
    checks.holds("get_message has the latest version", lambda: found.content == "second version")
    checks.refuses(
        "a message of somebody else cannot be edited",
        403,
        lambda: page.thread("bob").update_message(edited, "not mine"),
    )


def add_members(page):
    """将用户作为成员添加到聊天会话."""
    checks = page.checks
    checks.section("Add a user as member to the chat thread")
    thread = page.thread("alice")
    new_user = checks.call("create_user answers for a new user", lambda: page.new_user("carol"))
    checks.refuses(
        "before being added a user has no access",
        403,
        lambda: list(page.thread("carol").list_messages()),
    )
    checks.call(
        "add_members answers",
        lambda: thread.add_members(
            [member(new_user, display_name="name", share_history_time=utcnow())]
        ),
    )
    checks.holds("the user is a member then", lambda: new_user.identifier in ids(thread))
    carol = page.thread("carol")
    checks.call("an added member can send messages", lambda: carol.send_message("I am Carol"))
    page.new_user("dave")
    checks.call(
        "an added member can add members, a display name being optional",
        lambda: carol.add_members([member(page.user("dave"))]),
    )
    checks.holds("who was added so is a member", lambda: page.state["dave"]["id"] in ids(thread))
    checks.call(
        "an added member can remove members", lambda: carol.remove_member(page.user("dave"))
    )
    checks.holds(
        "who was removed so is no member", lambda: page.state["dave"]["id"] not in ids(thread)
    )

    def without_user():
        try:
            ChatThreadMember(display_name="nobody")
        except KeyError:
            return True
        return False

    checks.holds("a member needs a user", without_user)


def share_history(page):
    """share_history_time: all, nothing, or a part of the history."""
    checks = page.checks
    checks.section("Share history with a new member")
    thread = page.thread("alice")
    halfway = datetime.fromisoformat(page.state["halfway"])
    created_on = datetime.fromisoformat(page.state["created_on"])
    everything = [m.id for m in page.thread("bob").list_messages()]

    def joins(name, **optional):
        user = page.new_user(name)
        thread.add_members([member(user, **optional)])
        return page.thread(name)

    def sees_everything(other):
        return set(everything) <= {m.id for m in other.list_messages()}

    equal = checks.call(
        "a share_history_time equal to the thread's creation is taken",
        lambda: joins("erin", share_history_time=created_on.replace(tzinfo=None)),
    )
    checks.holds("it shares all of the history", lambda: sees_everything(equal))
    earlier = checks.call(
        "a share_history_time before the thread's creation is taken",
        lambda: joins("frank", share_history_time=datetime(1970, 1, 1)),
    )
    checks.holds("it shares all of the history as well", lambda: sees_everything(earlier))
    nothing = checks.call(
        "the current time as share_history_time is taken",
        lambda: joins("grace", share_history_time=utcnow()),
    )
    checks.holds("it shares nothing from before", lambda: texts(nothing) == [])
    partly = checks.call(
        "a share_history_time in between is taken",
        lambda: joins("heidi", share_history_time=halfway),
    )
    checks.holds(
        "it shares what was sent since then",
        lambda: {"second version", "hello Alice", "I am Carol"} <= set(texts(partly)),
    )
    checks.holds(
        "it does not share what was sent before",
        lambda: not {"hello world", "urgent"} & set(texts(partly)),
    )
    checks.refuses(
        "what is not shared cannot be read by its id either",
        404,
        lambda: nothing.get_message(page.state["sent"]["as on the page"]),
    )
    checks.call("a message follows", lambda: thread.send_message("for everybody"))
    checks.holds(
        "what is sent after joining is seen by all",
        lambda: all("for everybody" in texts(t) for t in (equal, earlier, nothing, partly)),
    )


def update_topic(page):
    """可使用 update_thread 函数更新主题."""
    checks = page.checks
    checks.section("Update the topic")
    thread = page.thread("alice")
    checks.call("update_thread answers", lambda: thread.update_thread(topic="another topic"))
    checks.holds(
        "the thread has the new topic",
        lambda: page.chat_client("alice").get_chat_thread(thread.thread_id).topic
        == "another topic",
    )


def remove_members(page):
    """从聊天会话中删除用户."""
    checks = page.checks
    checks.section("Remove user from a chat thread")
    thread = page.thread("alice")
    carol = page.thread("carol")
    checks.call("remove_member answers", lambda: thread.remove_member(page.user("carol")))
    checks.holds("the user is no member then", lambda: page.state["carol"]["id"] not in ids(thread))
    checks.refuses("the removed cannot send", 403, lambda: carol.send_message("still here?"))
    checks.refuses(
        "the removed cannot add members",
        403,
        lambda: carol.add_members([member(page.user("dave"))]),
    )
    checks.refuses(
        "the removed cannot remove members", 403, lambda: carol.remove_member(page.user("bob"))
    )
    checks.call("a message follows the removal", lambda: thread.send_message("Carol has left"))
    checks.holds(
        "the removed do not see what is sent later",
        lambda: "Carol has left" not in texts(carol),
    )
    checks.holds("the others see it", lambda: "Carol has left" in texts(page.thread("bob")))


def message_types(page):
    """list_messages 返回可由 ChatMessage.type 标识的不同类型的消息."""
    checks = page.checks
    checks.section("Message types")
    messages = checks.call(
        "list_messages answers with every type", lambda: list(page.thread("bob").list_messages())
    )

    def contents(kind):
        return [m.content for m in messages if m.type == kind]

    def tell(kind, element, values):
        found = contents(kind)
        return all(any(f"<{element}>{v}</{element}>" in c for c in found) for v in values)

    def members(*names):
        return [page.state[name]["id"] for name in names]

    checks.holds("Text: what members sent", lambda: "hello world" in contents("Text"))
    checks.holds(
        "ThreadActivity/TopicUpdate: the topic at the creation and the new one",
        lambda: tell("ThreadActivity/TopicUpdate", "value", ["test topic", "another topic"]),
    )
    checks.holds(
        "ThreadActivity/AddMember: the first members, and each who was added",
        lambda: tell(
            "ThreadActivity/AddMember", "target", members("alice", "bob", "carol", "dave", "erin")
        ),
    )
    checks.holds(
        "ThreadActivity/DeleteMember: who was removed",
        lambda: tell("ThreadActivity/DeleteMember", "target", members("carol", "dave"))
        and len(contents("ThreadActivity/DeleteMember")) == 2,
    )
    checks.holds(
        "there are no other types",
        lambda: {m.type for m in messages}
        == {"Text"} | {f"ThreadActivity/{k}" for k in ("TopicUpdate", "AddMember", "DeleteMember")},
    )


def object_model(page):
    """对象模型: what the table says that the clients do, as far as it was not done above."""
    checks = page.checks
    checks.section("Object model")
    thread = page.thread("alice")
    bob = page.thread("bob")
    message_id = page.state["sent"]["as on the page"]
    checks.call("send_typing_notification answers", bob.send_typing_notification)
    checks.call("send_read_receipt answers", lambda: bob.send_read_receipt(message_id))
    receipts = checks.call(
        "list_read_receipts answers", lambda: list(thread.list_read_receipts())
    )
    checks.holds(
        "a read receipt has its reader, message and time",
        lambda: [(r.sender.identifier, r.chat_message_id) for r in receipts]
        == [(page.state["bob"]["id"], message_id)]
        and abs(receipts[0].read_on - datetime.now(timezone.utc)) < timedelta(minutes=5),
    )
    client = page.chat_client("alice")
    other = page.state["other_thread_id"]
    checks.call("delete_chat_thread answers", lambda: client.delete_chat_thread(other))
    checks.refuses("a deleted thread is gone", 404, lambda: client.get_chat_thread(other))
    checks.holds(
        "a deleted thread is not listed",
        lambda: other not in {info.id for info in client.list_chat_threads()},
    )
    checks.call(
        "revoke_tokens answers", lambda: page.identity_client.revoke_tokens(page.user("grace"))
    )
    checks.refuses(
        "a revoked token is refused", 401, lambda: list(page.thread("grace").list_messages())
    )
    checks.call("delete_user answers", lambda: page.identity_client.delete_user(page.user("heidi")))


PHASES = {
    "send": [prerequisites, make_chat_client, start_thread, get_thread_client, send_messages],
    "receive": [
        receive_messages,
        edits_and_deletions,
        add_members,
        share_history,
        update_topic,
        remove_members,
        message_types,
        object_model,
    ],
}


if __name__ == "__main__":
    run_script(Page, PHASES)
