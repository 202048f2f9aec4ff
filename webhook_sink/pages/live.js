"use strict";
// Replaces the parts of the page that have changed, as the server sends them, and filters tables by words.

const filters = new Map();
const shown = new Map();

function filterTable(table) {
  const word = (filters.get(table.dataset.filter) || "").toLowerCase();
  for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(word);
}

function addFilters() {
  for (const table of document.querySelectorAll("table[data-filter]")) {
    const name = table.dataset.filter;
    const title = table.closest("section").querySelector(".title");
    if (!title.querySelector("input")) {
      const input = document.createElement("input");
      Object.assign(input, { type: "search", placeholder: name, value: filters.get(name) || "" });
      input.setAttribute("aria-label", name);
      input.addEventListener("input", () => { filters.set(name, input.value); filterTable(table); });
      title.append(input);
    }
    filterTable(table);
  }
}

function replacePart(id, html) {
  const old = document.getElementById(id);
  if (!old || shown.get(id) === html) return;
  const scrolled = [...old.querySelectorAll(".scroll")].map((box) => [box.id, box.scrollTop]);
  const active = document.activeElement;
  const focused = old.contains(active) ? active.id || active.type : null;
  const made = document.createElement("template");
  made.innerHTML = html;
  const part = made.content.firstElementChild;
  shown.set(id, html);
  old.replaceWith(part);
  for (const [box, top] of scrolled) { const found = document.getElementById(box); if (found) found.scrollTop = top; }
  addFilters();
  if (focused) {
    const again = document.getElementById(focused) || part.querySelector(`input[type="${focused}"]`);
    if (again) again.focus({ preventScroll: true });
  }
}

addFilters();
const mark = document.getElementById("live");
const stream = new EventSource(document.body.dataset.live);
stream.addEventListener("open", () => { mark.hidden = false; mark.textContent = "Live"; mark.className = "live"; });
stream.addEventListener("error", () => { mark.hidden = false; mark.textContent = "Not connected"; mark.className = "live lost"; });
stream.addEventListener("message", (event) => {
  for (const [id, html] of Object.entries(JSON.parse(event.data))) replacePart(id, html);
});
stream.addEventListener("bye", () => { stream.close(); location.reload(); });
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
}
