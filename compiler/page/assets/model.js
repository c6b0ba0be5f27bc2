/* Walking through a model: where one is stands in the address, such as #/layer[3].attention.area[5]. */

const walk = byId("walk");
const here = { level: null, node: null, area: null };

/** The distinct circuits, each with its pictures. */
const stages = {};
for (const name of Object.keys(data.blocks)) {
  stages[name] = stage(byId(`block-${name}`), data.blocks[name], { area: openArea });
}

const model = stage(byId("model"), {}, { block: openBlock, level: (level) => go(level) });

function go(address) {
  location.hash = `/${address}`;
}

/** What the address names; levels and blocks go by their paths. */
function read() {
  const address = decodeURIComponent(location.hash.slice(2));
  const [, place, area] = /^(.*?)(?:\.area\[([0-9,]+)\])?$/.exec(address);
  const node = place in data.nodes ? place : null;
  const level = node ? data.nodes[node].level : place in data.levels ? place : null;
  const known = node && data.blocks[data.nodes[node].block].areas.includes((area || "").replaceAll(",", ", "));
  return { level, node, area: area !== undefined && known ? area.replaceAll(",", ", ") : null };
}

/** A block of the picture, in the level where one is if that is drawn by it. */
function openBlock(drawn) {
  const same = placesOf(drawn);
  go(same.find((path) => here.level && data.nodes[path].level === here.level) || same[0]);
}

/** The blocks that are drawn as one. */
function placesOf(drawn) {
  const found = Object.keys(data.nodes).filter((path) => (data.drawn[path] || path) === drawn);
  return found.length ? found : [drawn];
}

function openArea(name) {
  if (here.node) go(`${here.node}.area[${name.replaceAll("-", ",")}]`);
}

/* ---- what is shown ---- */

function render() {
  if (location.hash.startsWith("#/")) Object.assign(here, read());
  const { level, node, area } = here;
  walk.replaceChildren(crumbs(), ...(area !== null ? areaWords() : node ? nodeWords() : level ? levelWords() : modelWords()));
  walk.scrollTop = 0;
  const shown = node && data.nodes[node].block;
  for (const name of Object.keys(stages)) byId(`block-${name}`).hidden = name !== shown;
  if (shown) stages[shown].fit();
  mark();
}

/** Where one is, in the picture. */
function mark() {
  const drawn = here.node && (data.drawn[here.node] || here.node);
  for (const part of document.querySelectorAll("[data-block]")) {
    const chosen = part.dataset.block === drawn;
    part.classList.toggle("chosen", chosen);
    part.setAttribute("aria-pressed", String(chosen));
  }
}

function link(words, address) {
  return element("a", { href: `#/${address}` }, words);
}

function crumbs() {
  const { level, node, area } = here;
  const found = [link(data.name || "model", "")];
  if (level) found.push(link(level, level));
  if (node) found.push(link(level ? node.slice(level.length + 1) || node : node, node));
  if (area !== null) found.push(element("span", {}, `area ${area}`.trim()));
  found[found.length - 1].setAttribute("aria-current", "page");
  return element("p", { class: "crumbs" }, ...found.flatMap((each, k) => (k ? [" › ", each] : [each])));
}

function counts({ neurons, synapses, parameters }) {
  return element("p", {}, [neurons, `${synapses} onto them, with those of wires`, parameters].join("; "));
}

function list(title, items) {
  if (!items.length) return [];
  return [element("div", {}, element("h4", {}, title), element("ul", {}, ...items.map((item) => element("li", {}, ...item))))];
}

/** Links to what stands beside each other, such as levels, in one line. */
function chips(title, addresses, words, current) {
  const items = addresses.map((address, k) => {
    const made = link(words[k], address);
    if (address === current) made.setAttribute("aria-current", "true");
    return made;
  });
  return [element("p", { class: "chips" }, element("span", {}, title), ...items)];
}

function modelWords() {
  const outside = Object.keys(data.nodes).filter((path) => !data.nodes[path].level);
  return [
    element("p", {}, `Hears ${data.inputs.join(", ")}; gives ${Object.keys(data.outputs).join(", ")}.`),
    ...list("Levels", Object.entries(data.levels).map(([path, { neurons }]) => [link(path, path), ` ${neurons}`])),
    ...list("Blocks between them", outside.map(blockItem)),
  ];
}

function blockItem(path) {
  const { neurons, synapses, level, block } = data.nodes[path];
  const areas = data.blocks[block].areas;
  const heads = areas.length && areas[0] ? `${areas.length} areas, ` : "";
  return [link(level ? path.slice(level.length + 1) || path : path, path), ` ${heads}${neurons}, ${synapses}`];
}

function levelWords() {
  const { level } = here;
  const stack = level.slice(0, level.lastIndexOf("["));
  const others = Object.keys(data.levels).filter((path) => path.slice(0, path.lastIndexOf("[")) === stack);
  return [
    counts(data.levels[level]),
    ...chips("Levels", others, others.map((path) => path.slice(path.lastIndexOf("[") + 1, -1)), level),
    ...list("Blocks", data.levels[level].nodes.map(blockItem)),
  ];
}

function nodeWords() {
  const { node } = here;
  const { block, sizes, hears, feeds } = data.nodes[node];
  const { areas } = data.blocks[block];
  const same = placesOf(data.drawn[node] || node);
  return [
    element("p", {}, "Its circuit is ", element("code", {}, block), sizes.length ? `, where ${sizes.join(", ")}` : "", "."),
    counts(data.nodes[node]),
    ...(same.length > 1 ? chips("The same in", same, same.map((path) => data.nodes[path].level), node) : []),
    ...(areas[0] ? chips("Areas", areas.map(areaAddress), areas, null) : []),
    element("div", { class: "pairs" }, ...list("Hears", hears.map(([input, path, name]) => [`${input} from `, path ? link(`${path}.${name}`, path) : `input ${name}`])),
      ...list("Feeds", feeds.map(([output, path, name]) => [`${output} to `, path ? link(`${path}.${name}`, path) : `output ${name}`]))),
    ...(areas[0] ? [] : layerWords("Layers")),
  ];
}

function areaAddress(area) {
  return `${here.node}.area[${area.replaceAll(", ", ",")}]`;
}

function areaWords() {
  const { areas } = data.blocks[data.nodes[here.node].block];
  return [
    ...chips("Areas", areas.map(areaAddress), areas, areaAddress(here.area)),
    ...layerWords("Layers of the area, with its neurons"),
  ];
}

/** The populations of each layer: each leads to its cell in the pictures. */
function layerWords(title) {
  const { block } = data.nodes[here.node];
  const { layers, thalamus } = data.blocks[block];
  const rows = [...Object.entries(layers), ["thalamus", thalamus]].filter(([, those]) => those.length);
  return list(title, rows.map(([layer, those]) => [
    `${layer}: `,
    ...those.flatMap(([name, neurons], k) => [k ? ", " : "", button(name, () => showCell(block, name), { class: "link" }), ` ${neurons}`]),
  ]));
}

function showCell(block, name) {
  stages[block].pin({ kind: "population", name });
  bringIntoView(byId(`block-${block}`));
}

addEventListener("hashchange", () => {
  const before = here.node;
  render();
  if (here.node !== before) bringIntoView(byId("place"));
});
render();
