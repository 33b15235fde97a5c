// Whom the real-time scripts tell of, made once and kept.

import { CommunicationIdentityClient } from "@azure/communication-identity";
import { state } from "../checks.mjs";

/** Two users with tokens and a third, and where the server is. */
export async function people() {
  if (!state.users) {
    const identity = new CommunicationIdentityClient(
      process.env.COMMUNICATION_SERVICES_CONNECTION_STRING,
    );
    state.users = [];
    for (let i = 0; i < 2; i++) {
      const { user, token } = await identity.createUserAndToken(["chat"]);
      state.users.push({ id: user.communicationUserId, token });
    }
    state.other = (await identity.createUser()).communicationUserId;
  }
  return {
    endpoint: process.env.COMMUNICATION_SERVICES_ENDPOINT,
    users: state.users,
    other: state.other,
  };
}
