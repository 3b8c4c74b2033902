/** The page: loads the site's list of models, takes photos, and works on them one after another. */

import { CONTENT, RUNS, WARMUP, resultText } from "../core/benchmark.js";
import { Client } from "./client.js";
import { download } from "../core/download.js";
import { RUNTIMES, parseManifest } from "../core/manifest.js";
import { duration, megabytes, spread } from "../core/numbers.js";
import { PictureList } from "./picture_list.js";
import { Cancelled, sentenceOf } from "../core/problems.js";
import { byId, offer, showProblem, showProgress, showStatus } from "./ui.js";
import { showPicture } from "./viewer.js";

/** @typedef {import("../core/manifest.js").Model} Model */
/** @typedef {import("./client.js").Opened} Opened */
/** @typedef {{file: string, credit: string}} Sample */
/** @typedef {{edgedeblur: string, models: {file: string, runtime: string}[], sample: Sample | null}} Site */

const client = new Client();
const list = new PictureList(showPicture);
/** @type {Site} */
let site;
/** @type {Map<string, Model>} */
const models = new Map();
/** Resolves when a model is ready; replaced with every choice. @type {Promise<Opened | null>} */
let opened = Promise.resolve(null);
let busy = false;

async function start() {
  byId("unserved").hidden = true;
  try {
    site = JSON.parse(await text("site.json", "the site's list of models"));
    for (const { file, runtime } of site.models) {
      models.set(file, parseManifest(file, await text(`models/${file}.json`, "the model's manifest"), runtime));
    }
  } catch (error) {
    showStatus("");
    showProblem(sentenceOf(error, "Loading the page"));
    return;
  }
  const chooser = /** @type {HTMLSelectElement} */ (byId("model"));
  for (const model of models.values()) {
    const size = model.size ? `${model.size[0]}x${model.size[1]}` : "any size";
    chooser.add(new Option(`${model.network} ${model.target}, ${size}`, model.file));
  }
  for (const id of ["model", "backend"]) {
    const choice = /** @type {HTMLSelectElement} */ (byId(id));
    choice.disabled = false;
    choice.addEventListener("change", load);
  }
  byId("sample").hidden = !site.sample;
  listen();
  await load();
}

/** @param {string} path @param {string} what */
async function text(path, what) {
  return new TextDecoder().decode(await download(new URL(`../${path}`, import.meta.url), what));
}

/** Open the chosen model on the chosen backend. */
async function load() {
  const model = chosenModel();
  const asked = /** @type {any} */ (byId("backend")).value;
  showProblem("");
  ready(false);
  const loaded = new Map();
  const told = (/** @type {string} */ what, /** @type {number} */ done, /** @type {number} */ all) => {
    loaded.set(what, [done, all]);
    const [sum, whole] = [...loaded.values()].reduce(([d, a], [done, all]) => [d + done, a + all], [0, 0]);
    showProgress(`Loading: ${megabytes(sum)} of ${megabytes(Math.max(whole, sum))}`, sum, whole);
  };
  const mine = client.open(model, asked, told).catch((error) => {
    if (!(error instanceof Cancelled)) {
      showStatus("");
      showProblem(sentenceOf(error, `Loading ${model.file}`));
    }
    return null;
  });
  opened = mine;
  const engine = await mine;
  if (opened !== mine || !engine) return; // another choice came in between, or it failed
  showStatus(`Ready: ${whereItRuns(engine)}. ${engine.why}`);
  about(engine);
  ready(true);
  work();
}

/** @param {Opened} engine */
function whereItRuns({ backend, threads }) {
  if (backend === "webgpu") return "graphics processor (WebGPU)";
  const count = threads === 1 ? "1 thread" : `${threads} threads`;
  return `CPU (WebAssembly, ${count})`;
}

function chosenModel() {
  return /** @type {Model} */ (models.get(/** @type {any} */ (byId("model")).value));
}

/** @param {boolean} now */
function ready(now) {
  for (const id of ["benchmark", "files"]) /** @type {any} */ (byId(id)).disabled = !now;
}

/** Deblur what waits, one after another. */
async function work() {
  if (busy) return;
  busy = true;
  byId("cancel").hidden = false;
  try {
    for (let entry = list.next(); entry; entry = list.next()) {
      const engine = await opened;
      if (!engine) return;
      const { name } = entry.file;
      const told = (/** @type {number} */ done, /** @type {number} */ all) =>
        showProgress(`Deblurring ${name}: tile ${done} of ${all}`, done, all);
      list.started(entry);
      showProgress(`Deblurring ${name}`, 0, 0);
      try {
        const result = await client.deblur(entry.file, told);
        list.finished(entry, result, timing(result, engine));
        showStatus(`${name} is deblurred: ${duration(result.deblur_ms)} on ${whereItRuns(engine)}.`);
      } catch (error) {
        if (error instanceof Cancelled) {
          list.cancelled(entry);
          showStatus("Cancelled.");
        } else {
          list.failed(entry, sentenceOf(error, `Deblurring ${name}`));
          showStatus("");
          showProblem(sentenceOf(error, `Deblurring ${name}`));
        }
      }
    }
  } finally {
    busy = false;
    byId("cancel").hidden = true;
  }
}

/** @param {any} result @param {Opened} engine */
function timing(result, engine) {
  const tiles = result.tiles === 1 ? "1 tile" : `${result.tiles} tiles`;
  const parts = [
    `${result.width} x ${result.height} pixels, ${tiles}: ${duration(result.deblur_ms)} on ${whereItRuns(engine)}`,
    `network ${duration(result.infer_ms)}`,
    `decoding ${duration(result.decode_ms)}`,
    `encoding ${duration(result.encode_ms)}`,
  ];
  return [`${parts.join("; ")}.`, ...result.remarks].join(" ");
}

async function benchmark() {
  const model = chosenModel();
  const asked = /** @type {any} */ (byId("backend")).value;
  showProblem("");
  ready(false);
  busy = true;
  byId("cancel").hidden = false;
  try {
    // Opened anew, so that the first run is a first run.
    const mine = client.open(model, asked, () => showProgress("Benchmark: loading", 0, 0));
    opened = mine.catch(() => null);
    const engine = await mine;
    const told = (/** @type {number} */ done, /** @type {number} */ all) =>
      showProgress(`Benchmark: run ${done} of ${all}`, done, all);
    showResult(model, engine, await client.benchmark(told));
    showStatus("The benchmark is done.");
  } catch (error) {
    showStatus(error instanceof Cancelled ? "Cancelled." : "");
    if (!(error instanceof Cancelled)) showProblem(sentenceOf(error, "The benchmark"));
  } finally {
    busy = false;
    byId("cancel").hidden = true;
    ready((await opened) !== null);
    work();
  }
}

/** @param {Model} model @param {Opened} engine @param {any} measured */
function showResult(model, engine, measured) {
  const { gpu, ...times } = measured;
  const rows = [
    ["network", times.infer_ms],
    ["pixels to pixels", times.end_to_end_ms],
  ].map(([what, all]) => {
    const { median, p5, p95 } = spread(all);
    const cells = [median, p5, p95].map((ms) => `<td>${ms.toFixed(1)}</td>`).join("");
    return `<tr><th scope="row">${what}</th>${cells}</tr>`;
  });
  byId("times").innerHTML = rows.join("");
  const ran = `Ran on the ${whereItRuns(engine)}. ${engine.why}`.trim();
  byId("conditions").textContent =
    `${model.file} at ${times.size.join("x")}. ${ran} Medians of ${RUNS} runs after the first ` +
    `(${duration(times.first_ms)}) and ${WARMUP} more; model ready after ${duration(engine.load_ms)}.`;
  const fields = {
    measured_on: new Date().toISOString().slice(0, 10),
    edgedeblur: site.edgedeblur,
    [/** @type {any} */ (RUNTIMES.get(model.runtime)).field]: engine.version,
    browser: {
      user_agent: navigator.userAgent,
      cores: navigator.hardwareConcurrency,
      memory_gib: /** @type {any} */ (navigator).deviceMemory ?? null,
      gpu,
    },
    model: model.file,
    backend: engine.backend,
    threads: engine.threads,
    ran,
    content: CONTENT,
    warmup: WARMUP,
    load_ms: engine.load_ms,
    ...times,
  };
  const blob = new Blob([resultText(fields, model.text)], { type: "application/json" });
  offer(byId("json"), blob, `${model.file}_${engine.backend}.json`);
  byId("results").hidden = false;
}

/** @param {Opened} engine */
function about(engine) {
  const { file, bytes, runtime } = chosenModel();
  byId("about").textContent =
    `${file}, ${megabytes(bytes)}; edgedeblur ${site.edgedeblur}, ${runtime} ${engine.version}.` +
    (site.sample ? ` The sample: ${site.sample.credit}.` : "");
}

/** @param {Iterable<File>} files */
function take(files) {
  showProblem("");
  list.add(files);
  work();
}

async function takeSample() {
  const { file } = /** @type {{file: string}} */ (site.sample);
  try {
    const bytes = await download(new URL(`../${file}`, import.meta.url), "the sample");
    take([new File([bytes], file, { type: "image/png" })]);
  } catch (error) {
    showProblem(sentenceOf(error, "Loading the sample"));
  }
}

function cancel() {
  list.cancelWaiting();
  client.cancel();
}

function listen() {
  const files = /** @type {HTMLInputElement} */ (byId("files"));
  files.addEventListener("change", () => {
    take([...(files.files ?? [])]);
    files.value = ""; // so that the same photo can be chosen again
  });
  byId("sample").addEventListener("click", takeSample);
  byId("benchmark").addEventListener("click", benchmark);
  byId("cancel").addEventListener("click", cancel);
  document.addEventListener("again", () => {
    showProblem("");
    work();
  });
  document.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    take(event.dataTransfer?.files ?? []);
  });
}

start();
