// The clients of the betas of February and March 2021, under the names that stable releases give to what
// they do.

/** An identity client. */
export function identityOf(client) {
  const { createUserWithToken, issueToken } = client;
  const renamed = {};
  if (createUserWithToken) renamed.createUserAndToken = createUserWithToken.bind(client);
  if (issueToken) renamed.getToken = issueToken.bind(client);
  return Object.assign(Object.create(client), renamed);
}

/** A chat client. */
export function chatOf(client) {
  return Object.assign(Object.create(client), {
    async createChatThread({ topic }, { participants = [], idempotencyToken } = {}) {
      const request = { topic, participants: participants.map(fromStable) };
      // beta.4 has the one, beta.5 the other.
      const repeat = {
        repeatabilityRequestID: idempotencyToken,
        repeatabilityRequestId: idempotencyToken,
      };
      const { chatThread, errors } = await client.createChatThread(request, repeat);
      return { chatThread, ...errors };
    },
    getChatThreadClient: (id) => threadOf(client, id),
  });
}

/** The client of a thread, which beta.4 hands out as a promise. */
function threadOf(client, id) {
  const thread = client.getChatThreadClient(id);
  const call = (name) => async (...given) => (await thread)[name](...given);
  const list = (name) => (options) => {
    const whole = async () => (await thread)[name](options);
    return {
      async *[Symbol.asyncIterator]() {
        for await (const item of await whole()) yield toStable(item);
      },
      async *byPage() {
        for await (const page of (await whole()).byPage()) yield page.map(toStable);
      },
    };
  };
  const names = ["sendMessage", "updateMessage", "deleteMessage", "removeParticipant"];
  names.push("sendTypingNotification", "sendReadReceipt");
  return {
    ...Object.fromEntries(names.map((name) => [name, call(name)])),
    getProperties: () => client.getChatThread(id),
    async updateTopic(topic) {
      const { updateTopic, updateThread } = await thread;
      await (updateTopic ? updateTopic.call(await thread, topic) : updateThread.call(await thread, { topic }));
    },
    getMessage: async (message) => toStable(await (await thread).getMessage(message)),
    listMessages: list("listMessages"),
    async addParticipants({ participants }) {
      const request = { participants: participants.map(fromStable) };
      const { errors } = await (await thread).addParticipants(request);
      return { ...errors };
    },
    listParticipants: list("listParticipants"),
    listReadReceipts: list("listReadReceipts"),
  };
}

/** A participant as both betas take it: one reads `user`, the other `id`. */
const fromStable = (participant) => ({ ...participant, user: participant.id });

/** A participant or a message, in which the betas have some people under other names, or as strings. */
function toStable(item) {
  const { user, content, ...rest } = item;
  if (user) return { id: user, ...rest };
  if (!content) return item;
  const { initiator, initiatorCommunicationIdentifier: identifier, participants } = content;
  const said = { ...content };
  const raw = identifier ? identifier.communicationUser.id : initiator;
  if (raw) said.initiator = { communicationUserId: raw };
  if (participants) said.participants = participants.map(toStable);
  return { ...rest, content: said };
}
