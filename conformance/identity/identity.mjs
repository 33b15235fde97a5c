// The newest JavaScript identity SDK: users, tokens, revocation, deletion.
//
// Its tokens are tried on the chat API by plain requests, so that a revocation is seen to bite.
//
//     node identity.mjs --state STATE --results RESULTS PHASE...

import { CommunicationIdentityClient } from "@azure/communication-identity";
import { checks, finish, phases, state } from "../checks.mjs";

const endpoint = process.env.COMMUNICATION_SERVICES_ENDPOINT;
const client = new CommunicationIdentityClient(
  process.env.COMMUNICATION_SERVICES_CONNECTION_STRING,
);

/** What the chat API answers to this token. */
async function status(token) {
  const answer = await fetch(`${endpoint}/chat/threads?api-version=2020-09-21-preview2`, {
    headers: { Authorization: `Bearer ${token}` },
  });
  await answer.arrayBuffer();
  return answer.status;
}

/** Whether a token ends about so many minutes from now. */
function lasts(token, minutes) {
  return Math.abs(token.expiresOn.getTime() - Date.now() - minutes * 60_000) < 5 * 60_000;
}

async function issue() {
  checks.section = "Users and tokens";
  const user = await checks.call("createUser answers", () => client.createUser());
  await checks.holds("a user has an id", () => user.communicationUserId.startsWith("8:acs:"));
  const both = await checks.call("createUserAndToken answers", () => client.createUserAndToken(["chat"]));
  await checks.holds("its token is taken by chat", async () => (await status(both.token)) === 200);
  await checks.holds("it lasts a day", () => lasts(both, 24 * 60));
  const token = await checks.call("getToken answers", () => client.getToken(user, ["chat"]));
  await checks.holds("its token is taken by chat too", async () => (await status(token.token)) === 200);
  const short = await checks.call("getToken takes a lifetime", () =>
    client.getToken(user, ["chat"], { tokenExpiresInMinutes: 60 }),
  );
  await checks.holds("the token lasts so long", () => lasts(short, 60));
  await checks.refuses("a lifetime under an hour is refused", 400, () =>
    client.getToken(user, ["chat"], { tokenExpiresInMinutes: 59 }),
  );
  state.user = user;
  state.token = token?.token;

  checks.section = "Access key";
  const wrong = new CommunicationIdentityClient(
    `endpoint=${endpoint}/;accesskey=d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk=`,
  );
  await checks.refuses("another key is refused", 401, () => wrong.createUser());
}

async function revoke() {
  checks.section = "Revocation and deletion";
  const { user, token: before } = state;
  await checks.holds("a token issued before is still taken", async () => (await status(before)) === 200);
  await checks.call("revokeTokens answers", () => client.revokeTokens(user));
  await checks.holds("a revoked token is refused", async () => (await status(before)) === 401);
  const token = await checks.call("a new token is issued", () => client.getToken(user, ["chat"]));
  await checks.holds("the new token is taken", async () => (await status(token.token)) === 200);
  await checks.call("deleteUser answers", () => client.deleteUser(user));
  await checks.holds(
    "a token of a deleted user is refused",
    async () => (await status(token.token)) === 401,
  );
  await checks.refuses("a deleted user gets no token", 401, () => client.getToken(user, ["chat"]));
}

const PHASES = { issue, revoke };
for (const phase of phases) await PHASES[phase]();
finish();
