// Opens the example's page in a real browser: `node browser.mjs BROWSER http://HOST:PORT ADMIN-HOST:PORT [FOLDER]`.
//
// Goal: the page shows who has a slot, that of a user who leaves becomes free, and it comes back on the UUID that its
// phone was sent, all without an error in the console; and it fits a narrow screen.
// Method: Chromium without a window, driven over a pipe by its own protocol. Pictures go to FOLDER.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [program, address, admin, pictures] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "presently-browser-"));
const browser = spawn(program, [
  "--headless", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
  `--user-data-dir=${profile}`,
  // Root has no sandbox; the page is our own.
  ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const [, , , orders, words] = browser.stdio;
browser.on("error", error => end(`${program}: ${error.message}`));
browser.on("exit", code => end(`the browser ended with ${code}`));

// Messages are JSON, each ended by a zero byte.
const waiting = new Map();
const errors = [];
let session, last = 0, read = "";
words.setEncoding("utf8").on("data", text => {
  const messages = (read + text).split("\0");
  read = messages.pop();
  for (const message of messages) take(JSON.parse(message));
});

function take({ id, error, result, method, params }) {
  if (id) {
    const [done, failed] = waiting.get(id);
    waiting.delete(id);
    if (error) failed(new Error(error.message));
    else done(result);
  } else if (method === "Runtime.exceptionThrown") {
    errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
  } else if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(params.type)) {
    errors.push(params.args.map(it => it.value ?? it.description).join(" "));
  } else if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) {
    errors.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  }
}

function order(method, params = {}) {
  orders.write(JSON.stringify({ id: ++last, sessionId: session, method, params }) + "\0");
  return new Promise((done, failed) => waiting.set(last, [done, failed]));
}

async function evaluate(expression) {
  const { result, exceptionDetails } = await order("Runtime.evaluate", { expression, returnByValue: true });
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

function end(failure) {
  browser.removeAllListeners("exit");
  browser.on("exit", () => {
    // Its other processes may write a moment longer: a temporary folder that stays harms nobody.
    try { rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }) } catch {}
    console.log(failure ? `FAILED: ${failure}` : "DONE");
    process.exit(failure ? 1 : 0);
  });
  if (!browser.kill("SIGKILL")) browser.emit("exit");
}

const pause = ms => new Promise(done => setTimeout(done, ms));

// Waits until `look` gives something.
async function until(what, look) {
  for (let looks = 0; looks < 400; looks++) {
    const seen = await look();
    if (seen) return seen;
    await pause(50);
  }
  throw new Error(`${what} was not to be seen. The page:\n${await evaluate("document.body.innerText")}`);
}

const text = id => evaluate(`document.getElementById("${id}").textContent`);
const click = id => evaluate(`document.getElementById("${id}").click()`);
const logged = word => until(`"${word}"`, async () => (await text("log")).split("\n").find(line => line.includes(word)));
const step = word => until(`the step "${word}"`, async () =>
  (await (await fetch(`http://${admin}/steps?user=eve`)).text()).includes(word));
// Waits until the page shows eve where she should be: at one server, or at none.
const shown = server => until(`eve at ${server}`, async () => {
  const cards = await evaluate(`[...document.querySelectorAll("#slots section")]
    .map(card => [...card.children].map(it => it.textContent).join("|"))`);
  const expected = ["a1", "a2"].map(name => name === server ? `${name}: 1 slot in use|eve` : `${name}: no slots in use`);
  return cards.join() === expected.join();
});

async function size(width, height) {
  const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
  await order("Emulation.setDeviceMetricsOverride", metrics);
}

async function picture(name) {
  if (!pictures) return;
  const { data } = await order("Page.captureScreenshot", { format: "png", captureBeyondViewport: true });
  writeFileSync(join(pictures, name + ".png"), Buffer.from(data, "base64"));
}

async function play() {
  const { targetId } = await order("Target.createTarget", { url: "about:blank" });
  session = (await order("Target.attachToTarget", { targetId, flatten: true })).sessionId;
  for (const domain of ["Runtime", "Log", "Page"]) await order(domain + ".enable");
  await size(1000, 900);
  await order("Page.navigate", { url: address });
  await until("the page", () => evaluate(`location.protocol === "http:" && document.readyState === "complete"`));
  const server = (await logged("a slot on ")).match(/a slot on (\S+)/)[1];
  await shown(server);
  await picture("arrived");

  // She leaves without closing anything, after the time in which she is taken for using.
  await step("the user is open");
  await pause(4_000);
  await click("off");
  const closed = await logged("s after the phone logged off");
  const secs = Number(closed.match(/closed (\S+) s after/)[1]);
  if (secs > 2) throw new Error(closed);
  await shown("no server");
  if (await text("slot") !== "no server") throw new Error("the page holds a slot that is free");
  await picture("left");

  await click("on");
  await shown(server);

  // She uses the application while her phone is away for a moment.
  await click("busy");
  const eve = async () => (await (await fetch(`http://${admin}/sessions?user=eve`)).json()).sessions[0];
  await until("eve open again", async () => (await eve())?.presence === "open");
  const said = (await eve()).from_user_bytes;
  await until("eve using", async () => (await eve()).from_user_bytes > said);
  await click("off");
  await step("asked to come back");
  await click("on");
  const uuid = (await logged("the phone was sent UUID=")).match(/UUID=(\S+)/)[1];
  await logged("resumed on " + server);
  const { sessions } = await (await fetch(`http://${admin}/sessions?user=eve`)).json();
  if (sessions.length !== 1 || sessions[0].uuid !== uuid) throw new Error("another session: " + JSON.stringify(sessions));
  await picture("resumed");

  for (const width of [320, 768]) {
    await size(width, 700);
    const wide = await evaluate("document.documentElement.scrollWidth");
    if (wide > width) throw new Error(`the page is ${wide} wide on a screen of ${width}`);
    await picture(`wide-${width}`);
  }
  if (errors.length) throw new Error("in the console:\n" + errors.join("\n"));
}

play().then(() => end(), error => end(error.message));
