// Runs the script of the example's page without a browser: `node page.mjs http://HOST:PORT ADMIN-HOST:PORT`.
//
// Goal: the page that is served, as it is, comes back on the UUID that its phone was sent.
// Method: the elements it touches are objects, its WebSocket is one over node's own HTTP.
import { request } from "node:http";
import { randomBytes } from "node:crypto";
import vm from "node:vm";

const url = new URL(process.argv[2]);

class Socket {
  readyState = 0;
  constructor(address) {
    const { hostname, port, pathname, search } = new URL(address);
    const headers = {
      Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    };
    const asked = request({ hostname, port, path: pathname + search, headers });
    asked.on("upgrade", (_, stream, head) => {
      this.stream = stream;
      this.readyState = 1;
      this.read = Buffer.alloc(0);
      stream.on("data", bytes => this.take(bytes));
      stream.on("close", () => this.end());
      stream.on("error", () => {});
      this.take(head);
    });
    asked.on("response", answer => { log("refused with " + answer.statusCode); this.end() });
    asked.on("error", () => this.end());
    asked.end();
  }
  // Frames here are short: a length of one byte, and none is masked.
  take(bytes) {
    this.read = Buffer.concat([this.read, bytes]);
    while (this.read.length >= 2 && this.read.length >= 2 + this.read[1]) {
      const end = 2 + this.read[1];
      const data = this.read.subarray(2, end).toString();
      if ((this.read[0] & 15) === 1) this.onmessage?.({ data });
      this.read = this.read.subarray(end);
    }
  }
  send(text) {
    const data = Buffer.from(text);
    const mask = randomBytes(4);
    const head = Buffer.from([0x81, 0x80 | data.length]);
    this.stream.write(Buffer.concat([head, mask, data.map((byte, at) => byte ^ mask[at % 4])]));
  }
  close() { this.stream?.destroy() }
  end() {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({});
  }
}

const elements = {};
const lines = [];
const log = line => { lines.push(line); console.log(line) };
const element = id => elements[id] ??= {
  textContent: "", checked: false, prepend: line => log(line.replace(/^.*?  /, "").trim()),
  append() {}, replaceChildren() {},
};
const html = await (await fetch(url)).text();
const script = html.split("<script>")[1].split("</script>")[0];
vm.runInNewContext(script, {
  document: { getElementById: element, createElement: element }, location: url, performance, WebSocket: Socket, URLSearchParams,
  fetch: path => fetch(new URL(path, url)), setTimeout, setInterval, clearInterval, Date, console,
});

// Waits until a line begins like this, behind the first `from`; gives the number of lines by then.
async function until(start, from) {
  for (let looks = 0; looks < 400; looks++) {
    const at = lines.findIndex((line, at) => at >= from && line.startsWith(start));
    if (at >= 0) return at + 1;
    await new Promise(done => setTimeout(done, 50));
  }
  console.log(`FAILED: no line "${start}"`);
  process.exit(1);
}

// Waits until the nlb has done a step for the page's user.
async function step(word) {
  for (let looks = 0; looks < 400; looks++) {
    const steps = await (await fetch(`http://${process.argv[3]}/steps?user=eve`)).text();
    if (steps.includes(word)) return;
    await new Promise(done => setTimeout(done, 50));
  }
  console.log(`FAILED: no step "${word}"`);
  process.exit(1);
}

const first = await until("a slot on ", 0);
const server = lines[first - 1].slice("a slot on ".length);
// A message each second: then the user is using.
element("busy").checked = true;
await step("the user is open");
element("off").onclick();
await step("asked to come back");
element("on").onclick();
const told = await until("the phone was sent UUID=", first);
await until("resumed on " + server, told);
console.log("DONE");
process.exit(0);
