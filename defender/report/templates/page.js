"use strict";
// Copies the prompt, shows what a mark says, moves between marks by arrow keys, shows and dims series.
(() => {
  const $ = (id) => document.getElementById(id);
  const tip = $("tip");

  const copy = $("copy");
  if (copy) copy.addEventListener("click", async () => {
    const text = JSON.parse($(copy.dataset.from).textContent);
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      copy.focus();
    }
    $("copied").textContent = done ? "Copied." : "The browser does not let a page copy: select the text above.";
  });

  const say = (mark) => {
    const words = mark.getAttribute("aria-label");
    tip.textContent = words;
    tip.hidden = false;
    const at = mark.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    tip.style.left = Math.max(4, Math.min(at.left + at.width / 2 - tip.offsetWidth / 2, wide - tip.offsetWidth - 4)) + window.scrollX + "px";
    const above = at.top - tip.offsetHeight - 8;
    tip.style.top = (above > 0 ? above : at.bottom + 8) + window.scrollY + "px";
    const readout = $(mark.closest("svg").id + "-readout");
    if (readout) readout.textContent = words;
  };
  const hush = () => { tip.hidden = true; };
  const shown = (svg) => [...svg.querySelectorAll(".point")].filter((mark) => !mark.closest("[hidden]"));

  for (const svg of document.querySelectorAll("figure svg")) {
    svg.addEventListener("mouseover", (event) => { if (event.target.matches(".point")) say(event.target); });
    svg.addEventListener("mouseout", hush);
    svg.addEventListener("focusin", (event) => { if (event.target.matches(".point")) say(event.target); });
    svg.addEventListener("focusout", hush);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const marks = shown(svg), here = marks.indexOf(event.target);
      if (!step && event.key !== "Home" && event.key !== "End" || here < 0) return;
      event.preventDefault();
      const next = event.key === "Home" ? 0 : event.key === "End" ? marks.length - 1 : (here + step + marks.length) % marks.length;
      for (const mark of svg.querySelectorAll('.point[tabindex="0"]')) mark.setAttribute("tabindex", -1);
      marks[next].setAttribute("tabindex", 0);
      marks[next].focus();
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hush(); });

  for (const box of document.querySelectorAll("[data-show]")) {
    const show = () => {
      for (const series of $(box.dataset.chart).querySelectorAll(`[data-series="${box.dataset.show}"]`)) series.toggleAttribute("hidden", !box.checked);
    };
    box.addEventListener("change", show);
    show();
  }
  for (const pick of document.querySelectorAll("[data-pick]")) {
    const dim = () => {
      for (const mark of $(pick.dataset.chart).querySelectorAll("[data-group]")) mark.classList.toggle("dim", pick.value !== "" && mark.dataset.group !== pick.value);
    };
    pick.addEventListener("change", dim);
    dim();
  }
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
})();
