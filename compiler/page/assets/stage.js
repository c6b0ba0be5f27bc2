/* Pictures of a circuit: what lights up, what is said of it, tabs and zoom. A page may hold several. */

const READABLE = 1.1; // pixels for a point of a picture, at least, where data-readable says nothing else
const NATURAL = 1.4;

/** What can be pointed at in a picture. */
const KINDS = ["population", "projection", "area", "block", "level"];

function findingItem(finding) {
  const links = finding.references.flatMap(({ label, doi }, k) => [
    k ? "; " : "",
    doi ? element("a", { href: `https://doi.org/${doi}`, rel: "noreferrer" }, label) : label,
  ]);
  return element("li", {}, verdictBadge(finding.verdict), ` ${finding.statement} `, ...links);
}

/**
 * The pictures below `root` of the circuit that `record` tells of. What is chosen is pinned, but for kinds in
 * `actions`, each with what to do with a name.
 */
function stage(root, record, actions) {
  const detail = root.querySelector(".detail");
  const hint = detail && detail.firstElementChild;
  let pinned = null; // what stays shown: { kind, name }

  function lightUp(chosen) {
    const lit = chosen ? neighbours(chosen) : new Set();
    for (const picture of root.querySelectorAll(".view svg")) {
      picture.classList.toggle("dim", Boolean(chosen));
      for (const part of picture.querySelectorAll("[data-population], [data-projection]")) {
        const { population, projection } = part.dataset;
        part.classList.toggle("lit", lit.has(population ? `population ${population}` : `projection ${projection}`));
      }
    }
  }

  /** What is lit with a population or projection: the wires at it and their other ends. */
  function neighbours({ kind, name }) {
    const lit = new Set([`${kind} ${name}`]);
    for (const [wire, { pre, post }] of Object.entries(record.projections)) {
      const touched = kind === "population" ? pre === name || post === name : wire === name;
      if (touched) [`projection ${wire}`, `population ${pre}`, `population ${post}`].forEach((each) => lit.add(each));
    }
    return lit;
  }

  function show(chosen) {
    lightUp(chosen);
    if (!detail) return;
    if (!chosen) detail.replaceChildren(hint);
    else if (chosen.kind === "population") detail.replaceChildren(...populationDetail(chosen.name));
    else if (chosen.kind === "projection") detail.replaceChildren(...projectionDetail(chosen.name));
  }

  function pin(chosen) {
    pinned = chosen;
    for (const part of root.querySelectorAll("[data-population]")) {
      const here = chosen && chosen.kind === "population" && chosen.name === part.dataset.population;
      part.setAttribute("aria-pressed", String(Boolean(here)));
    }
    show(chosen);
  }

  function populationDetail(name) {
    const population = record.populations[name];
    const outputs = population.outputs.map((output) => `read as output ${output}`);
    return [
      element("h3", {}, name),
      element("p", {}, `${population.cells}, ${population.where}`),
      element("p", {}, element("code", {}, population.equation)),
      element("p", {}, [population.neurons, `${population.synapses} onto them`, ...outputs].join("; ")),
      element("ul", { class: "plain" }, ...population.compartments.map((text) => element("li", {}, text))),
      ...pathways("Hears", population.hears, (wire) => `${wire.pre} → ${wire.compartment}`),
      ...pathways("Projects to", population.drives, (wire) => `→ ${wire.post}.${wire.compartment}`),
    ];
  }

  function pathways(title, names, words) {
    if (names.length === 0) return [];
    const items = names.map((name) => {
      const wire = record.projections[name];
      const link = button(name, () => pin({ kind: "projection", name }), { class: "link" });
      return element("li", {}, link, ` ${words(wire)}, ${wire.kind}; ${wire.synapses} `, verdictBadge(wire.verdict));
    });
    return [element("h4", {}, title), element("ul", { class: "pathways" }, ...items)];
  }

  function projectionDetail(name) {
    const wire = record.projections[name];
    const end = (population) =>
      button(population, () => pin({ kind: "population", name: population }), { class: "link" });
    return [
      element("h3", {}, name, " ", verdictBadge(wire.verdict)),
      element("p", {}, end(wire.pre), " → ", end(wire.post), `.${wire.compartment}`),
      element("p", {}, `${wire.kind}; ${wire.synapses}; weight `, element("code", {}, wire.weight)),
      element("h4", {}, "Anatomy"),
      element("ul", { class: "findings" }, ...wire.findings.map(findingItem)),
    ];
  }

  function chosenAt(target) {
    const part = target.closest(KINDS.map((kind) => `[data-${kind}]`).join());
    if (!part) return null;
    const kind = KINDS.find((each) => each in part.dataset);
    return { kind, name: part.dataset[kind] };
  }

  function choose(chosen) {
    if (chosen && chosen.kind in actions) actions[chosen.kind](chosen.name);
    else pin(chosen);
  }

  function followPictures() {
    for (const view of root.querySelectorAll(".view")) {
      view.addEventListener("pointerover", (event) => {
        const chosen = chosenAt(event.target);
        if (event.pointerType !== "touch" && chosen && !(chosen.kind in actions)) show(chosen);
      });
      view.addEventListener("pointerleave", () => show(pinned));
      view.addEventListener("focusin", (event) => {
        const chosen = chosenAt(event.target);
        if (chosen && chosen.kind === "population") show(chosen);
      });
      view.addEventListener("click", (event) => !dragged && choose(chosenAt(event.target)));
      view.addEventListener("keydown", (event) => {
        const chosen = chosenAt(event.target);
        if (chosen && (event.key === "Enter" || event.key === " ")) {
          event.preventDefault();
          choose(chosen);
        }
      });
    }
    document.addEventListener("keydown", (event) => event.key === "Escape" && pin(null));
  }

  /* ---- tabs ---- */

  const tabs = [...root.querySelectorAll("[role=tab]")];

  function openTab(tab) {
    for (const each of tabs) {
      const here = each === tab;
      each.setAttribute("aria-selected", String(here));
      each.tabIndex = here ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = !here;
    }
    fit();
  }

  function followTabs() {
    for (const tab of tabs) {
      tab.addEventListener("click", () => openTab(tab));
      tab.addEventListener("keydown", ({ key }) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
        if (!step) return;
        const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
        openTab(next);
        next.focus();
      });
    }
  }

  /* ---- zoom and pan: the box scrolls, so the browser's own keys and gestures work ---- */

  const readable = Number(root.dataset.readable || READABLE);
  let zoom = 1;
  let dragged = false;

  function openView() {
    return root.querySelector(".view:not([hidden])");
  }

  /** Pixels of the picture at zoom 1: as wide as the box, but readable. */
  function naturalWidth(view) {
    const width = Number(view.querySelector("svg").dataset.width);
    return Math.max(readable * width, Math.min(NATURAL * width, view.clientWidth - 2));
  }

  function setZoom(value) {
    const view = openView();
    const middle = [view.scrollLeft + view.clientWidth / 2, view.scrollTop + view.clientHeight / 2];
    const before = zoom;
    zoom = Math.min(6, Math.max(0.25, value));
    view.querySelector("svg").style.width = `${Math.round(zoom * naturalWidth(view))}px`;
    view.scrollLeft = (middle[0] * zoom) / before - view.clientWidth / 2;
    view.scrollTop = (middle[1] * zoom) / before - view.clientHeight / 2;
  }

  /** The whole width of the picture in the box, or as small as can be read. */
  function fit() {
    zoom = 1;
    const view = openView();
    view.querySelector("svg").style.width = `${Math.round(naturalWidth(view))}px`;
  }

  function followZoom() {
    root.querySelector("[data-zoom=in]").addEventListener("click", () => setZoom(zoom * 1.25));
    root.querySelector("[data-zoom=out]").addEventListener("click", () => setZoom(zoom / 1.25));
    root.querySelector("[data-zoom=fit]").addEventListener("click", fit);
    addEventListener("resize", fit);
    for (const view of root.querySelectorAll(".view")) {
      view.addEventListener("keydown", ({ key, target, ctrlKey, metaKey }) => {
        if (ctrlKey || metaKey || target.tagName === "INPUT") return;
        if (key === "+" || key === "=") setZoom(zoom * 1.25);
        else if (key === "-") setZoom(zoom / 1.25);
        else if (key === "0") fit();
      });
      view.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        setZoom(zoom * (event.deltaY < 0 ? 1.1 : 1 / 1.1));
      }, { passive: false });
      dragToPan(view);
    }
  }

  function dragToPan(view) {
    let from = null;
    view.addEventListener("pointerdown", (event) => {
      dragged = false;
      if (event.pointerType === "mouse" && event.button === 0)
        from = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop };
    });
    view.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      if (Math.hypot(dx, dy) > 4) dragged = true;
      view.scrollLeft = from.left - dx;
      view.scrollTop = from.top - dy;
    });
    for (const end of ["pointerup", "pointerleave"]) view.addEventListener(end, () => (from = null));
  }

  followPictures();
  followTabs();
  followZoom();
  fit();
  return { pin, openTab, fit };
}
