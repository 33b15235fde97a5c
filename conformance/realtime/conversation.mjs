// A conversation of two users who listen, in Node or in a page: all ten events at both, each payload
// compared whole with what REST says, and every text in it hostile; then connections that are cut.

import { Listener, closeSockets, until } from "./listener.mjs";

/** What breaks text that is put together without care: percent signs, quotes, markup, emoji. */
const HOSTILE =
  "%22 %41 %u0041 100% \"quoted\" 'so' \\\" </script><b>bold</b> &amp; \u{1F427} \u2028";
const hostile = (words) => `${words} ${HOSTILE}`;

const kind = (id) => ({ communicationUserId: id, kind: "communicationUser" });
const digits = (value) => /^\d+$/.test(value);
const second = (time) => Math.floor(time.getTime() / 1000);
const now = (time) => time instanceof Date && Math.abs(time.getTime() - Date.now()) < 60_000;
const RECEIVED_AS = { text: "Text", html: "RichText/Html" };

/** Where a payload is not what is wanted: a value, a time to the second, or a condition. */
function difference(found, wanted, place) {
  const differs = `${place}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`;
  if (typeof wanted === "function") return wanted(found) ? undefined : `${place}: ${found}`;
  if (wanted instanceof Date) {
    return found instanceof Date && second(found) === second(wanted) ? undefined : differs;
  }
  if (typeof wanted !== "object" || wanted === null) return found === wanted ? undefined : differs;
  if (typeof found !== "object" || found === null) return differs;
  if (Array.isArray(found) !== Array.isArray(wanted)) return differs;
  for (const key of new Set([...Object.keys(found), ...Object.keys(wanted)])) {
    const inside = difference(found[key], wanted[key], `${place}.${key}`);
    if (inside) return inside;
  }
  return undefined;
}

/** Without members that are not given, as REST has them. */
const given = (object) =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

class Conversation {
  constructor(told) {
    Object.assign(this, told);
    /** How often each event must have been heard in the thread. */
    this.counts = {};
  }

  /** Both hear the event, and its payload is what is wanted. */
  async both(event, wanted, fits = () => true) {
    const inThread = (payload) => payload.threadId === this.threadId && fits(payload);
    this.counts[event] = (this.counts[event] ?? 0) + 1;
    for (const listener of this.listeners) {
      await this.checks.holds(`${listener.name} hears ${event}, as REST tells it`, async () => {
        const found = await listener.first(event, inThread);
        const addressed = "sender" in found ? { recipient: kind(listener.id) } : {};
        const differs = difference(given(found), { ...wanted, ...addressed }, event);
        if (differs) throw new Error(differs);
        return true;
      });
    }
  }

  /** A participant as events have them, from what REST says. */
  participant({ id, displayName, shareHistoryTime, metadata }) {
    return given({
      id: kind(id.communicationUserId),
      displayName,
      // Who has the whole history has the epoch in REST; the SDK takes that 0 of an event for none.
      shareHistoryTime: shareHistoryTime?.getTime() === 0 ? undefined : shareHistoryTime,
      metadata: this.today ? metadata ?? {} : undefined,
    });
  }

  async participants() {
    const found = [];
    for await (const one of this.thread.listParticipants()) found.push(this.participant(one));
    return found;
  }

  async participantOf(id) {
    const all = await this.participants();
    return all.find((one) => one.id.communicationUserId === id);
  }

  /** Topic, metadata and retention as events have them, from what REST says. */
  async properties() {
    const { topic, metadata, retentionPolicy } = await this.thread.getProperties();
    // 1.5.4 hands on what it does not know.
    if (!this.today) return { properties: { topic, acsChatThreadMetadata: "{}" } };
    return {
      properties: { topic, metadata: metadata ?? {} },
      retentionPolicy: retentionPolicy ?? { kind: "none" },
    };
  }

  /** A message as the events of it have it, from what REST says. */
  async message(id) {
    const told = await this.thread.getMessage(id);
    return {
      threadId: this.threadId,
      id,
      version: told.version,
      createdOn: told.createdOn,
      sender: kind(told.sender.communicationUserId),
      senderDisplayName: told.senderDisplayName,
      type: RECEIVED_AS[told.type],
      content: told.content?.message,
      metadata: told.metadata ?? {},
      editedOn: told.editedOn,
      deletedOn: told.deletedOn,
    };
  }

  async create() {
    this.checks.section = this.part("Thread");
    const [alice, bob] = this.listeners;
    const topic = hostile("first topic");
    const metadata = { [hostile("key")]: hostile("of the thread") };
    const retentionPolicy = { kind: "threadCreationDate", deleteThreadAfterDays: 60 };
    const { chatThread } = await alice.client.createChatThread(
      { topic },
      {
        participants: [person(alice.id, hostile("Alice")), person(bob.id, hostile("Bob"))],
        ...(this.today ? { metadata, retentionPolicy } : {}),
      },
    );
    this.threadId = chatThread.id;
    this.thread = alice.client.getChatThreadClient(chatThread.id);
    const properties = await this.properties();
    await this.checks.holds("REST has the topic as it was given", () => {
      return properties.properties.topic === topic;
    });
    const participants = await this.participants();
    const key = (one) => one.id.communicationUserId;
    const sorted = (list) => list.toSorted((a, b) => key(a).localeCompare(key(b)));
    await this.both("chatThreadCreated", {
      threadId: this.threadId,
      version: digits,
      createdOn: chatThread.createdOn,
      createdBy: await this.participantOf(alice.id),
      participants: (found) => !difference(sorted(found), sorted(participants), "people"),
      ...properties,
    });
  }

  async messages() {
    for (const type of ["text", "html"]) {
      this.checks.section = this.part(`Messages, ${type}`);
      await this.messageOf(type);
    }
    this.checks.section = this.part("Typing");
    const senderDisplayName = hostile("typing");
    await this.thread.sendTypingNotification({ senderDisplayName });
    await this.both("typingIndicatorReceived", {
      threadId: this.threadId,
      senderDisplayName,
      sender: kind(this.listeners[0].id),
      version: digits,
      receivedOn: now,
    });
  }

  async messageOf(type) {
    const { thread } = this;
    const content = type === "html" ? `<b>bold</b> ${HOSTILE}` : HOSTILE;
    const metadata = { [hostile("key")]: hostile("value") };
    const { id } = await thread.sendMessage(
      { content },
      { type, senderDisplayName: hostile("Alice"), metadata },
    );
    const of = (payload) => payload.id === id;
    const sent = await this.message(id);
    await this.checks.holds("REST has name, text and metadata as they were given", () => {
      const is = sent.content === content || (type === "html" && sent.content.includes("%22"));
      return is && sent.senderDisplayName === hostile("Alice") && !difference(sent.metadata, metadata);
    });
    const event = ({ content: message, ...rest }) => given({ ...rest, message, attachments: [] });
    await this.both("chatMessageReceived", event(sent), of);

    await thread.updateMessage(id, {
      content: `edited ${content}`,
      metadata: { edited: HOSTILE },
    });
    const edited = await this.message(id);
    await this.checks.holds("REST has the edit", () => {
      return edited.content.startsWith("edited ") && edited.metadata.edited === HOSTILE;
    });
    await this.both("chatMessageEdited", event(edited), of);

    await thread.sendReadReceipt({ chatMessageId: id });
    const alice = this.listeners[0].id;
    const receipts = [];
    for await (const receipt of thread.listReadReceipts()) receipts.push(receipt);
    const own = receipts.find(({ sender }) => sender.communicationUserId === alice);
    const receipt = {
      threadId: this.threadId,
      chatMessageId: id,
      readOn: own.readOn,
      sender: kind(alice),
      senderDisplayName: "",
    };
    await this.both("readReceiptReceived", receipt, (payload) => payload.chatMessageId === id);

    await thread.deleteMessage(id);
    const { content: _, metadata: __, editedOn: ___, ...deleted } = await this.message(id);
    await this.both("chatMessageDeleted", deleted, of);
  }

  async people() {
    this.checks.section = this.part("People and topic");
    const { thread, threadId, other } = this;
    const [alice] = this.listeners;
    const carol = {
      ...person(other, hostile("Carol")),
      shareHistoryTime: new Date(Date.now() - 3_600_000),
      ...(this.today ? { metadata: { [hostile("key")]: hostile("of Carol") } } : {}),
    };
    await thread.addParticipants({ participants: [carol] });
    const added = await this.participantOf(other);
    await this.checks.holds("REST has the name as it was given", () => {
      return added.displayName === carol.displayName;
    });
    const by = await this.participantOf(alice.id);
    await this.both("participantsAdded", {
      threadId,
      version: digits,
      addedOn: now,
      addedBy: by,
      participantsAdded: [added],
    });
    await thread.removeParticipant({ communicationUserId: other });
    await this.both("participantsRemoved", {
      threadId,
      version: digits,
      removedOn: now,
      removedBy: by,
      participantsRemoved: [added],
    });
    await thread.updateTopic(hostile("second topic"));
    await this.both("chatThreadPropertiesUpdated", {
      threadId,
      version: digits,
      updatedOn: now,
      updatedBy: by,
      ...(await this.properties()),
    });
    this.by = by;
  }

  /** Neither heard anything twice, or anything else. */
  async countHeard() {
    this.checks.section = this.part("Nothing else");
    for (const { name, heard } of this.listeners) {
      await this.checks.holds(`${name} hears each event once`, () => {
        const counts = {};
        for (const { event, payload } of heard) {
          if (payload.threadId === this.threadId) counts[event] = (counts[event] ?? 0) + 1;
        }
        const differs = difference(counts, this.counts, "times");
        if (differs) throw new Error(differs);
        return true;
      });
    }
  }

  /** Every socket is cut while messages are sent: each message comes, in order. */
  async cut() {
    this.checks.section = this.part("Cut connections");
    const sent = [];
    for (let i = 0; i < 30; i++) {
      if (i % 10 === 5) closeSockets();
      sent.push((await this.thread.sendMessage({ content: `after the cut ${i}` })).id);
    }
    for (const listener of this.listeners) {
      await this.checks.holds(`${listener.name} loses no message, and hears them in order`, async () => {
        await listener.first("chatMessageReceived", (payload) => payload.id === sent.at(-1));
        const heard = listener.all("chatMessageReceived", (payload) => sent.includes(payload.id));
        const ids = heard.map((payload) => payload.id);
        const first = ids.filter((id, at) => ids.indexOf(id) === at);
        return JSON.stringify(first) === JSON.stringify(sent);
      });
      await this.checks.holds(`${listener.name} was cut off, and came back`, () =>
        until("the return", () => listener.disconnected > 0 && listener.connected > 1),
      );
    }
  }

  async remove() {
    this.checks.section = this.part("End");
    const [alice] = this.listeners;
    await alice.client.deleteChatThread(this.threadId);
    await this.both("chatThreadDeleted", {
      threadId: this.threadId,
      version: digits,
      deletedOn: now,
      deletedBy: this.by,
      ...(this.today ? { reason: "deletedByUser" } : {}),
    });
  }

  part(name) {
    return `${this.phase}: ${name}`;
  }
}

function person(id, displayName) {
  return { id: { communicationUserId: id }, displayName };
}

/**
 * Has the conversation.
 *
 * `users` are Alice and Bob (`id`, `token`), `other` the id of a third; `today` says that the SDK knows
 * metadata of threads and people, which 1.5.4 does not.
 */
export async function converse({ endpoint, users, other, phase, today, checks }) {
  checks.section = `${phase}: Start`;
  const listeners = [];
  for (const [i, name] of ["Alice", "Bob"].entries()) {
    const { id, token } = users[i];
    await checks.holds(`${name} is connected`, async () => {
      listeners.push(await new Listener(name, id, endpoint, token).start());
      return true;
    });
  }
  if (listeners.length < 2) return;
  const conversation = new Conversation({ listeners, other, phase, today, checks });
  try {
    await conversation.create();
    await conversation.messages();
    await conversation.people();
    await conversation.countHeard();
    await conversation.cut();
    await conversation.remove();
  } catch (error) {
    checks.record("the conversation comes to its end", false, String(error));
  }
  for (const listener of listeners) await listener.stop();
}
