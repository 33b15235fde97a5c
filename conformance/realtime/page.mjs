// What the page of browser.mjs does: it has the conversation, and hands each outcome on.

import { Checks } from "../named.mjs";
import { converse } from "./conversation.mjs";

window.begin = async (told) => {
  const written = [];
  const checks = new Checks((outcome) => written.push(window.write(outcome)));
  await converse({ ...told, checks });
  await Promise.all(written);
};
