// docs/ui-library.md, and then two people who chat on the page that it makes: the unmodified
// ChatComposite in two contexts of headless Chromium, checked by what is seen. A picture of each step
// is left in the run's folder.
//
//     node ui-library.mjs --state STATE --results RESULTS --browser CHROMIUM --documents DOCS PHASE...

import { ChatClient } from "@azure/communication-chat";
import { AzureCommunicationTokenCredential } from "@azure/communication-common";
import { CommunicationIdentityClient } from "@azure/communication-identity";
import { checks, finish, phases, state } from "../checks.mjs";
import { launch } from "../chromium.mjs";
import { installsWhatIsTested, linksTo, run, servePage, writeFiles } from "./document.mjs";

// Generous: machines that run this are busy.
const WAIT_MS = 120_000;
// For the page to be built anew too, as its server does for each request.
const OPEN_MS = 180_000;
const VIEW = { viewport: { width: 900, height: 700 } };

const endpoint = process.env.COMMUNICATION_SERVICES_ENDPOINT;
const hostile = (words) => `${words} %22 %41 "quoted" <b>markup</b> &amp; \u{1F427}`;

/** What one person sees and does. */
class Person {
  constructor(name, page) {
    this.name = name;
    this.page = page;
    page.setDefaultTimeout(WAIT_MS);
    page.on("pageerror", (error) => console.error(`${name}: ${error}`));
  }

  bubble(text) {
    return this.page.locator("[data-ui-status]").filter({ hasText: text });
  }

  get sendBox() {
    return this.page.locator('[data-ui-id="sendbox-textfield"]');
  }

  /** Records whether that comes to be seen, and takes a picture of it. */
  async sees(what, locator) {
    await checks.holds(`${this.name} sees ${what}`, async () => {
      try {
        await locator.first().waitFor();
        return true;
      } finally {
        await this.picture(what);
      }
    });
  }

  /** Records whether that is no longer seen. */
  async seesNoMore(what, locator) {
    await checks.holds(`${this.name} no longer sees ${what}`, async () => {
      try {
        await locator.first().waitFor({ state: "hidden" });
        return true;
      } finally {
        await this.picture(`no ${what}`);
      }
    });
  }

  async send(text) {
    await this.sendBox.fill(text);
    await this.sendBox.press("Enter");
  }

  /** Chooses from the menu of an own message. */
  async choose(text, action) {
    const shown = { visible: true };
    await this.bubble(text).filter(shown).first().hover();
    await this.page.getByRole("button", { name: "More Options" }).filter(shown).first().click();
    const id = `chat-composite-message-contextual-menu-${action}-action`;
    await this.page.getByTestId(id).filter(shown).first().click();
  }

  async picture(what) {
    pictures += 1;
    const name = `${pictures}-${this.name}-${what}`.replaceAll(/[^\w-]+/g, "-");
    await this.page.screenshot({ path: `${name}.png` });
  }
}

let pictures = 0;

async function open(browser, name, link) {
  const context = await browser.newContext(VIEW);
  const person = new Person(name, await context.newPage());
  await person.page.goto(link, { timeout: OPEN_MS });
  return person;
}

/** The settings in a link, as the page reads them. */
const settings = (link) => Object.fromEntries(new URLSearchParams(new URL(link).hash.slice(1)));

/** Whether a page of that address can talk to the server. */
async function reaches(browser, address) {
  const page = await browser.newPage();
  await page.goto(address, { timeout: OPEN_MS });
  const reached = await page.evaluate(
    (url) => fetch(url).then(() => true, () => false),
    `${endpoint}/health/ready`,
  );
  await page.close();
  return reached;
}

async function document() {
  checks.section = "docs/ui-library.md";
  await checks.holds("it installs what is tested here, in these versions", installsWhatIsTested);
  writeFiles();
  const address = await servePage();
  await answers(address);
  let browser = await launch();
  await checks.holds("a page cannot talk to a server that is not trusted", async () => {
    return !(await reaches(browser, address));
  });
  await browser.close();
  await checks.holds("the certificate authority is trusted as it says", () => run("sh trust") !== undefined);
  browser = await launch();
  await checks.holds("then a page can", () => reaches(browser, address));
  await checks.holds("people, tokens and thread are made, with two links", () => {
    state.printed = run("sh people");
    return linksTo(address, state.printed).length === 2;
  });
  const [alice, bob] = await people(browser, address);
  for (const person of [alice, bob]) {
    await person.sees("the topic", person.page.getByText("Penguins", { exact: true }));
    await person.sees("who is there", person.page.getByText("Alice, Bob joined the chat."));
  }
  await alice.send("hello from the document");
  await bob.sees("a message", bob.bubble("hello from the document"));
  await browser.close();
}

function people(browser, address) {
  const names = ["Alice", "Bob"];
  const links = linksTo(address, state.printed);
  return Promise.all(links.map((link, i) => open(browser, names[i], link)));
}

/** Waits until the page is built. */
async function answers(address) {
  const begin = Date.now();
  for (;;) {
    const answer = await fetch(`${address}app.js`).catch(() => undefined);
    if (answer?.ok) return;
    if (Date.now() - begin > OPEN_MS) throw new Error("the page is not served");
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function messages(alice, bob) {
  checks.section = "Messages";
  for (const person of [alice, bob]) {
    await person.sees("what was said before", person.bubble("hello from the document"));
  }
  const first = hostile("first");
  await alice.send(first);
  await alice.sees("the own message", alice.bubble(first));
  await bob.sees("the other's message, with every sign", bob.bubble(first));
  await bob.sees("the other's name", bob.page.getByText("Alice", { exact: true }));
  const read = alice.page.locator('[data-ui-status="seen"]').filter({ hasText: first });
  await alice.sees("that the message was read", read);

  await bob.sendBox.pressSequentially("hm", { delay: 50 });
  const typing = alice.page.locator('[data-ui-id="typing-indicator"]');
  await alice.sees("that the other types", typing.getByText("Bob is typing"));
  await bob.send("an answer");
  await alice.sees("the answer", alice.bubble("an answer"));

  await alice.choose(first, "edit");
  const edited = hostile("edited");
  const box = alice.page.locator('[data-ui-id="edit-box"]').filter({ visible: true }).first();
  await box.fill(edited);
  await box.press("Enter");
  await bob.sees("the edited message", bob.bubble(edited));
  await bob.seesNoMore("the message as it was", bob.bubble(first));
  await bob.sees("that it was edited", bob.page.getByText("Edited", { exact: true }));

  await alice.choose(edited, "remove");
  for (const person of [alice, bob]) {
    await person.seesNoMore("the deleted message", person.bubble(edited));
  }
}

async function peopleAndTopic(alice, bob, link) {
  checks.section = "People and topic";
  const { token, threadId } = settings(link);
  const identity = new CommunicationIdentityClient(
    process.env.COMMUNICATION_SERVICES_CONNECTION_STRING,
  );
  const carol = await identity.createUserAndToken(["chat"]);
  const thread = (token) =>
    new ChatClient(endpoint, new AzureCommunicationTokenCredential(token)).getChatThreadClient(threadId);
  const displayName = hostile("Carol");
  await thread(token).addParticipants({ participants: [{ id: carol.user, displayName }] });
  for (const person of [alice, bob]) {
    await person.sees("who joins", person.page.getByText(`${displayName} joined the chat.`));
  }
  await thread(carol.token).removeParticipant(carol.user);
  for (const person of [alice, bob]) {
    await person.sees("who leaves", person.page.getByText(`${displayName} left the chat.`));
  }
  const topic = hostile("Puffins");
  await thread(token).updateTopic(topic);
  for (const person of [alice, bob]) {
    await person.sees("the new topic", person.page.getByText(topic, { exact: true }));
  }
}

async function conversation() {
  const address = await servePage();
  await answers(address);
  const browser = await launch();
  const [alice, bob] = await people(browser, address);
  try {
    await messages(alice, bob);
    await peopleAndTopic(alice, bob, linksTo(address, state.printed)[0]);
  } finally {
    await alice.picture("at the end");
    await bob.picture("at the end");
    await browser.close();
  }
}

const PHASES = { document, conversation };
for (const phase of phases) {
  try {
    await PHASES[phase]();
  } catch (error) {
    checks.record("the part comes to its end", false, String(error));
  }
}
finish();
