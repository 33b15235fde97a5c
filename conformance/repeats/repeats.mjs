// Sends whose answer is lost, by the unmodified JavaScript SDK: it repeats them under the same
// x-ms-client-request-id, and each must be stored once.
//
// The SDK speaks to the server through a proxy in this process that passes TLS on as it is. For every
// third message the proxy lets the request through and then, once the server has begun to answer,
// cuts the connection: the answer is lost. Ten times it asks for the server to be killed at that
// moment instead, by the line `kill` on standard output, and goes on at a line on standard input.
//
//     node repeats.mjs --state STATE --results RESULTS once|twice
//
// `once` expects each message once; `twice`, against a server where repeats are not recognised, expects
// some of them twice, which shows that the proxy really loses answers.

import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { AzureCommunicationTokenCredential } from "@azure/communication-common";
import { ChatClient } from "@azure/communication-chat";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { checks, finish, phases } from "../checks.mjs";

const MESSAGES = 200;
const LOST_EVERY = 3;
const KILLS = 10;
// What the client has sent of application data when it is past the handshake and has sent a request: the
// end of the handshake (in TLS 1.3) and the request.
const RECORDS_OF_A_REQUEST = 2;
const APPLICATION_DATA = 23;
// For the server to have done what it was asked before the connection goes.
const GRACE_MS = 30;

const [phase] = phases;
checks.section = phase;
const endpoint = new URL(process.env.COMMUNICATION_SERVICES_ENDPOINT);

/** Counts the records of a TLS stream that carry application data. */
function recordCounter() {
  let pending = Buffer.alloc(0);
  let count = 0;
  return (data) => {
    pending = Buffer.concat([pending, data]);
    while (pending.length >= 5) {
      const length = 5 + pending.readUInt16BE(3);
      if (pending.length < length) break;
      if (pending[0] === APPLICATION_DATA) count += 1;
      pending = pending.subarray(length);
    }
    return count;
  };
}

/** What is to happen to the next request: null, "cut" or "kill". */
let fate = null;
let cuts = 0;
let kills = 0;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function killServer() {
  console.log("kill");
  await answers.next();
}

const proxy = createServer((client) => {
  const server = connect(Number(endpoint.port), endpoint.hostname);
  const records = recordCounter();
  let lost = false;
  const close = () => (client.destroy(), server.destroy());
  for (const socket of [client, server]) socket.on("error", close).on("close", close);
  client.on("data", async (data) => {
    server.write(data);
    if (records(data) < RECORDS_OF_A_REQUEST || fate === null || lost) return;
    const what = fate;
    fate = null;
    lost = true;
    if (what === "kill") {
      kills += 1;
      await killServer();
    } else {
      cuts += 1;
      await new Promise((resolve) => setTimeout(resolve, GRACE_MS));
    }
    close();
  });
  server.on("data", (data) => {
    if (!lost) client.write(data);
  });
});
await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));

const identity = new CommunicationIdentityClient(
  process.env.COMMUNICATION_SERVICES_CONNECTION_STRING,
);
const { token } = await identity.createUserAndToken(["chat"]);
const retryOptions = { retryDelayInMs: 20, maxRetries: 8 };
const chat = new ChatClient(
  `https://127.0.0.1:${proxy.address().port}`,
  new AzureCommunicationTokenCredential(token),
  { retryOptions },
);
const { chatThread } = await chat.createChatThread({ topic: "repeats" });
const thread = chat.getChatThreadClient(chatThread.id);

const sent = [];
for (let n = 0; n < MESSAGES; n += 1) {
  const killEvery = Math.floor(MESSAGES / KILLS);
  if (phase === "once" && n % killEvery === killEvery - 1) fate = "kill";
  else if (n % LOST_EVERY === 0) fate = "cut";
  try {
    const { id } = await thread.sendMessage({ content: `message ${n}` });
    sent.push(id);
  } catch (error) {
    checks.record(`message ${n} is sent in the end`, false, String(error));
  }
}

const contents = [];
for await (const message of thread.listMessages()) {
  if (message.type === "text") contents.push(message.content.message);
}
const distinct = new Set(contents);
const missing = MESSAGES - distinct.size;
const doubled = contents.length - distinct.size;
console.error(
  `${phase}: ${contents.length} messages for ${MESSAGES} sends, ${cuts} answers lost, ${kills} kills`,
);
checks.record("no message is missing", missing === 0, `${missing} are`);
if (phase === "once") {
  checks.record("no message is there twice", doubled === 0, `${doubled} are`);
  checks.record("each send is answered with an id of its own", new Set(sent).size === MESSAGES, "not so");
  checks.record("the server was killed ten times", kills === KILLS, `${kills} times`);
} else {
  checks.record("without the recognition of repeats some are there twice", doubled > 0, "none is");
}
finish();
