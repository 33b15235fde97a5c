// Two Rust clients and one of this SDK in one thread: they hear the same events in the same order,
// while four users write at the same time. Typing is not stored and has no place among what is.
//
//     node order.mjs --state STATE --results RESULTS PHASE...

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";
import { checks, finish, phases } from "../checks.mjs";
import { load } from "./node.mjs";

const { EVENTS, Listener, until } = await load("listener.mjs");
const { ChatClient } = await import("@azure/communication-chat");
const { AzureCommunicationTokenCredential } = await import("@azure/communication-common");
const { CommunicationIdentityClient } = await import("@azure/communication-identity");

const endpoint = process.env.COMMUNICATION_SERVICES_ENDPOINT;
const identity = new CommunicationIdentityClient(process.env.COMMUNICATION_SERVICES_CONNECTION_STRING);
const MESSAGES = 25;

/** A user who listens in a program of its own. */
class RustListener {
  heard = [];

  constructor(name, token) {
    this.name = name;
    const env = { ...process.env, ACCESS_TOKEN: token };
    // Its input ends with this script, and it with its input.
    this.program = spawn(process.env.CAVANSITE_LISTEN, { env, stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: this.program.stdout });
    lines.on("line", (line) => this.heard.push(JSON.parse(line)));
  }

  async start() {
    await until(`${this.name} to be connected`, () => this.heard.length > 0);
    const connected = this.heard.shift();
    if (connected.event !== "connected") throw new Error(`not connected: ${connected.event}`);
    return this;
  }

  stop() {
    this.program.stdin.end();
  }

  events() {
    return this.heard;
  }
}

/** What the SDK heard, as the Rust program writes it. */
class SdkListener extends Listener {
  events() {
    return this.heard.map(({ event, payload }) => ({
      event,
      threadId: payload.threadId,
      id: payload.id ?? payload.chatMessageId ?? null,
      version: payload.version ?? null,
    }));
  }
}

async function user() {
  const { user, token } = await identity.createUserAndToken(["chat"]);
  const client = new ChatClient(endpoint, new AzureCommunicationTokenCredential(token));
  return { id: user.communicationUserId, token, client };
}

const participant = ({ id }) => ({ id: { communicationUserId: id } });

/** Sends messages one after the other. */
async function talk(thread) {
  for (let i = 0; i < MESSAGES; i++) await thread.sendMessage({ content: `message ${i}` });
}

/** Does everything that is told to others, some of it again and again. */
async function act(thread, other) {
  for (let i = 0; i < MESSAGES; i++) {
    const { id } = await thread.sendMessage({ content: `to be edited ${i}` });
    await thread.sendTypingNotification();
    await thread.updateMessage(id, { content: `edited ${i}` });
    await thread.sendReadReceipt({ chatMessageId: id });
    if (i % 5 === 0) await thread.deleteMessage(id);
    if (i % 10 === 0) await thread.updateTopic(`topic ${i}`);
  }
  await thread.addParticipants({ participants: [participant(other)] });
  await thread.removeParticipant(participant(other).id);
}

/** Where two lists differ first. */
function difference(one, other) {
  const at = one.findIndex((event, at) => !isDeepStrictEqual(event, other[at]));
  if (at < 0 && one.length === other.length) return "";
  const place = at < 0 ? one.length : at;
  return `event ${place}: ${JSON.stringify(one[place])}, not ${JSON.stringify(other[place])}`;
}

/** Where what they were told differs first, of what is stored and then of typing. */
function disorder(one, other) {
  const isTyping = ({ event }) => event === "typingIndicatorReceived";
  const isStored = (heard) => !isTyping(heard);
  const stored = difference(one.filter(isStored), other.filter(isStored));
  return stored || difference(one.filter(isTyping), other.filter(isTyping));
}

for (const phase of phases) {
  checks.section = `${phase}: four users at once`;
  const [ada, ben, cleo, dan, eve] = await Promise.all(Array.from({ length: 5 }, user));
  const sdk = await new SdkListener("the SDK", ada.id, endpoint, ada.token).start();
  const rust = [new RustListener("a Rust client", ben.token), new RustListener("another", cleo.token)];
  for (const listener of rust) await listener.start();
  const participants = [ada, ben, cleo].map(participant);
  const created = await dan.client.createChatThread({ topic: "order" }, { participants });
  const threadOf = ({ client }) => client.getChatThreadClient(created.chatThread.id);
  await Promise.all([...[ada, ben, cleo].map((one) => talk(threadOf(one))), act(threadOf(dan), eve)]);
  await dan.client.deleteChatThread(created.chatThread.id);
  const listeners = [sdk, ...rust];
  for (const listener of listeners) {
    await checks.holds(`${listener.name} hears the end`, () =>
      until("the end", () => listener.events().some(({ event }) => event === "chatThreadDeleted")),
    );
  }
  const [expected, ...others] = listeners.map((listener) => listener.events());
  const kinds = new Set(expected.map(({ event }) => event));
  checks.record("the SDK hears all ten kinds of events", EVENTS.every((event) => kinds.has(event)));
  const received = expected.filter(({ event }) => event === "chatMessageReceived");
  const ids = new Set(received.map(({ id }) => id));
  checks.record(
    "the SDK hears each message once",
    received.length === 4 * MESSAGES && ids.size === 4 * MESSAGES,
    `${received.length} messages, ${ids.size} ids`,
  );
  for (const [at, events] of others.entries()) {
    const differs = disorder(expected, events);
    checks.record(`${rust[at].name} hears the same in the same order`, !differs, differs);
  }
  for (const listener of listeners) await listener.stop();
}
finish();
