// Real-time notifications by the unmodified JavaScript SDK in Node: see conversation.mjs.
//
//     node realtime.mjs --state STATE --results RESULTS PHASE...

import { load, today } from "./node.mjs";
import { checks, finish, phases } from "../checks.mjs";
import { people } from "./people.mjs";

const { converse } = await load("conversation.mjs");

for (const phase of phases) await converse({ ...(await people()), phase, today, checks });
finish();
