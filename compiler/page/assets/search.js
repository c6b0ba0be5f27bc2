/* The search box: cells, pathways, weights, areas, and words of the input. */

const searchBox = byId("query");
const foundList = byId("found");
const MOST_FOUND = 12;

const entries = [
  ...Object.entries(data.populations).map(([name, { cells, where, equation }]) => ({
    words: name, under: `${cells}, ${where}`, text: `${name} ${cells} ${where} ${equation}`,
    open: () => { pin({ kind: "population", name }); bringIntoView(byId("circuit")); },
  })),
  ...Object.entries(data.projections).map(([name, wire]) => ({
    words: name, under: `${wire.pre} → ${wire.post}.${wire.compartment}, ${wire.verdict}`,
    text: `${name} ${wire.pre} ${wire.post} ${wire.compartment} ${wire.weight} ${wire.kind} ${wire.verdict} ` +
      wire.findings.flatMap((finding) => finding.references.map(({ label }) => label)).join(" "),
    open: () => { pin({ kind: "projection", name }); bringIntoView(byId("circuit")); },
  })),
  ...(activity ? activity.queries : []).map((word, query) => ({
    words: word, under: `query token ${query}`, text: word,
    open: () => { move({ query }); bringIntoView(byId("input")); },
  })),
  ...data.areas.map((label) => ({
    words: `area ${label}`, under: "cortical area", text: `area ${label}`,
    open: () => showArea(label.split(", ").join("-")),
  })),
];

function search() {
  const wanted = searchBox.value.trim().toLowerCase();
  const hits = wanted ? entries.filter(({ text }) => text.toLowerCase().includes(wanted)) : [];
  hits.sort((a, b) => Number(b.words.toLowerCase().startsWith(wanted)) - Number(a.words.toLowerCase().startsWith(wanted)));
  const items = hits.slice(0, MOST_FOUND).map((hit) =>
    element("li", {}, element("button", { type: "button", onclick: () => take(hit) },
      element("strong", {}, hit.words), ` ${hit.under}`)));
  foundList.replaceChildren(...items);
  foundList.hidden = items.length === 0;
  byId("found-status").textContent = wanted ? `${hits.length} found` : "";
}

function take(hit) {
  foundList.hidden = true;
  hit.open();
}

function stepThrough(event) {
  const buttons = [...foundList.querySelectorAll("button")];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && buttons.length) {
    event.preventDefault();
    const at = buttons.indexOf(document.activeElement) + step;
    (buttons[Math.min(at, buttons.length - 1)] || searchBox).focus();
  } else if (event.key === "Enter" && event.target === searchBox && buttons.length) {
    buttons[0].click();
  } else if (event.key === "Escape") {
    foundList.hidden = true;
  }
}

searchBox.addEventListener("input", search);
searchBox.parentElement.addEventListener("keydown", stepThrough);
document.addEventListener("click", ({ target }) => {
  if (!searchBox.parentElement.contains(target)) foundList.hidden = true;
});
