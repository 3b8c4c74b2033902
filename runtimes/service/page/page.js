"use strict";

const at = (id) => document.getElementById(id);
const made = (tag, text, ...children) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};

let shown = [];

function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

async function refusal(response) {
  try {
    const body = await response.json();
    const wait = response.headers.get("Retry-After");
    return `${body.status} ${body.title}: ${body.detail}` + (wait ? ` (try again in ${wait} s)` : "");
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

function show(file, blob) {
  shown.forEach(URL.revokeObjectURL);
  const [before, after] = (shown = [URL.createObjectURL(file), URL.createObjectURL(blob)]);
  at("before").src = before;
  at("after").src = after;
  at("save").href = after;
  const ending = { "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp" }[blob.type];
  at("save").download = file.name.replace(/\.[^.]*$/, "") + "_sharp." + (ending || "bin");
  at("result").hidden = false;
}

async function deblur(event) {
  event.preventDefault();
  const file = at("file").files[0];
  const query = new URLSearchParams();
  for (const name of ["format", "quality"]) if (at(name).value) query.set(name, at(name).value);
  at("send").disabled = true;
  say("Deblurring…");
  const begin = performance.now();
  try {
    const address = "v1/deblur" + (query.size ? `?${query}` : "");
    const response = await fetch(address, {
      method: "POST",
      body: file,
      headers: { "Content-Type": "application/octet-stream" },
    });
    if (!response.ok) return say(await refusal(response), true);
    const blob = await response.blob();
    show(file, blob);
    const seconds = ((performance.now() - begin) / 1000).toFixed(2);
    say(`${(file.size / 1024).toFixed(0)} KiB in, ${(blob.size / 1024).toFixed(0)} KiB out, ${seconds} s`);
  } catch (error) {
    say(`No answer: ${error.message}`, true);
  } finally {
    at("send").disabled = false;
  }
}

async function describeModel() {
  const response = await fetch("v1/model");
  if (!response.ok) return (at("model").textContent = await refusal(response));
  const model = await response.json();
  const network = model.network || model.backbone;
  at("model").textContent = `${network}, ${model.target}, norms ${model.norm}, SHA-256 ${model.sha256.slice(0, 12)}`;
}

function rows(head, lines) {
  const table = made("table", "", made("tr", "", ...head.map((text) => made("th", text))));
  for (const line of lines) table.append(made("tr", "", ...line.map((text) => made("td", text))));
  return table;
}

async function describeInterface() {
  const api = await (await fetch("openapi.json")).json();
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const block = made("details", "");
      const head = made("summary", "", made("b", method.toUpperCase()), ` ${path} `);
      head.append(made("span", operation.summary));
      block.append(head);
      if (operation.description) block.append(made("p", operation.description));
      if (operation.requestBody)
        block.append(made("p", "Body: " + Object.keys(operation.requestBody.content).join(", ")));
      const parameters = (operation.parameters || []).map((p) => [
        p.name,
        p.schema.enum ? p.schema.enum.join(", ") : `${p.schema.minimum} to ${p.schema.maximum}`,
        p.description,
      ]);
      if (parameters.length) block.append(rows(["parameter", "values", ""], parameters));
      const answers = Object.entries(operation.responses).map(([status, r]) => [status, r.description]);
      block.append(rows(["status", ""], answers));
      block.open = method === "post";
      at("operations").append(block);
    }
  }
}

at("form").addEventListener("submit", deblur);
at("slider").addEventListener("input", () => {
  at("compare").style.setProperty("--at", `${at("slider").value}%`);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") at("file").files = event.dataTransfer.files;
  });
}
at("curl").textContent =
  `curl --fail-with-body -H 'Content-Type: image/jpeg' --data-binary @photo.jpg \\\n` +
  `  '${new URL("v1/deblur", location.href)}' -o sharp.jpg`;
describeModel();
describeInterface();
