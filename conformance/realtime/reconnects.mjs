// Interruptions, by the unmodified JavaScript SDK in Node: the server is killed or stopped and comes
// back, wires are cut or lose what clients say, a token expires. No message that was acknowledged may be
// lost or out of order; what comes twice has the same id and version.
//
// The server is ended by whoever runs this: it asks by a line `kill` or `stop` on standard output, and
// goes on at a line on standard input.
//
//     node reconnects.mjs --state STATE --results RESULTS PHASE

// First, since the SDK looks for the globals when it is imported.
import { load } from "./node.mjs";
import { createInterface } from "node:readline";
import { ChatClient } from "@azure/communication-chat";
import { AzureCommunicationTokenCredential } from "@azure/communication-common";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { Wire } from "./wire.mjs";
import { checks, finish } from "../checks.mjs";

const { Listener, pause, until } = await load("listener.mjs");

const SHORTEST_TOKEN_MINUTES = 1;
// For a token of the shortest life to expire, on a busy machine.
const EXPIRY_MS = SHORTEST_TOKEN_MINUTES * 60_000 + 60_000;
const PAUSE_BETWEEN_SENDS_MS = 20;

const endpoint = process.env.COMMUNICATION_SERVICES_ENDPOINT;
const identity = new CommunicationIdentityClient(
  process.env.COMMUNICATION_SERVICES_CONNECTION_STRING,
);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the server ended, and waits until it is back. */
async function server(end) {
  console.log(end);
  await answers.next();
}

async function createUser() {
  const { user, token } = await identity.createUserAndToken(["chat"]);
  return { id: user.communicationUserId, token };
}

/** Sends message after message. */
class Writer {
  /** What was acknowledged, in order. */
  sent = [];
  /** The texts of all, acknowledged or not. */
  tried = [];
  #count = 0;
  #going = true;

  constructor(thread, name, pauseMs = PAUSE_BETWEEN_SENDS_MS) {
    this.thread = thread;
    this.name = name;
    this.pauseMs = pauseMs;
    this.done = this.#write();
  }

  async #write() {
    while (this.#going) {
      const content = `${this.name} ${(this.#count += 1)} %22 \u{1F427}`;
      this.tried.push(content);
      try {
        const { id } = await this.thread.sendMessage({ content });
        this.sent.push({ id, content });
      } catch {
        // Not acknowledged: it may have been stored or not.
      }
      await pause(this.pauseMs);
    }
  }

  /** Until so many more are acknowledged. */
  more(count) {
    const goal = this.sent.length + count;
    return until("acknowledged messages", () => this.sent.length >= goal);
  }

  async stop() {
    this.#going = false;
    await this.done;
  }
}

/** What was heard of a writer's messages is what was sent. */
async function checkHeard(listener, writer) {
  const { name } = listener;
  const of = (payload) => payload.message.startsWith(`${writer.name} `);
  await checks.holds(`${name} loses no message, and hears them in order`, async () => {
    const last = writer.sent.at(-1).id;
    await listener.first("chatMessageReceived", (payload) => payload.id === last);
    const ids = listener.all("chatMessageReceived", of).map((payload) => payload.id);
    const sent = writer.sent.map(({ id }) => id);
    const heard = [...new Set(ids)].filter((id) => sent.includes(id));
    const lost = sent.filter((id) => !heard.includes(id));
    if (lost.length > 0) throw new Error(`${lost.length} of ${sent.length} are lost: ${lost}`);
    return JSON.stringify(heard) === JSON.stringify(sent);
  });
  await checks.holds(`${name} hears nothing twice but with the same id, version and text`, () => {
    const ids = new Map(writer.sent.map(({ id, content }) => [content, id]));
    const versions = new Map();
    return listener.all("chatMessageReceived", of).every(({ id, version, message }) => {
      if (!ids.has(message)) ids.set(message, id);
      if (!versions.has(id)) versions.set(id, version);
      const same = ids.get(message) === id && versions.get(id) === version;
      return same && writer.tried.includes(message);
    });
  });
}

/** Messages are sent while something happens; who is interrupted comes back and has them all. */
async function interrupted({ section, thread, listeners, interrupt, pauseMs }) {
  checks.section = section;
  const before = listeners.map(({ connected, disconnected }) => ({ connected, disconnected }));
  const writer = new Writer(thread, section, pauseMs);
  await writer.more(10);
  await interrupt(writer);
  for (const [i, listener] of listeners.entries()) {
    await checks.holds(`${listener.name} is cut off, and comes back`, () =>
      until("the return", () => {
        const gone = listener.disconnected > before[i].disconnected;
        return gone && listener.connected > before[i].connected;
      }),
    );
  }
  await writer.more(10);
  await writer.stop();
  for (const listener of listeners) await checkHeard(listener, writer);
}

/** Much happens while Bob is away, and the server is killed before he is back. */
async function away({ thread, bob, wire, other }) {
  checks.section = "Away while the server is killed";
  const edited = (await thread.sendMessage({ content: "to be edited" })).id;
  const deleted = (await thread.sendMessage({ content: "to be deleted" })).id;
  const are = (id) => (payload) => payload.id === id;
  await bob.first("chatMessageReceived", are(deleted));
  const { disconnected } = bob;
  const heard = bob.heard.length;
  wire.open = false;
  wire.cut();
  await until("Bob to be away", () => bob.disconnected > disconnected);
  const writer = new Writer(thread, "while he is away");
  await writer.more(20);
  await writer.stop();
  await thread.updateMessage(edited, { content: "edited %22" });
  await thread.deleteMessage(deleted);
  await thread.addParticipants({
    participants: [{ id: { communicationUserId: other }, displayName: "Carol %22" }],
  });
  await thread.removeParticipant({ communicationUserId: other });
  await thread.updateTopic("a new topic %22");
  await server("kill");
  checks.record("he hears nothing while he is away", bob.heard.length === heard);
  wire.open = true;
  await checkHeard(bob, writer);
  const told = {
    chatMessageEdited: (payload) => payload.id === edited && payload.message === "edited %22",
    chatMessageDeleted: are(deleted),
    participantsAdded: ({ participantsAdded: [one] }) => one.displayName === "Carol %22",
    participantsRemoved: ({ participantsRemoved: [one] }) => one.id.communicationUserId === other,
    chatThreadPropertiesUpdated: ({ properties }) => properties.topic === "a new topic %22",
  };
  for (const [event, fits] of Object.entries(told)) {
    await checks.holds(`then he hears ${event}`, () => bob.first(event, fits));
  }
}

/** What the client says is lost: it hears again what it could not answer. */
async function unheard({ thread, bob, wire }) {
  const times = () => bob.all("chatMessageReceived").length;
  const distinct = () => new Set(bob.all("chatMessageReceived").map(({ id }) => id)).size;
  const twice = times() - distinct();
  await interrupted({
    section: "What a client says is lost",
    thread,
    listeners: [bob],
    interrupt: async (writer) => {
      wire.deafen();
      await writer.more(10);
    },
  });
  checks.record("Bob hears again what he could not answer", times() - distinct() > twice);
}

/** A user whose credential fetches tokens, of the shortest life there is. */
async function fetching(name) {
  const { communicationUserId } = await identity.createUser();
  const one = { user: { communicationUserId }, fetched: 0 };
  const options = { tokenExpiresInMinutes: SHORTEST_TOKEN_MINUTES };
  const tokenRefresher = async () => {
    one.fetched += 1;
    return (await identity.getToken(one.user, ["chat"], options)).token;
  };
  one.listener = new Listener(name, communicationUserId, endpoint, { tokenRefresher });
  return one;
}

/** The connection ends with its token; the credential is asked for another. */
async function expires({ thread, one }) {
  const { listener } = one;
  const before = one.fetched;
  const { disconnected } = listener;
  await interrupted({
    section: "A token expires",
    thread,
    listeners: [listener],
    interrupt: () => until("the expiry", () => listener.disconnected > disconnected, EXPIRY_MS),
    pauseMs: 500,
  });
  checks.record(`${listener.name}'s credential is asked for another token`, one.fetched > before);
}

/** Who has no good token any more is cut off, and hears nothing more. */
async function revoked({ thread, alice, erik }) {
  checks.section = "Tokens are revoked";
  const last = async () => {
    const { id } = await thread.sendMessage({ content: "to whom it may concern" });
    return (payload) => payload.id === id;
  };
  await checks.holds("Erik hears a message", async () => {
    return erik.first("chatMessageReceived", await last());
  });
  await identity.revokeTokens({ communicationUserId: erik.id });
  await checks.holds("Erik is cut off", () => until("the end", () => erik.disconnected > 0));
  await checks.holds("Erik hears nothing more", async () => {
    const of = await last();
    await alice.first("chatMessageReceived", of);
    return erik.all("chatMessageReceived", of).length === 0;
  });
}

async function conversation() {
  const { hostname, port } = new URL(endpoint);
  const users = [await createUser(), await createUser(), await createUser()];
  const other = (await createUser()).id;
  const wires = [await new Wire().to({ hostname, port }), await new Wire().to({ hostname, port })];
  const [alice, bob] = ["Alice", "Bob"].map(
    (name, i) => new Listener(name, users[i].id, wires[i].endpoint, users[i].token),
  );
  const erik = new Listener("Erik", users[2].id, endpoint, users[2].token);
  const dora = await fetching("Dora");

  const chat = new ChatClient(endpoint, new AzureCommunicationTokenCredential(users[0].token));
  const person = ({ id, name }) => ({ id: { communicationUserId: id }, displayName: name });
  const { chatThread } = await chat.createChatThread(
    { topic: "interruptions" },
    { participants: [alice, bob, dora.listener, erik].map(person) },
  );
  const thread = chat.getChatThreadClient(chatThread.id);
  const listeners = [alice, bob];
  for (const listener of [...listeners, dora.listener, erik]) await listener.start();

  await interrupted({
    section: "Sockets are cut",
    thread,
    listeners,
    interrupt: async (writer) => {
      for (let i = 0; i < 3; i++) {
        for (const wire of wires) wire.cut();
        await writer.more(5);
      }
    },
  });
  await unheard({ thread, bob, wire: wires[1] });
  await revoked({ thread, alice, erik });
  // By now much of Dora's minute has gone by.
  await expires({ thread, one: dora });
  await dora.listener.stop();

  const end = (section, how) =>
    interrupted({ section, thread, listeners, interrupt: () => server(how) });
  await end("The server is killed", "kill");
  await end("The server is stopped", "stop");
  await away({ thread, bob, wire: wires[1], other });
}

try {
  await conversation();
} catch (error) {
  checks.record("the conversation comes to its end", false, String(error));
}
finish();
