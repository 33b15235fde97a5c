// One conversation over REST, by any release of the JavaScript SDKs since February 2021. Which it is, the
// environment says; what differs between them is asked of `has`.
//
//     node chat.mjs --state STATE --results RESULTS begin|resume

import https from "node:https";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { ChatClient } from "@azure/communication-chat";
import { AzureCommunicationTokenCredential } from "@azure/communication-common";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { checks, finish, phases, state } from "../checks.mjs";
import * as betas from "./betas.mjs";

/** The api-versions that releases send, by the release of the chat SDK. */
const SENT = {
  "1.0.0-beta.4": { chat: "2020-11-01-preview3", identities: "2021-03-07" },
  "1.0.0-beta.5": { chat: "2021-01-27-preview4", identities: "2021-03-07" },
  "1.0.0": { chat: "2021-03-07", identities: "2021-03-07" },
  "1.2.1": { chat: "2021-09-07", identities: "2022-06-01" },
  "1.3.2": { chat: "2021-09-07", identities: "2022-10-01" },
  "1.4.0": { chat: "2023-11-07", identities: "2023-10-01" },
  "1.5.4": { chat: "2024-03-07", identities: "2023-10-01" },
  "1.6.0-beta.7": { chat: "2024-06-05-preview", identities: "2023-10-01" },
  "1.6.0": { chat: "2025-03-15", identities: "2023-10-01" },
};
const release = createRequire(import.meta.url)("@azure/communication-chat/package.json").version;
const versions = SENT[release];
const has = {
  stableNames: versions.chat >= "2021-03-07",
  tokenLife: versions.identities >= "2022-10-01",
  messageMetadata: versions.chat >= "2021-09-07",
  threadMetadata: versions.chat >= "2024-06-05",
};

/** What was really sent, by the first segment of the path. */
const sent = { chat: new Set(), identities: new Set() };
const { request } = https;
https.request = (...given) => {
  const { path = String(given[0]) } = given[0];
  const url = new URL(path, process.env.COMMUNICATION_SERVICES_ENDPOINT);
  sent[url.pathname.split("/")[1]].add(url.searchParams.get("api-version"));
  return request(...given);
};
syncBuiltinESMExports();

const endpoint = process.env.COMMUNICATION_SERVICES_ENDPOINT;
const identityOf = (connectionString) => {
  const client = new CommunicationIdentityClient(connectionString);
  return has.stableNames ? client : betas.identityOf(client);
};
const identity = identityOf(process.env.COMMUNICATION_SERVICES_CONNECTION_STRING);
const chatOf = (token) => {
  const client = new ChatClient(endpoint, new AzureCommunicationTokenCredential(token));
  return has.stableNames ? client : betas.chatOf(client);
};
/** The thread of this conversation, as somebody in `state.people` sees it. */
const threadOf = (name) => chatOf(state.people[name].token).getChatThreadClient(state.thread);
const idOf = (name) => ({ communicationUserId: state.people[name].id });

async function all(list) {
  const found = [];
  for await (const item of list) found.push(item);
  return found;
}

/** The pages of a list. */
const pages = (list) => all(list.byPage());
const ids = (items) => items.map((item) => item.id);
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const recent = (time) => time instanceof Date && Math.abs(time.getTime() - Date.now()) < 60_000;

/** Pages of this size hold what the list holds, in its order. */
async function pagesOf(size, what, list) {
  await checks.holds(`pages of ${size} hold the same ${what}, in the same order`, async () => {
    const [whole, paged] = [await all(list()), await pages(list({ maxPageSize: size }))];
    return paged.length > 1 && paged.every((page) => page.length <= size) && same(whole, paged.flat());
  });
}

async function users() {
  checks.section = "Users and tokens";
  state.people = {};
  for (const name of ["owner", "guest", "late", "stranger"]) {
    const { user, token } = await identity.createUserAndToken(["chat"]);
    state.people[name] = { id: user.communicationUserId, token };
  }
  const user = await checks.call("createUser answers", () => identity.createUser());
  await checks.holds("a user has an id", () => user.communicationUserId.startsWith("8:acs:"));
  const token = await checks.call("getToken answers", () => identity.getToken(user, ["chat", "voip"]));
  await checks.holds("its token is taken by chat", async () =>
    same(await all(chatOf(token.token).listChatThreads()), []),
  );
  await checks.holds("its token lasts a day", () => recent(new Date(token.expiresOn - 86_400_000)));
  if (has.tokenLife) {
    await checks.holds("a token lasts as long as asked", async () => {
      const short = await identity.getToken(user, ["chat"], { tokenExpiresInMinutes: 60 });
      return recent(new Date(short.expiresOn - 3_600_000));
    });
  }
  await checks.call("revokeTokens answers", () => identity.revokeTokens(user));
  await checks.refuses("a revoked token is refused", 401, () =>
    all(chatOf(token.token).listChatThreads()),
  );
  await checks.call("deleteUser answers", () => identity.deleteUser(user));
  await checks.refuses("a deleted user gets no token", 401, () => identity.getToken(user, ["chat"]));
}

async function threads() {
  checks.section = "Threads";
  const owner = chatOf(state.people.owner.token);
  const options = {
    participants: [
      { id: idOf("owner"), displayName: "Owner" },
      { id: idOf("guest"), displayName: "Guest", metadata: { seat: "1" } },
    ],
    idempotencyToken: "e3a8f5a0-57c9-4f0e-93a9-1f2b6f4c7d11",
    metadata: { floor: "3" },
    retentionPolicy: { kind: "threadCreationDate", deleteThreadAfterDays: 40 },
  };
  const create = () => owner.createChatThread({ topic: "first topic" }, options);
  const created = await checks.call("createChatThread answers", create);
  await checks.holds("nobody is left out", () => !created.invalidParticipants);
  state.thread = created.chatThread.id;
  await checks.holds("the same idempotencyToken finds the same thread", async () =>
    same((await create()).chatThread.id, state.thread),
  );
  const found = await checks.call("getProperties answers", () => threadOf("guest").getProperties());
  await checks.holds("the thread has topic, creator and time", () =>
    found.id === state.thread && found.topic === "first topic" && recent(found.createdOn) &&
    found.createdBy.communicationUserId === state.people.owner.id,
  );
  if (has.threadMetadata) {
    await checks.holds("the thread has its metadata and its retention policy", () =>
      same(found.metadata, options.metadata) && same(found.retentionPolicy, options.retentionPolicy),
    );
  }
  await checks.call("more threads are created", async () => {
    await owner.createChatThread({ topic: "second topic" });
    await owner.createChatThread({ topic: "third topic" });
  });
  await checks.holds("listChatThreads lists them, newest first", async () => {
    const listed = await all(owner.listChatThreads());
    return same(listed.map((thread) => thread.topic), ["third topic", "second topic", "first topic"]) &&
      listed.every((thread) => recent(thread.lastMessageReceivedOn));
  });
  await checks.holds("who takes part in one lists that one", async () =>
    same(ids(await all(chatOf(state.people.guest.token).listChatThreads())), [state.thread]),
  );
  await pagesOf(2, "threads", (options) => owner.listChatThreads(options));
}

async function messages() {
  checks.section = "Messages";
  const [owner, guest] = [threadOf("owner"), threadOf("guest")];
  const sendings = {
    plain: [{ content: "plain words" }, {}],
    text: [{ content: "<b>as it is</b>" }, { type: "text", senderDisplayName: "Owner" }],
    html: [{ content: "<b>bold</b> words" }, { type: "html", metadata: { tags: "a,b" } }],
    edited: [{ content: "to be edited" }, { senderDisplayName: "Owner", metadata: { one: "1" } }],
    deleted: [{ content: "to be deleted" }, {}],
  };
  state.messages = {};
  for (const [name, [message, options]] of Object.entries(sendings)) {
    const { id } = await checks.call(`sendMessage answers: ${name}`, () =>
      owner.sendMessage(message, options),
    );
    state.messages[name] = id;
  }
  for (const name of ["plain", "text", "html"]) {
    const [{ content }, { type = "text", senderDisplayName = "", metadata }] = sendings[name];
    await checks.holds(`another reads it as it was sent: ${name}`, async () => {
      const read = await guest.getMessage(state.messages[name]);
      return read.type === type && read.content.message === content && recent(read.createdOn) &&
        read.senderDisplayName === senderDisplayName && !read.editedOn && !read.deletedOn &&
        read.sender.communicationUserId === state.people.owner.id &&
        (!has.messageMetadata || same(read.metadata ?? {}, metadata ?? {}));
    });
  }
  const { edited, deleted } = state.messages;
  await checks.call("updateMessage answers", () =>
    owner.updateMessage(edited, { content: "is edited", metadata: { two: "2" } }),
  );
  await checks.holds("an edited message has the new content and the time of the edit", async () => {
    const read = await guest.getMessage(edited);
    return read.content.message === "is edited" && recent(read.editedOn) && !read.deletedOn;
  });
  if (has.messageMetadata) {
    await checks.holds("an edit adds to the metadata", async () =>
      same((await guest.getMessage(edited)).metadata, { one: "1", two: "2" }),
    );
  }
  await checks.call("deleteMessage answers", () => owner.deleteMessage(deleted));
  await checks.holds("a deleted message stays without its content", async () => {
    const read = await guest.getMessage(deleted);
    return recent(read.deletedOn) && !read.content?.message;
  });
  await checks.holds("listMessages lists what was sent, what changed last first", async () => {
    const listed = await all(guest.listMessages());
    const { html, text, plain } = state.messages;
    return same(ids(listed.slice(0, 5)), [deleted, edited, html, text, plain]) &&
      same(listed.slice(5).map((message) => message.type), ["topicUpdated", "participantAdded"]);
  });
  await checks.holds("version and sequenceId fall in that order", async () => {
    const listed = await all(guest.listMessages());
    return listed.every((message, at) => {
      const next = listed[at + 1] ?? { version: "0", sequenceId: "0" };
      return Number(message.version) > Number(next.version) &&
        Number(message.sequenceId) > Number(next.sequenceId);
    });
  });
  await checks.holds("startTime leaves out what did not change since", async () => {
    const startTime = new Date(Date.now() + 60_000);
    return same(await all(guest.listMessages({ startTime })), []);
  });
  await pagesOf(3, "messages", (options) => guest.listMessages(options));
}

async function participants() {
  checks.section = "Participants";
  const [owner, guest] = [threadOf("owner"), threadOf("guest")];
  const names = async () => (await all(guest.listParticipants())).map((one) => one.displayName);
  await checks.refuses("before being added a user has no access", 403, () =>
    threadOf("late").getProperties(),
  );
  const added = await checks.call("addParticipants answers", () =>
    owner.addParticipants({
      participants: [{ id: idOf("late"), displayName: "Late", shareHistoryTime: new Date() }],
    }),
  );
  await checks.holds("nobody is left out", () => !added.invalidParticipants);
  await checks.holds("listParticipants lists them", async () =>
    same((await names()).sort(), ["Guest", "Late", "Owner"]),
  );
  await checks.holds("a participant has id and history", async () => {
    const late = (await all(guest.listParticipants())).find((one) => one.displayName === "Late");
    return late.id.communicationUserId === state.people.late.id && recent(late.shareHistoryTime);
  });
  if (has.threadMetadata) {
    await checks.holds("a participant has the metadata given", async () => {
      const found = (await all(guest.listParticipants())).find((one) => one.displayName === "Guest");
      return same(found.metadata, { seat: "1" });
    });
  }
  await pagesOf(2, "participants", (options) => guest.listParticipants(options));
  await checks.refuses("history that is not shared is not read", 404, () =>
    threadOf("late").getMessage(state.messages.plain),
  );
  await checks.call("who was added sends", () => threadOf("late").sendMessage({ content: "hello" }));
  await checks.holds("who does not exist is left out by name", async () => {
    const nobody = `${state.people.owner.id.slice(0, -12)}000000000000`;
    const request = { participants: [{ id: { communicationUserId: nobody } }] };
    const { invalidParticipants: [error] } = await owner.addParticipants(request);
    return error.target === nobody && error.code === "404";
  });
  await checks.call("removeParticipant answers", () => owner.removeParticipant(idOf("late")));
  await checks.holds("who was removed is not listed", async () =>
    same((await names()).sort(), ["Guest", "Owner"]),
  );
  await checks.refuses("who was removed cannot send", 403, () =>
    threadOf("late").sendMessage({ content: "let me in" }),
  );
}

async function topic() {
  checks.section = "Topic";
  const [owner, guest] = [threadOf("owner"), threadOf("guest")];
  await checks.call("updateTopic answers", () => owner.updateTopic("new topic"));
  await checks.holds("the thread has the new topic", async () =>
    (await guest.getProperties()).topic === "new topic",
  );
  if (has.threadMetadata) {
    await checks.call("updateProperties answers", () =>
      owner.updateProperties({ metadata: { floor: "4" }, retentionPolicy: { kind: "none" } }),
    );
    await checks.holds("the thread has what was updated, and the topic still", async () => {
      const { topic, metadata, retentionPolicy } = await guest.getProperties();
      return topic === "new topic" && metadata.floor === "4" && retentionPolicy.kind === "none";
    });
  }
  await checks.holds("the list tells topic, removal and addition, and who did it", async () => {
    const told = (await all(guest.listMessages())).filter(({ type }) => !["text", "html"].includes(type));
    const [renamed, removed, added, ...first] = told;
    const byOwner = ({ content }) => content.initiator.communicationUserId === state.people.owner.id;
    const about = ({ content: { participants: [one] } }) => one.id.communicationUserId;
    return renamed.type === "topicUpdated" && renamed.content.topic === "new topic" &&
      removed.type === "participantRemoved" && about(removed) === state.people.late.id &&
      added.type === "participantAdded" && about(added) === state.people.late.id &&
      first.length === 2 && told.every(byOwner);
  });
}

async function notices() {
  checks.section = "Typing and read receipts";
  const [owner, guest] = [threadOf("owner"), threadOf("guest")];
  await checks.holds("sendTypingNotification is taken", () => owner.sendTypingNotification());
  await checks.holds("so is one with a name", () =>
    guest.sendTypingNotification({ senderDisplayName: "Guest" }),
  );
  const { plain, html } = state.messages;
  await checks.call("sendReadReceipt answers", async () => {
    await guest.sendReadReceipt({ chatMessageId: plain });
    await guest.sendReadReceipt({ chatMessageId: html });
    await owner.sendReadReceipt({ chatMessageId: plain });
  });
  await checks.holds("listReadReceipts lists the latest of each", receiptsAreThere);
  await pagesOf(1, "receipts", (options) => owner.listReadReceipts(options));
  await checks.refuses("a receipt for no message is refused", 404, () =>
    guest.sendReadReceipt({ chatMessageId: "1" }),
  );
}

async function receiptsAreThere() {
  const found = await all(threadOf("owner").listReadReceipts());
  const by = (name) => found.find((one) => one.sender.communicationUserId === state.people[name].id);
  return found.length === 2 && found.every((one) => recent(one.readOn)) &&
    by("guest").chatMessageId === state.messages.html &&
    by("owner").chatMessageId === state.messages.plain;
}

async function refusals() {
  checks.section = "Refusals";
  const { owner, stranger } = state.people;
  const [head, payload, signature] = owner.token.split(".");
  const forged = [head, payload, [...signature].reverse().join("")].join(".");
  await checks.refuses("a token that was tampered with", 401, () =>
    chatOf(forged).createChatThread({ topic: "mine" }),
  );
  await checks.refuses("another access key", 401, () =>
    identityOf(
      `endpoint=${endpoint}/;accesskey=d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk=`,
    ).createUser(),
  );
  const outside = threadOf("stranger");
  await checks.refuses("reading a thread of others", 403, () => outside.getProperties());
  await checks.refuses("listing its messages", 403, () => all(outside.listMessages()));
  await checks.refuses("sending to it", 403, () => outside.sendMessage({ content: "hello" }));
  await checks.refuses("deleting it", 403, () =>
    chatOf(stranger.token).deleteChatThread(state.thread),
  );
  await checks.refuses("a thread that does not exist", 404, () =>
    chatOf(owner.token)
      .getChatThreadClient(`19:${"a".repeat(32)}@thread.v2`)
      .getProperties(),
  );
  await checks.refuses("a message that does not exist", 404, () => threadOf("owner").getMessage("1"));
  await checks.refuses("editing a message of somebody else", 403, () =>
    threadOf("guest").updateMessage(state.messages.plain, { content: "not mine" }),
  );
  await checks.refuses("deleting a message of somebody else", 403, () =>
    threadOf("guest").deleteMessage(state.messages.plain),
  );
  await checks.refuses("a message of an unknown type", 400, () =>
    threadOf("owner").sendMessage({ content: "hello" }, { type: "topicUpdated" }),
  );
}

/** What must be the same before and after. */
async function everything() {
  const guest = threadOf("guest");
  const lists = [guest.listMessages(), guest.listParticipants(), guest.listReadReceipts()];
  return JSON.parse(JSON.stringify([await guest.getProperties(), ...(await Promise.all(lists.map(all)))]));
}

/** The release sends the versions that it is here for, and no other. */
async function wire() {
  checks.section = "Versions";
  for (const [api, version] of Object.entries(versions)) {
    await checks.holds(`/${api} was asked in ${version}`, () => same([...sent[api]], [version]));
  }
}

async function begin() {
  for (const part of [users, threads, messages, participants, topic, notices, refusals, wire]) {
    await part();
  }
  state.everything = await everything();
}

async function resume() {
  checks.section = "Later";
  const [owner, guest] = [chatOf(state.people.owner.token), threadOf("guest")];
  await checks.holds("thread, messages, participants and receipts are as they were", async () =>
    same(await everything(), state.everything),
  );
  const { id } = await checks.call("sendMessage answers", () => guest.sendMessage({ content: "more" }));
  await checks.holds("it is the newest message", async () =>
    ids(await all(threadOf("owner").listMessages()))[0] === id && id > state.messages.deleted,
  );
  await checks.call("deleteChatThread answers", () => owner.deleteChatThread(state.thread));
  await checks.refuses("the thread is gone", 404, () => guest.getProperties());
  await checks.holds("it is not listed any more", async () => {
    const listed = await all(owner.listChatThreads());
    return same(listed.map((thread) => thread.topic), ["third topic", "second topic"]);
  });
  await checks.call("deleteUser answers", () => identity.deleteUser(idOf("owner")));
  await checks.refuses("a token of a deleted user is refused", 401, () => all(owner.listChatThreads()));
}

const PHASES = { begin, resume };
for (const phase of phases) await PHASES[phase]();
finish();
