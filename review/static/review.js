// Shortens the way; everything works without it. It follows links and sends forms of its page, no more.
"use strict";

document.querySelector(".keys").hidden = false;

for (const field of document.querySelectorAll("[data-submits]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}

if (navigator.clipboard) {
  for (const text of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "copied";
    });
    text.after(button);
  }
}

function isTyping(target) {
  return target.closest("input, select, textarea, [contenteditable]") !== null;
}

// Moves the focus from call to call in the list.
function step(by) {
  const calls = [...document.querySelectorAll(".calls .open")];
  const row = document.activeElement.closest(".calls tr");
  const at = row ? calls.findIndex((link) => row.contains(link)) : by > 0 ? -1 : calls.length;
  const next = calls[Math.min(Math.max(at + by, 0), calls.length - 1)];
  if (next) {
    next.focus({ preventScroll: true });
    next.closest("tr").scrollIntoView({ block: "nearest" });
  }
}

// Opens the form of a better answer, and goes into its text.
function correct() {
  const form = document.querySelector("details.correct");
  if (form) {
    form.open = true;
    form.querySelector("textarea")?.focus();
  }
}

const inList = {
  j: () => step(1),
  k: () => step(-1),
  n: () => document.querySelector(".pages [rel=next]")?.click(),
  p: () => document.querySelector(".pages [rel=prev]")?.click(),
};
const everywhere = {
  c: correct,
  "/": () => document.querySelector("#where")?.select(),
  s: () => document.querySelector("#search")?.select(),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea")) {
    event.target.form.requestSubmit(event.target.form.querySelector("button"));
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const link = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  const list = document.body.classList.contains("list") ? inList : {};
  const act = link ? () => link.click() : (list[event.key] ?? everywhere[event.key]);
  if (typeof act === "function") {
    event.preventDefault();
    act();
  }
});

// Who judges says so once; the name stays in this browser.
for (const field of document.querySelectorAll("input[name=author]")) {
  field.value ||= localStorage.getItem("author") ?? "";
  field.addEventListener("change", () => localStorage.setItem("author", field.value));
}
