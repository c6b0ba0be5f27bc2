/* One input: which words each area lets through, its microcolumns, and the cells behind each. */

const activity = data.activity;
const panel = byId("activity");
const state = { area: 0, query: 0, source: 0 };
let parts = null; // elements that change

const MOST_WIDE = 24; // source tokens up to which the fields of the grid are large

/** Rates of a population as numbers, decoded when they are first needed. */
function rates(cells) {
  if (!cells.values) {
    const bytes = Uint8Array.from(atob(cells.rates), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    cells.values = Float32Array.from({ length: bytes.length / 4 }, (_, k) => view.getFloat32(4 * k, true));
  }
  return cells.values;
}

const areaIndices = data.areas.map((label) => label.split(", ").map(Number));

/** The rates of the cells that stand at the chosen area and tokens. */
function chosenRates(cells) {
  const place = { query: state.query, source: state.source };
  areaIndices[state.area].forEach((index, k) => (place[`area ${k}`] = index));
  let found = [0];
  cells.axes.forEach((axis, k) => {
    const indices = axis in place ? [place[axis]] : [...Array(cells.shape[k]).keys()];
    found = found.flatMap((offset) => indices.map((index) => offset * cells.shape[k] + index));
  });
  return found.map((offset) => rates(cells)[offset]);
}

/* ---- attention ---- */

/** Attention of the chosen area, (query, source); areas that share a gate share it here, too. */
function attentionOf(area) {
  const values = activity.attention.values;
  return values[values.length === data.areas.length ? area : 0];
}

function asText(value) {
  return activity.attention.isShare ? `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %` : short(value);
}

/** Blue for more, vermillion for less than nothing; letters stay readable on both. */
function shade(value, most) {
  const share = most ? Math.min(1, Math.abs(value) / most) : 0;
  const colour = value < 0 ? "213, 94, 0" : "0, 114, 178";
  const letters = value > 0 && share > 0.9 ? "#fff" : "#1a1a1a";
  return `background: rgba(${colour}, ${share.toFixed(3)}); color: ${letters}`;
}

function largest(rows) {
  return activity.attention.isShare ? 1 : Math.max(...rows.flat().map(Math.abs), 0);
}

/* ---- building ---- */

function buildActivity() {
  if (!activity) {
    panel.append(
      element("p", {}, "This page was made without an input. Add one to see which tokens each area attends to, and the firing of the cells behind it:"),
      element("p", {}, element("code", {}, "cortico report SOURCE --input x.npy -o page.html")),
    );
    return;
  }
  parts = {
    areas: element("tbody"),
    thumbnails: [],
    gridArea: null, // the area that the grid shows
    queries: element("div", { class: "words", role: "group", "aria-label": "Query token" }),
    sources: element("div", { class: "words", role: "group", "aria-label": "Source token" }),
    grid: element("table", { class: "grid", role: "grid" }),
    title: element("h3", { id: "microcolumns", tabindex: "-1" }),
    place: element("p", { class: "place", role: "status" }),
    cells: element("tbody"),
  };
  if (activity.leftOut > 0)
    panel.append(element("p", { class: "notice" }, `The first tokens are shown; ${activity.leftOut} are left out.`));
  const pairs = activity.attention ? [words("and attends to the source token", parts.sources)] : [];
  panel.append(words("The query token", parts.queries), ...pairs);
  panel.append(element("div", { class: "split even" }, areasBox(), columnsBox()), cellsBox());
}

function words(label, list) {
  return element("div", { class: "sentence" }, element("span", { class: "label" }, label), list);
}

function areasBox() {
  const what = activity.attention
    ? "Words that the superficial cells of each area mask in, for the query token"
    : "Areas";
  const table = element("table", { class: "areas" }, element("caption", {}, what), parts.areas);
  return element("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Areas" }, table);
}

function columnsBox() {
  const box = element("div", { class: "columns" }, parts.title);
  if (activity.attention) {
    box.append(
      element("p", { class: "hint" }, "A row for each query token, a column for each source token, a microcolumn in every field. Arrow keys move between them."),
      element("div", { class: "scroll tall" }, parts.grid),
    );
  } else {
    box.append(element("p", {}, "This circuit has no microcolumn for a pair of tokens, and so no attention mask: its cells keep a memory of the tokens that came."));
  }
  return box;
}

function cellsBox() {
  const head = ["cells", "firing of each cell", "rates"].map((text) => element("th", { scope: "col" }, text));
  const table = element("table", { class: "cells" },
    element("caption", {}, "The firing behind it"), element("thead", {}, element("tr", {}, ...head)), parts.cells);
  return element("div", {}, parts.place, element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Firing" }, table));
}

/* ---- drawing ---- */

function redraw() {
  if (!activity) return;
  drawWords(parts.queries, activity.queries, "query", null);
  if (activity.attention) {
    const rows = attentionOf(state.area);
    drawWords(parts.sources, activity.sources, "source", rows[state.query]);
    drawGrid(rows);
  }
  drawAreas();
  drawCells();
  parts.title.textContent = `Area ${data.areas[state.area]}: its microcolumns`.replace("Area :", "The area:");
  const source = activity.attention ? `, source “${activity.sources[state.source]}”` : "";
  parts.place.textContent =
    `Area ${data.areas[state.area]}, query “${activity.queries[state.query]}”${source}` +
    (activity.attention ? `: ${asText(attentionOf(state.area)[state.query][state.source])}` : "");
}

function drawWords(list, names, role, shares) {
  const most = shares ? largest([shares]) : 0;
  const buttons = names.map((name, k) => {
    const number = shares ? [element("small", {}, asText(shares[k]))] : [];
    return element("button", {
      type: "button",
      style: shares ? shade(shares[k], most) : null,
      "aria-pressed": String(state[role] === k),
      onclick: () => move({ [role]: k }),
    }, element("span", {}, name), ...number);
  });
  const focused = [...list.children].indexOf(document.activeElement);
  list.replaceChildren(...buttons);
  if (focused >= 0) buttons[focused].focus();
}

function drawAreas() {
  const focused = document.activeElement && document.activeElement.dataset.choose;
  const rows = data.areas.map((label, area) => {
    const choose = button(`area ${label}`.trim(), () => move({ area }), {
      "aria-pressed": String(state.area === area),
      "data-choose": area,
    });
    const cells = activity.attention ? [element("td", {}, thumbnail(area)), element("td", {}, ...strongest(area))] : [];
    return element("tr", {}, element("th", { scope: "row" }, choose), ...cells);
  });
  parts.areas.replaceChildren(...rows);
  if (focused !== undefined) rows[focused].querySelector("button").focus();
}

function strongest(area) {
  const shares = attentionOf(area)[state.query];
  const most = largest([shares]);
  const order = [...shares.keys()].sort((a, b) => Math.abs(shares[b]) - Math.abs(shares[a])).slice(0, 4);
  return order.filter((k) => Math.abs(shares[k]) > 0.0005 * most).map((k) =>
    element("span", { class: "share", style: shade(shares[k], most) }, `${activity.sources[k]} ${asText(shares[k])}`));
}

/** The attention of an area as a small picture, drawn once; the table beside it says the same. */
function thumbnail(area) {
  parts.thumbnails[area] = parts.thumbnails[area] || drawThumbnail(area);
  return parts.thumbnails[area];
}

function drawThumbnail(area) {
  const rows = attentionOf(area);
  const most = largest(rows);
  const canvas = element("canvas", { class: "thumbnail", width: rows[0].length, height: rows.length, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  rows.forEach((row, y) => row.forEach((value, x) => {
    const share = most ? Math.min(1, Math.abs(value) / most) : 0;
    pen.fillStyle = value < 0 ? `rgba(213, 94, 0, ${share})` : `rgba(0, 114, 178, ${share})`;
    pen.fillRect(x, y, 1, 1);
  }));
  return canvas;
}

function drawGrid(rows) {
  if (parts.gridArea !== state.area) {
    parts.gridArea = state.area;
    buildGrid(rows);
  }
  const focused = parts.grid.contains(document.activeElement);
  for (const cell of parts.grid.querySelectorAll("[aria-selected='true']")) markCell(cell, false);
  const here = parts.grid.querySelector(`[data-query="${state.query}"][data-source="${state.source}"]`);
  markCell(here, true);
  if (focused) here.focus();
}

function markCell(cell, here) {
  cell.tabIndex = here ? 0 : -1;
  cell.setAttribute("aria-selected", String(here));
  cell.textContent = here ? "●" : "";
}

function buildGrid(rows) {
  const most = largest(rows);
  const head = element("tr", {}, element("td"), ...activity.sources.map((name) =>
    element("th", { scope: "col" }, element("span", {}, name))));
  const body = rows.map((row, query) => element("tr", {},
    element("th", { scope: "row" }, activity.queries[query]),
    ...row.map((value, source) => gridCell(value, query, source, most))));
  parts.grid.classList.toggle("dense", activity.sources.length > MOST_WIDE);
  parts.grid.replaceChildren(
    element("caption", { class: "hidden" }, `Attention of area ${data.areas[state.area]}, by query and source token`),
    element("thead", {}, head), element("tbody", {}, ...body));
}

function gridCell(value, query, source, most) {
  const words = `${activity.queries[query]} → ${activity.sources[source]}: ${asText(value)}`;
  return element("td", {
    style: shade(value, most),
    tabindex: "-1",
    "data-query": query,
    "data-source": source,
    "aria-label": words,
    title: words,
  });
}

function followGrid() {
  parts.grid.addEventListener("click", ({ target }) => {
    const { query, source } = target.dataset;
    if (query !== undefined) move({ query: Number(query), source: Number(source) });
  });
  parts.grid.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const within = (value, names) => Math.min(names.length - 1, Math.max(0, value));
    move({ query: within(state.query + step[0], activity.queries), source: within(state.source + step[1], activity.sources) });
  });
}

function drawCells() {
  parts.cells.replaceChildren(...activity.cells.map((cells) => {
    const found = chosenRates(cells);
    const name = button(cells.population, () => { pin({ kind: "population", name: cells.population }); bringIntoView(byId("circuit")); }, { class: "link" });
    return element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, bars(found)),
      element("td", {}, summary(cells, found)));
  }));
}

function summary(cells, found) {
  const total = found.reduce((sum, value) => sum + value, 0);
  if (cells.summed) return `${short(total)}, the sum over its cells`;
  if (found.length === 1) return short(total);
  return `${found.length} cells from ${short(Math.min(...found))} to ${short(Math.max(...found))}, sum ${short(total)}`;
}

/** A bar for each cell, up for firing above zero. */
function bars(found) {
  const [width, height] = [Math.max(found.length, 8), 24];
  const low = Math.min(0, ...found), high = Math.max(0, ...found);
  const level = (value) => height - (height * (value - low)) / (high - low || 1);
  const path = found.map((value, k) => `M${k + 0.5} ${level(0).toFixed(2)}V${level(value).toFixed(2)}`).join("");
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("class", "bars");
  picture.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(picture.namespaceURI, "path");
  line.setAttribute("d", `M0 ${level(0).toFixed(2)}H${width}`);
  line.setAttribute("class", "zero");
  const marks = document.createElementNS(picture.namespaceURI, "path");
  marks.setAttribute("d", path);
  picture.append(line, marks);
  return picture;
}

function move(change) {
  Object.assign(state, change);
  redraw();
}

/** What a click on an area of the picture does. */
function showArea(name) {
  const area = data.areas.indexOf(name.split("-").join(", "));
  if (area < 0) return;
  if (activity) {
    move({ area });
    parts.title.focus({ preventScroll: true });
    bringIntoView(parts.title);
  } else {
    openTab(byId("tab-microcolumn"));
    byId("tab-microcolumn").focus();
  }
}

/** A query token in the middle of the input, and what it attends to most. */
function startInTheMiddle() {
  state.query = Math.floor(activity.queries.length / 2);
  const shares = activity.attention ? attentionOf(0)[state.query] : [0];
  state.source = shares.indexOf(Math.max(...shares));
}

buildActivity();
if (activity) startInTheMiddle();
if (activity && activity.attention) followGrid();
redraw();
