// The newest JavaScript identity SDK: users, tokens, revocation, deletion.
//
// Its tokens are tried on the chat API by plain requests, so that a revocation is seen to bite.
//
//     node identity.mjs --state STATE --results RESULTS PHASE...

import { existsSync, readFileSync, writeFileSync, appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CommunicationIdentityClient } from "@azure/communication-identity";

const { values, positionals } = parseArgs({
  options: { state: { type: "string" }, results: { type: "string" } },
  allowPositionals: true,
});
const endpoint = process.env.COMMUNICATION_SERVICES_ENDPOINT;
const client = new CommunicationIdentityClient(
  process.env.COMMUNICATION_SERVICES_CONNECTION_STRING,
);
const state = existsSync(values.state) ? JSON.parse(readFileSync(values.state, "utf8")) : {};
let section = "";

function record(check, passed, detail) {
  const outcome = { section, check, outcome: passed ? "pass" : "fail" };
  if (!passed) outcome.detail = detail;
  appendFileSync(values.results, JSON.stringify(outcome) + "\n");
}

/** Records whether a call comes back, and hands on what it returns. */
async function call(check, operation) {
  try {
    const result = await operation();
    record(check, true);
    return result;
  } catch (error) {
    record(check, false, String(error));
    return undefined;
  }
}

/** Records whether a statement is true; an error makes it false. */
async function holds(check, statement) {
  try {
    record(check, Boolean(await statement()), "it is not so");
  } catch (error) {
    record(check, false, String(error));
  }
}

/** Records whether a call is refused with this HTTP status. */
async function refuses(check, status, operation) {
  try {
    await operation();
    record(check, false, "the call was not refused");
  } catch (error) {
    record(check, error.statusCode === status, String(error));
  }
}

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
  section = "Users and tokens";
  const user = await call("createUser answers", () => client.createUser());
  await holds("a user has an id", () => user.communicationUserId.startsWith("8:acs:"));
  const both = await call("createUserAndToken answers", () => client.createUserAndToken(["chat"]));
  await holds("its token is taken by chat", async () => (await status(both.token)) === 200);
  await holds("it lasts a day", () => lasts(both, 24 * 60));
  const token = await call("getToken answers", () => client.getToken(user, ["chat"]));
  await holds("its token is taken by chat too", async () => (await status(token.token)) === 200);
  const short = await call("getToken takes a lifetime", () =>
    client.getToken(user, ["chat"], { tokenExpiresInMinutes: 60 }),
  );
  await holds("the token lasts so long", () => lasts(short, 60));
  await refuses("a lifetime under an hour is refused", 400, () =>
    client.getToken(user, ["chat"], { tokenExpiresInMinutes: 59 }),
  );
  state.user = user;
  state.token = token?.token;

  section = "Access key";
  const wrong = new CommunicationIdentityClient(
    `endpoint=${endpoint}/;accesskey=d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk=`,
  );
  await refuses("another key is refused", 401, () => wrong.createUser());
}

async function revoke() {
  section = "Revocation and deletion";
  const { user, token: before } = state;
  await holds("a token issued before is still taken", async () => (await status(before)) === 200);
  await call("revokeTokens answers", () => client.revokeTokens(user));
  await holds("a revoked token is refused", async () => (await status(before)) === 401);
  const token = await call("a new token is issued", () => client.getToken(user, ["chat"]));
  await holds("the new token is taken", async () => (await status(token.token)) === 200);
  await call("deleteUser answers", () => client.deleteUser(user));
  await holds(
    "a token of a deleted user is refused",
    async () => (await status(token.token)) === 401,
  );
  await refuses("a deleted user gets no token", 401, () => client.getToken(user, ["chat"]));
}

const phases = { issue, revoke };
writeFileSync(values.results, "");
for (const phase of positionals) await phases[phase]();
writeFileSync(values.state, JSON.stringify(state));
