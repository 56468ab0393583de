// Markdown as models write it, into DOM nodes. In: text, growing. Out: elements; text never becomes HTML, so nothing in it can act.
//
//   const prose = new Prose(element);
//   prose.show(text);   // again and again: blocks that have not changed stay as they are
//
// The rules are CommonMark's with GitHub's tables, but for what models mean differently: nested lists may be indented by two spaces, and mathematics
// between \( \), \[ \] and $$ is left as it is. Pictures become links: a page asks no other host for anything.
"use strict";

const MAX_DEPTH = 12;
const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])(?:([ \t]+)(.*)|)$/;
const DELIMITERS = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
const MATH = /^ {0,3}(\$\$|\\\[)/;

// --- blocks: {kind, source, ...}

function blocksOf(text) {
  const lines = text.split("\n");
  const found = [];
  for (let at = 0; at < lines.length; ) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const block = fence(lines, at) ?? math(lines, at) ?? heading(lines, at) ?? rule(lines, at) ?? quote(lines, at) ?? list(lines, at) ?? table(lines, at) ?? paragraph(lines, at);
    block.source = lines.slice(at, block.end).join("\n");
    found.push(block);
    at = block.end;
  }
  return found;
}

function fence(lines, at) {
  const open = FENCE.exec(lines[at]);
  if (!open) return null;
  const [, indent, mark, language] = open;
  const close = new RegExp(`^ {0,3}\\${mark[0]}{${mark.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !close.test(lines[end])) end += 1;
  const body = lines.slice(at + 1, end).map((line) => dedent(line, indent.length));
  return { kind: "code", language, text: body.join("\n"), end: Math.min(end + 1, lines.length) };
}

function math(lines, at) {
  const open = MATH.exec(lines[at]);
  if (!open) return null;
  const close = open[1] === "$$" ? "$$" : "\\]";
  let end = at;
  let from = lines[at].indexOf(open[1]) + 2;
  while (end < lines.length && lines[end].indexOf(close, from) < 0) {
    from = 0;
    end += 1;
    if (end < lines.length && !lines[end].trim()) return null;
  }
  return end < lines.length ? { kind: "math", text: lines.slice(at, end + 1).join("\n"), end: end + 1 } : null;
}

function heading(lines, at) {
  const found = HEADING.exec(lines[at]);
  return found && { kind: "heading", level: found[1].length, text: found[2] ?? "", end: at + 1 };
}

function rule(lines, at) {
  return RULE.test(lines[at]) ? { kind: "rule", end: at + 1 } : null;
}

function quote(lines, at) {
  if (!QUOTE.test(lines[at])) return null;
  let end = at + 1;
  while (end < lines.length && (QUOTE.test(lines[end]) || (lines[end].trim() && !begins(lines, end)))) end += 1;
  return { kind: "quote", text: lines.slice(at, end).map((line) => line.replace(QUOTE, "")).join("\n"), end };
}

function table(lines, at) {
  const rows = lines[at].includes("|") && at + 1 < lines.length && DELIMITERS.test(lines[at + 1]);
  if (!rows) return null;
  const head = cells(lines[at]);
  const sides = cells(lines[at + 1]);
  if (head.length !== sides.length) return null;
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && lines[end].trim()) end += 1;
  const side = (mark) => (mark.endsWith(":") ? (mark.startsWith(":") ? "center" : "number") : "");
  return { kind: "table", head, sides: sides.map(side), rows: lines.slice(at + 2, end).map(cells), end };
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines, end)) end += 1;
  return { kind: "paragraph", text: lines.slice(at, end).map((line) => line.replace(/^ +/, "")).join("\n"), end };
}

/** Whether a line ends the paragraph before it. */
function begins(lines, at) {
  const line = lines[at];
  const item = ITEM.exec(line);
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || MATH.test(line) || (item && width(item[1]) < 4 && item[4]) || table(lines, at);
}

// Of indents, in columns; a tab is four.
function width(text) {
  return text.replaceAll("\t", "    ").length;
}

function spaces(line) {
  return width(/^[ \t]*/.exec(line)[0]);
}

function dedent(line, columns) {
  let rest = line;
  for (let left = columns; left > 0 && /^[ \t]/.test(rest); ) {
    const taken = Math.min(width(rest[0]), left);
    // What is left of a tab stays as spaces.
    rest = " ".repeat(width(rest[0]) - taken) + rest.slice(1);
    left -= taken;
  }
  return rest;
}

function list(lines, at) {
  const first = ITEM.exec(lines[at]);
  if (!first || width(first[1]) > 3) return null;
  const ordered = /\d/.test(first[2]);
  const items = [];
  let loose = false;
  let end = at;
  while (end < lines.length) {
    const begun = ITEM.exec(lines[end]);
    if (!begun || width(begun[1]) > width(first[1]) + 1 || /\d/.test(begun[2]) !== ordered || RULE.test(lines[end])) break;
    const item = itemAt(lines, end, begun);
    items.push(item.text);
    loose ||= item.loose && item.end < lines.length && ITEM.test(lines[item.end]);
    end = item.end;
  }
  // Blank lines behind the last item are not the list's.
  while (end > at + 1 && !lines[end - 1].trim()) end -= 1;
  return { kind: "list", ordered, start: ordered ? Number.parseInt(first[2], 10) : 1, items, loose, end };
}

function itemAt(lines, at, begun) {
  const mark = width(begun[1]);
  const gap = width(begun[3] ?? " ");
  const inside = mark + begun[2].length + (gap > 4 ? 1 : gap);
  const body = [" ".repeat(gap > 4 ? gap - 1 : 0) + (begun[4] ?? "")];
  let end = at + 1;
  let blank = false;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    if (!line.trim()) {
      blank = true;
      body.push("");
      continue;
    }
    const deep = spaces(line) >= Math.min(inside, mark + 2);
    if (!deep && (blank || begins(lines, end) || ITEM.test(line))) break;
    body.push(dedent(line, inside));
    blank = false;
  }
  return { text: body.join("\n").trimEnd(), loose: blank, end };
}

// --- inline

const ESCAPED = /\\([!-/:-@[-`{-~])/y;
const CODE = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)/y;
const INLINE_MATH = /\\\((?:[^\\]|\\(?!\)))+\\\)|\\\[(?:[^\\]|\\(?!\]))+\\\]/y;
const LINK = /!?\[((?:[^[\]\\]|\\.|\[[^[\]]*\])*)\]\(\s*(<[^>\n]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)(?:\s+"[^"\n]*")?\s*\)/y;
const ADDRESS = /<((?:https?:\/\/|mailto:)[^\s<>]+)>|(https?:\/\/[^\s<>"'`*]*[^\s<>"'`*.,:;!?)\]}])/y;
const BREAK = /(?: {2,}|\\)\n|<br ?\/?>/y;
const PLAIN = /[^\\`[!<*_~h \n]+|[\s\S]/y;
const MARKS = [["***", "em", "strong"], ["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

function inline(text, place, depth = 0) {
  // A mark without its end has none from any later place either.
  const endless = new Set();
  const take = (pattern, at) => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  let held = "";
  const flush = () => {
    if (held) place.append(held);
    held = "";
  };
  for (let at = 0; at < text.length; ) {
    const found = depth < MAX_DEPTH ? piece(text, at, take, endless, depth) : null;
    if (!found) {
      const plain = take(PLAIN, at)[0];
      held += plain;
      at += plain.length;
      continue;
    }
    flush();
    place.append(found.node);
    at = found.end;
  }
  flush();
}

function piece(text, at, take, endless, depth) {
  const end = () => ({ end: at + match[0].length });
  let match;
  const mark = text.slice(at, at + 2);
  if ((mark === "\\(" || mark === "\\[") && !endless.has(mark)) {
    if ((match = take(INLINE_MATH, at))) return { node: element("code", { class: "math" }, match[0]), ...end() };
    endless.add(mark);
  }
  if ((match = take(BREAK, at))) return { node: element("br"), ...end() };
  if ((match = take(ESCAPED, at))) return { node: document.createTextNode(match[1]), ...end() };
  if (text[at] === "`" && !endless.has("`".repeat(run(text, at)))) {
    if ((match = take(CODE, at))) return { node: element("code", {}, codeText(match[2])), ...end() };
    const marks = "`".repeat(run(text, at));
    endless.add(marks);
    return { node: document.createTextNode(marks), end: at + marks.length };
  }
  if ((match = take(LINK, at))) return { node: link(match[1] || match[2], match[2].replace(/^<|>$/g, ""), depth), ...end() };
  if ((match = take(ADDRESS, at))) return { node: link(null, match[1] ?? match[2], depth), ...end() };
  return emphasis(text, at, endless, depth);
}

function codeText(text) {
  const flat = text.replaceAll("\n", " ");
  return /^ .* $/.test(flat) && flat.trim() ? flat.slice(1, -1) : flat;
}

function run(text, at) {
  let end = at;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

function emphasis(text, at, endless, depth) {
  for (const [mark, ...names] of MARKS) {
    if (endless.has(mark) || !text.startsWith(mark, at) || !mayOpen(text, at, mark)) continue;
    const close = closing(text, at + mark.length, mark);
    if (close < 0) {
      endless.add(mark);
      continue;
    }
    const inner = element(names.at(-1));
    inline(text.slice(at + mark.length, close), inner, depth + 1);
    const node = names.length > 1 ? element(names[0]) : inner;
    if (node !== inner) node.append(inner);
    return { node, end: close + mark.length };
  }
  return null;
}

const WORD = /[\p{L}\p{N}]/u;

function mayOpen(text, at, mark) {
  const after = text[at + mark.length];
  if (after === undefined || /\s/.test(after) || after === mark[0]) return false;
  // Within words an underscore is a letter.
  return mark[0] !== "_" || !(at > 0 && WORD.test(text[at - 1]));
}

function closing(text, from, mark) {
  for (let at = from; at <= text.length - mark.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "`") at += skipped(text, at);
    else if (text[at] === mark[0]) {
      const length = run(text, at);
      // Of three marks that close two emphases the last ones are the outer's.
      if (at > from && mayClose(text, at, mark, length)) return at + length - mark.length;
      at += length - 1;
    }
  }
  return -1;
}

function skipped(text, at) {
  CODE.lastIndex = at;
  return (CODE.exec(text)?.[0].length ?? run(text, at)) - 1;
}

function mayClose(text, at, mark, length) {
  if (/\s/.test(text[at - 1])) return false;
  if (length !== mark.length && length !== 3) return false;
  return mark[0] !== "_" || !(at + length < text.length && WORD.test(text[at + length]));
}

function link(words, address, depth) {
  const safe = safeAddress(address);
  const node = element(safe ? "a" : "span", safe ? { href: safe, target: "_blank", rel: "noopener noreferrer nofollow" } : {});
  if (words === null) node.append(address);
  else inline(words, node, depth + 1);
  return node;
}

function safeAddress(address) {
  try {
    const found = new URL(address);
    return ["http:", "https:", "mailto:"].includes(found.protocol) ? found.href : null;
  } catch {
    return null;
  }
}

// --- into elements

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const DRAW = {
  code: (block) => codeBlock(block.text, block.language),
  math: (block) => element("pre", { class: "math", tabindex: "0" }, block.text),
  heading: (block) => withInline(element(`h${Math.min(block.level + 2, 6)}`), block.text),
  rule: () => element("hr"),
  quote: (block, depth) => withBlocks(element("blockquote"), block.text, depth),
  list: drawList,
  table: drawTable,
  paragraph: (block) => withInline(element("p"), block.text),
};

function withInline(made, text) {
  inline(text, made);
  return made;
}

function withBlocks(made, text, depth) {
  if (depth >= MAX_DEPTH) made.append(text);
  else made.append(...blocksOf(text).map((block) => DRAW[block.kind](block, depth + 1)));
  return made;
}

function drawList(block, depth) {
  const made = element(block.ordered ? "ol" : "ul", block.ordered && block.start !== 1 ? { start: block.start } : {});
  for (const text of block.items) made.append(drawItem(text, block.loose, depth));
  return made;
}

function drawItem(text, loose, depth) {
  const made = element("li");
  const task = /^\[([ xX])\] /.exec(text);
  if (task) {
    made.className = "task";
    made.append(task[1] === " " ? "☐ " : "☑ ");
  }
  const rest = element("div");
  withBlocks(rest, task ? text.slice(4) : text, depth);
  const first = rest.firstElementChild;
  if (!loose && first?.tagName === "P") first.replaceWith(...first.childNodes);
  made.append(...rest.childNodes);
  return made;
}

function drawTable(block) {
  const row = (texts, name) => element("tr", {}, ...block.head.map((_, at) => withInline(element(name, name === "th" ? { scope: "col", class: block.sides[at] || null } : { class: block.sides[at] || null }), texts[at] ?? "")));
  const made = element("table", {}, element("thead", {}, row(block.head, "th")), element("tbody", {}, ...block.rows.map((texts) => row(texts, "td"))));
  return element("div", { class: "scroll", role: "region", "aria-label": "Table", tabindex: "0" }, made);
}

let codeCount = 0;

/** Code with its language and a button that copies it. */
export function codeBlock(text, language = "") {
  codeCount += 1;
  const id = `code-${codeCount}`;
  const copy = element("button", { type: "button", class: "plain small-button", "data-copy-from": id }, "Copy");
  return element("figure", { class: "code" }, element("figcaption", {}, element("span", {}, language || "text"), copy), element("pre", { tabindex: "0" }, element("code", { id }, text)));
}

/** Text that grows, in a place of its own. Lives as long as the place. */
export class Prose {
  constructor(place) {
    this.place = place;
    this.shown = [];
  }

  show(text) {
    const blocks = blocksOf(text);
    for (let at = 0; at < blocks.length; at += 1) this.draw(blocks[at], at);
    for (const gone of this.shown.splice(blocks.length)) gone.node.remove();
  }

  draw(block, at) {
    const before = this.shown[at];
    if (before?.kind === block.kind && before.source === block.source) return;
    if (before?.kind === "code" && block.kind === "code" && before.language === block.language) {
      // Not anew: who is scrolling in it stays where they are.
      before.node.querySelector("code").textContent = block.text;
      this.shown[at] = { ...block, node: before.node };
      return;
    }
    const node = DRAW[block.kind](block, 0);
    if (before) before.node.replaceWith(node);
    else this.place.append(node);
    this.shown[at] = { ...block, node };
  }
}
