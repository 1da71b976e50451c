// Filters the examples that flipped. The page reads fully without it: the controls are hidden
// until this script shows them.
"use strict";
(() => {
  const bar = document.querySelector(".filter");
  if (!bar) return;
  const examples = [...document.querySelectorAll("article.example")];
  const groups = [...document.querySelectorAll("details.examples")];
  const wanted = (name) => bar.querySelector(`[data-filter="${name}"]`).value;

  const apply = () => {
    const [change, task] = [wanted("change"), wanted("task")];
    const text = wanted("text").trim().toLowerCase();
    for (const example of examples) {
      example.hidden =
        (change !== "" && example.dataset.change !== change) ||
        (task !== "" && example.dataset.task !== task) ||
        (text !== "" && !example.textContent.toLowerCase().includes(text));
    }
    for (const group of groups) {
      group.hidden = !group.querySelector("article:not([hidden])");
    }
    const shown = examples.filter((example) => !example.hidden).length;
    const said = bar.querySelector("output");
    said.textContent = said.dataset.text.replace("{0}", shown).replace("{1}", examples.length);
  };

  bar.addEventListener("input", apply);
  bar.hidden = false;
  apply();
})();
