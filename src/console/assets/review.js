"use strict";
// Signing keys of reviewers: made in this browser so that no script can read the private half, kept in IndexedDB under the public one;
// and votes, signed with them. Each form is hidden until this script has found that it can do its part; the note beside it names the
// other way until then.
(function () {
  const STORE = "reviewer-keys";

  function opened() {
    return new Promise((resolve, reject) => {
      const asked = indexedDB.open("fusebox", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore(STORE);
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
  }

  async function within(mode, act) {
    const database = await opened();
    try {
      return await new Promise((resolve, reject) => {
        // On the disk before the public half is enrolled: a key that is lost with the tab would be confirmed for nothing.
        const transaction = database.transaction(STORE, mode, { durability: "strict" });
        const asked = act(transaction.objectStore(STORE));
        transaction.oncomplete = () => resolve(asked.result);
        transaction.onabort = () => reject(transaction.error);
      });
    } finally {
      database.close();
    }
  }

  const kept = (key) => within("readonly", (store) => store.get(key));
  const made = () => crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
  const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));

  function show(form) {
    form.hidden = false;
    for (const note of document.querySelectorAll(`[data-without="${form.dataset.script}"]`)) note.hidden = true;
  }

  function hide(form) {
    form.hidden = true;
    for (const note of document.querySelectorAll(`[data-without="${form.dataset.script}"]`)) note.hidden = false;
  }

  // Once, and without a second click; what fails brings the note back.
  function completes(form, act) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button[type=submit]");
      if (button.disabled) return;
      button.disabled = true;
      try {
        await act();
        form.submit();
      } catch {
        button.disabled = false;
        hide(form);
      }
    });
    // Back from the page that followed.
    window.addEventListener("pageshow", () => { form.querySelector("button[type=submit]").disabled = false; });
  }

  async function enrol(form) {
    await made();
    completes(form, async () => {
      const pair = await made();
      const key = base64(await crypto.subtle.exportKey("raw", pair.publicKey));
      await within("readwrite", (store) => store.put(pair.privateKey, key));
      form.elements.public_key.value = key;
    });
    show(form);
  }

  async function vote(form) {
    let secret;
    for (const key of form.dataset.keys.split(" ")) secret = secret || (await kept(key));
    if (!secret) return;
    const { release, round, commitment } = form.dataset;
    const said = (name) => new FormData(form).get(name) || "";
    const message = () => ["fusebox-review-v1", release, round, commitment, said("decision"), said("reason"), ""].join("\n");
    const reasons = form.querySelector("[data-fitting]");
    const fit = () => {
      const decision = said("decision");
      const options = [...reasons.querySelectorAll("[data-beside]")];
      const fits = (option) => option.dataset.beside.split(" ").includes(decision);
      for (const option of options) {
        const input = option.querySelector("input");
        option.hidden = input.disabled = !fits(option);
        if (!fits(option)) input.checked = false;
      }
      const fitting = options.filter(fits);
      if (fitting.length === 1) fitting[0].querySelector("input").checked = true;
      reasons.hidden = decision === "";
      form.querySelector("[data-message]").textContent = message();
    };
    form.addEventListener("change", fit);
    fit();
    completes(form, async () => {
      const signature = await crypto.subtle.sign({ name: "Ed25519" }, secret, new TextEncoder().encode(message()));
      form.elements.signature.value = base64(signature);
    });
    show(form);
  }

  async function keys() {
    for (const mark of document.querySelectorAll(".chip[data-key]")) mark.hidden = !(await kept(mark.dataset.key));
  }

  if (!window.isSecureContext || !window.crypto?.subtle || !window.indexedDB) return;
  const parts = { enrol, vote };
  for (const form of document.querySelectorAll("form[data-script]")) parts[form.dataset.script](form).catch(() => hide(form));
  keys().catch(() => {});
})();
