"use strict";
// Verifies in this page that a leaf stands in the log: its bytes, its body, its path to the root, the root in the checkpoint, the
// checkpoint under the log's key. Nothing of it is taken from the server's word but what is compared. RFC 6962 and RFC 9162 §2.1.3.2,
// C2SP tlog-checkpoint and signed-note, with the browser's own SHA-256, HMAC and Ed25519.
(function () {
  const page = document.querySelector("[data-verify]");
  if (!page) return;
  const subtle = window.crypto && window.crypto.subtle;
  const one = (selector) => page.querySelector(selector);
  const text = new TextEncoder();
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const base64 = (array) => btoa(String.fromCharCode(...array));
  const hex = (array) => Array.from(array, (b) => b.toString(16).padStart(2, "0")).join("");
  const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
  const join = (...parts) => {
    const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
    parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
    return all;
  };
  const sha256 = async (...parts) => new Uint8Array(await subtle.digest("SHA-256", join(...parts)));
  const LEAF = Uint8Array.of(0), NODE = Uint8Array.of(1);

  function say(step, state, lines) {
    const item = one(`[data-step="${step}"]`);
    for (const chip of item.querySelectorAll("[data-is]")) chip.hidden = chip.dataset.is !== state;
    item.dataset.state = state;
    const value = item.querySelector(".value");
    value.replaceChildren();
    for (const line of lines || []) {
      const row = value.appendChild(document.createElement("div"));
      if (line[0]) row.append(line[0] + " ");
      const code = row.appendChild(document.createElement("code"));
      code.textContent = line[1];
    }
    return state !== "bad";
  }

  // The root that a leaf's hash and its path lead to: RFC 9162 §2.1.3.2; null where the path is too short or too long.
  async function climb(hash, number, size, path, told) {
    let at = BigInt(number), last = BigInt(size) - 1n;
    if (at > last) return null;
    for (const step of path) {
      if (last === 0n) return null;
      if ((at & 1n) === 1n || at === last) {
        told.push([page.dataset.left, hex(step)]);
        hash = await sha256(NODE, step, hash);
        while ((at & 1n) === 0n && at !== 0n) (at >>= 1n), (last >>= 1n);
      } else {
        told.push([page.dataset.right, hex(step)]);
        hash = await sha256(NODE, hash, step);
      }
      at >>= 1n;
      last >>= 1n;
    }
    return last === 0n ? hash : null;
  }

  // A signed note: the text that is signed, its three lines, the signature lines.
  function note(checkpoint) {
    const cut = checkpoint.indexOf("\n\n");
    if (cut < 0) return null;
    const signed = checkpoint.slice(0, cut + 1);
    const lines = signed.split("\n");
    if (lines.length !== 4 || !/^(0|[1-9][0-9]*)$/.test(lines[1])) return null;
    const signatures = checkpoint.slice(cut + 2).split("\n").filter((line) => line.startsWith("\u2014 "));
    return { signed, origin: lines[0], size: lines[1], root: lines[2], signatures: signatures.map((line) => line.slice(2).split(" ")) };
  }

  async function verifier(spelled) {
    const first = spelled.indexOf("+"), second = spelled.indexOf("+", first + 1);
    if (first < 1 || second < 0) return null;
    const name = spelled.slice(0, first), id = spelled.slice(first + 1, second);
    let key;
    try {
      key = bytes(spelled.slice(second + 1));
    } catch {
      return null;
    }
    // One algorithm (0x01, Ed25519), 32 bytes, and an identifier that is the key's own.
    if (key.length !== 33 || key[0] !== 1) return null;
    const own = (await sha256(text.encode(name + "\n"), key)).slice(0, 4);
    return hex(own) === id ? { name, id: own, key: key.slice(1), print: hex(await sha256(key.slice(1))) } : null;
  }

  async function body(leaf) {
    const salt = page.dataset.salt;
    if (!salt) return say("body", "not");
    const key = await subtle.importKey("raw", bytes(salt), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const shown = one("[data-body]").content.textContent;
    const made = new Uint8Array(await subtle.sign("HMAC", key, text.encode(shown)));
    return say("body", same(made, leaf.slice(24, 56)) ? "good" : "bad", [["", hex(made)]]);
  }

  async function signature(found, key) {
    const line = found.signatures.find(([name, value]) => name === key.name && value && same(bytes(value).slice(0, 4), key.id));
    if (!line || found.origin !== key.name) return say("signature", "bad", [["", found.signatures.map(([name]) => name).join(" ")]]);
    const imported = await subtle.importKey("raw", key.key, { name: "Ed25519" }, false, ["verify"]);
    const holds = await subtle.verify({ name: "Ed25519" }, imported, bytes(line[1]).slice(4), text.encode(found.signed));
    return say("signature", holds ? "good" : "bad", [["", line[1]]]);
  }

  async function ask(path) {
    const answer = await fetch(path, { credentials: "omit", cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  }

  async function check(given) {
    const proof = await (await ask(page.dataset.verify)).json();
    const leaf = bytes(proof.leaf);
    const numbered = leaf.length === 56 && new DataView(leaf.buffer).getBigUint64(16) === BigInt(page.dataset.number);
    let good = say("leaf", numbered && same(leaf, bytes(page.dataset.leaf)) ? "good" : "bad", [["", proof.leaf]]);
    good = (await body(leaf)) && good;
    const hash = await sha256(LEAF, leaf);
    say("hash", "good", [["", hex(hash)]]);
    const found = note(proof.checkpoint), told = [];
    const root = found && (await climb(hash, page.dataset.number, found.size, proof.path.map(bytes), told));
    good = say("path", root ? "good" : "bad", told.concat(root ? [["=", hex(root)]] : [])) && good;
    const stated = found ? bytes(found.root) : new Uint8Array();
    good = say("root", root && same(root, stated) ? "good" : "bad", found ? [["", `${found.origin} ${found.size} ${hex(stated)}`]] : []) && good;
    const spelled = given || (await (await ask("/log/key")).text()).trim();
    const key = await verifier(spelled);
    good = say("key", key ? "good" : "bad", key ? [["", spelled], ["SHA-256", key.print]] : [["", spelled]]) && good;
    return (found && key ? await signature(found, key) : say("signature", "not") && false) && good;
  }

  function verdict(word) {
    for (const note of page.querySelectorAll("[data-verdict]")) note.hidden = note.dataset.verdict !== word;
    page.dataset.result = word;
  }

  async function run() {
    const given = one("[data-key]").value.trim();
    one(".steps").hidden = false;
    page.dataset.result = "";
    for (const step of page.querySelectorAll("[data-step]")) say(step.dataset.step, "not");
    try {
      const good = await check(given);
      verdict(!good ? "bad" : given ? "good" : "named");
    } catch (error) {
      // An algorithm that the browser lacks is no finding about the log; an answer that cannot be read is one.
      verdict(error.name === "NotSupportedError" ? "unable" : "bad");
    }
  }

  if (!subtle || !window.isSecureContext) return verdict("unable");
  one(".check").hidden = false;
  one("[data-run]").addEventListener("click", run);
  one("[data-key]").addEventListener("keydown", (event) => event.key === "Enter" && (event.preventDefault(), run()));
  run();
})();
