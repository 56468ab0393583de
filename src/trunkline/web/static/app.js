// What pages do by themselves: copying, the theme, local times, tabs, charts. Every page reads well without it.
"use strict";

const root = document.documentElement;

// --- theme: the system's, or the reader's own choice

const themeKey = "trunkline-theme";

function setTheme(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
}

try { setTheme(localStorage.getItem(themeKey)); } catch { /* a browser that keeps nothing */ }

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  setTheme(theme);
  try { localStorage.setItem(themeKey, theme); } catch { /* as above */ }
  document.querySelectorAll(".chart").forEach(draw);
}

// --- copying

async function copy(button) {
  const text = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom)?.innerText ?? "";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP on another host there is no clipboard: select it by hand instead.
    const box = document.createElement("textarea");
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
  button.classList.add("copied");
  say("Copied");
  setTimeout(() => button.classList.remove("copied"), 1200);
}

function warn(text) {
  let place = document.getElementById("warned");
  if (!place) {
    place = document.createElement("p");
    place.id = "warned";
    place.className = "warned alarm";
    place.setAttribute("role", "alert");
    document.body.append(place);
  }
  place.textContent = text;
  clearTimeout(warn.timer);
  warn.timer = setTimeout(() => place.remove(), 6000);
}

function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

// --- times in the reader's own zone, written as everywhere: 2026-11-24 15:04:05

function written(at, utc, length) {
  const shifted = utc ? at : new Date(at.getTime() - at.getTimezoneOffset() * 60000);
  return shifted.toISOString().slice(0, length).replace("T", " ");
}

function localTimes(within) {
  for (const time of within.querySelectorAll("time[data-local]")) {
    const at = new Date(time.dateTime);
    time.title = `${written(at, true, 19)} UTC`;
    time.textContent = written(at, false, 19);
  }
}

// --- tabs, as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ has them

function choose(tab, focus) {
  const list = tab.closest("[role=tablist]");
  for (const one of list.querySelectorAll("[role=tab]")) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.tabIndex = chosen ? 0 : -1;
    const panel = document.getElementById(one.getAttribute("aria-controls"));
    if (!panel) continue;
    panel.hidden = !chosen;
    // Set by pages whose panels all show where there are no scripts.
    delete panel.dataset.behind;
  }
  if (focus) tab.focus();
}

function onTabKey(event, tab) {
  const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
  const at = tabs.indexOf(tab);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(tabs[(to + tabs.length) % tabs.length], true);
}

// --- charts

const drawn = new WeakMap();
const wholeDays = [1, 2, 4, 7, 14, 28, 56, 91, 182].map((days) => days * 86400);

function colour(name) {
  return getComputedStyle(root).getPropertyValue(name).trim();
}

function short(value) {
  if (value == null) return "-";
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]]) {
    if (size >= unit) return Number((value / unit).toPrecision(3)) + letter;
  }
  return String(Number(value.toPrecision(3)));
}

function stacked(series) {
  // Each on top of those after it, so that the first is drawn last and lies in front.
  const sums = series[0].map(() => 0);
  return series.map((values) => values.map((value, i) => (sums[i] += value ?? 0)));
}

function roomForBars(plot, first, last) {
  const half = (last - first) / Math.max(plot.data[0].length - 1, 1) / 2 || 43200;
  return [first - half, last + half];
}

function marksOfTime(marks, step, utc) {
  return marks.map((mark) => {
    const at = written(new Date(mark * 1000), utc, 16);
    // The year stands in the legend.
    return step >= 86400 || at.endsWith("00:00") ? at.slice(5, 10) : at.slice(11);
  });
}

function draw(box) {
  const source = box.querySelector("script[type='application/json']");
  if (!source || typeof uPlot === "undefined") return;
  drawn.get(box)?.destroy();
  const { x, series, kind, utc } = JSON.parse(source.textContent);
  const unit = box.dataset.unit || "";
  const bars = kind === "bars";
  const raw = series.map((one) => one.values);
  const shown = bars ? stacked(raw).reverse() : raw;
  const named = bars ? [...series].reverse() : series;
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const options = {
    width: box.clientWidth,
    height: Number(box.dataset.height),
    // Days of UTC begin elsewhere at another hour, often on another date.
    tzDate: utc ? (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : undefined,
    cursor: { points: { show: !bars } },
    legend: { live: true },
    scales: { ...(bars ? { x: { range: roomForBars } } : {}), y: { range: (_, least, most) => [0, most > 0 ? most * 1.08 : 1] } },
    axes: [{ ...axis, incrs: utc ? wholeDays : undefined, values: (_, marks, __, ___, step) => marksOfTime(marks, step, utc) }, { ...axis, size: 58, values: (_, marks) => marks.map((mark) => short(mark)) }],
    series: [
      { label: "", value: (_, at) => (at == null ? "" : written(new Date(at * 1000), utc, utc ? 10 : 16)) },
      ...named.map((one, i) => {
        const line = colour(`--series-${((bars ? named.length - 1 - i : i) % 6) + 1}`);
        return {
          label: one.name,
          stroke: line,
          fill: bars ? line : undefined,
          width: bars ? 0 : 2,
          // The colours come again after six.
          dash: !bars && i >= 6 ? [6, 4] : undefined,
          points: { show: !bars && x.length < 3 },
          spanGaps: false,
          paths: bars ? uPlot.paths.bars({ size: [0.72, 40] }) : undefined,
          value: (_, __, ___, at) => {
            const values = bars ? raw[named.length - 1 - i] : raw[i];
            return at == null ? "" : `${short(values[at])}${unit && values[at] != null ? " " + unit : ""}`;
          },
        };
      }),
    ],
  };
  drawn.set(box, new uPlot(options, [x, ...shown], box));
}

function begin(within) {
  localTimes(within);
  within.querySelectorAll(".chart").forEach(draw);
}

// --- wiring, once for all that comes

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from], [data-theme-toggle], [role=tab]");
  if (!button) return;
  if (button.matches("[data-theme-toggle]")) toggleTheme();
  else if (button.matches("[role=tab]")) choose(button, false);
  else copy(button);
});
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.("[role=tab]");
  if (tab) onTabKey(event, tab);
});
addEventListener("resize", () => document.querySelectorAll(".chart").forEach((box) => drawn.get(box)?.setSize({ width: box.clientWidth, height: Number(box.dataset.height) })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.querySelectorAll(".chart").forEach(draw));
// A part of a page that could not be brought says so; what stood there stays.
for (const kind of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(kind, (event) => {
    const status = event.detail.xhr?.status;
    warn(status ? `The gateway answered with status ${status}. Load the page again.` : "The gateway cannot be reached from here now.");
  });
}
document.addEventListener("htmx:load", (event) => begin(event.detail.elt));
// On a narrow screen the head's places lie in one row that scrolls.
document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => begin(document));
else begin(document);
