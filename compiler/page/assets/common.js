"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

const byId = (id) => document.getElementById(id);

/** A new element; texts are always text, never markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function button(words, action, attributes = {}) {
  return element("button", { type: "button", onclick: action, ...attributes }, words);
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

function bringIntoView(target) {
  target.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth", block: "nearest" });
}

/** A number in few characters. */
function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(1) : value.toPrecision(3);
  return text.replace("-", "−");
}

const SIGNS = { supported: "✓", contested: "~", unsupported: "?", contradicted: "✗" };

function verdictBadge(verdict) {
  return element("span", { class: `verdict ${verdict}` }, `${SIGNS[verdict]} ${verdict}`);
}
