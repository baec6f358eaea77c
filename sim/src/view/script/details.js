// ── Looking at things ──────────────────────────────────────────────────────────────────────────────────────────

function nearest(x, y) {
  const from = Math.max(0, momentAt(state.left) - 1);
  const until = Math.min(last, momentAt(state.left + (width - GUTTER) / state.scale) + 1);
  let best = null, least = 8;
  for (let f = 0; f < X.at.length; f++) {
    const { moment, row } = failurePlace(f);
    if (row >= 0 && Math.hypot(xOf(moment) - x, rowY(row) - y) < 12) return { failure: f };
  }
  for (let e = 0; e < E.at.length; e++) {
    if (E.at[e] < from || E.at[e] > until || !eventShown(e)) continue;
    const far = Math.hypot(xOf(E.at[e]) - x, (D.node[E.at[e]] < 0 ? RULER + 6 : rowY(D.node[E.at[e]])) - y);
    if (far < least) { least = far; best = { event: e }; }
  }
  if (state.layers.handler) {
    for (let h = 0; h < handlers && H.at[h] <= until; h++) {
      const end = H.ended[h] >= 0 ? H.ended[h] : last;
      if (end < from || !handlerShown(h)) continue;
      const off = Math.abs(yOf(D.node[H.at[h]], lane[h]) - y);
      if (off < 7 && x >= xOf(H.at[h]) - 4 && x <= Math.max(xOf(end), xOf(H.at[h]) + 3) + 4 && off < least) {
        least = off; best = { handler: h };
      }
    }
  }
  const look = (arrows, wanted) => arrowsBetween(arrows, from, until, (i) => {
    if (arrows.kind[i] !== PACKET && !wanted(arrows.of[i])) return;
    const [x0, y0, x1, y1] = ends(arrows, i);
    const square = (x1 - x0) ** 2 + (y1 - y0) ** 2 || 1;
    const t = Math.max(0, Math.min(1, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / square));
    const far = Math.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0));
    if (far < least - 0.01) { least = far; best = { arrows, i }; }
  });
  look(requests, requestShown);
  look(replies, replyShown);
  if (state.layers.packet && !(best?.arrows && least < 4)) look(packets, () => true);
  if (!best) {
    for (let f = F.at.length - 1; f >= 0; f--) {
      const [x0, x1] = spanOf(f);
      if (x < x0 || x > Math.max(x1, x0 + 3)) continue;
      if (F.nodes[f].some((row) => Math.abs(rowY(row) - y) < state.rowHeight * 0.42)) return { fault: f };
    }
  }
  return best;
}

const el = (tag, text, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
};

function messageFacts(m) {
  const gone = M.arrived[m] < 0;
  const facts = [
    ["from", `${T(M.from[m]) || "a client"} on ${D.nodes[D.node[M.at[m]]]}`],
    ["to", T(M.to[m]) + (gone ? "" : ` on ${D.nodes[D.node[M.arrived[m]]]}`)],
    ["sent", clock(M.at[m])],
    ["arrived", gone ? "never" : `${clock(M.arrived[m])}, after ${timeText(D.at[M.arrived[m]] - D.at[M.at[m]])}`],
  ];
  if (M.end[m] >= 0) facts.push(["ended", `${clock(M.end[m])}, after ${timeText(D.at[M.end[m]] - D.at[M.at[m]])}`]);
  if (M.late[m] >= 0) facts.push(["late answer", clock(M.late[m])]);
  if (M.flow[m] >= 0 && T(M.flow[m])) facts.push(["flow", T(M.flow[m])]);
  if (M.place[m] >= 0) facts.push(["source", T(M.place[m])]);
  for (let f = 0; f < F.at.length; f++) if (F.message[f] === m) facts.push(["injected", `${T(F.name[f])}, ${clock(F.at[f])}`]);
  facts.push(["payload", `${M.bytes[m].toLocaleString("en")} bytes`]);
  return facts;
}

const outcome = (m) =>
  M.ok[m] === 1 ? "answered" : M.ok[m] === 2 ? T(M.out[m]) : M.kind[m] === 0 ? "not answered" : M.handler[m] >= 0 ? "handled" : M.arrived[m] >= 0 ? "queued" : "on its way";

function showTip(x, y) {
  const tip = $("tip"), { hover } = state;
  tip.hidden = !hover;
  canvas.classList.toggle("over", !!hover && hover.fault === undefined);
  if (!hover) return;
  tip.replaceChildren();
  const add = (text, name) => tip.append(el("div", text, name));
  if (hover.failure !== undefined) {
    tip.append(el("b", "✗ " + T(X.property[hover.failure])));
    add(T(X.text[hover.failure]));
    add(clock(X.at[hover.failure]), "soft");
  } else if (hover.arrows === packets) {
    const p = hover.i, state = P.lost[p] >= 0 ? "lost" : P.arrived[p] >= 0 ? "arrived after " + timeText(D.at[P.arrived[p]] - D.at[P.at[p]]) : "never arrived";
    tip.append(el("b", `${P.datagram[p] ? "datagram" : "frame"}, ${P.bytes[p].toLocaleString("en")} bytes`));
    add(`${D.nodes[D.node[P.at[p]]]} → ${D.nodes[P.to[p]] ?? "nobody"}, ${state}`);
    add(clock(P.at[p]), "soft");
  } else if (hover.arrows) {
    const m = hover.arrows.of[hover.i], reply = hover.arrows === replies;
    tip.append(el("b", (reply ? "answer to " : KINDS[M.kind[m]] + " ") + T(M.method[m])));
    add(`${T(M.from[m]) || "a client"} → ${T(M.to[m])}: ${outcome(m)}`);
    const text = reply ? T(M.out[m]) : T(M.payload[m]);
    if (text && !(reply && M.ok[m] === 2)) add(text, "soft");
    add(clock(reply ? hover.arrows.from[hover.i] : M.at[m]) + (M.flow[m] >= 0 && T(M.flow[m]) ? `, flow ${T(M.flow[m])}` : ""), "soft");
  } else if (hover.handler >= 0) {
    const h = hover.handler;
    tip.append(el("b", `${T(H.component[h])} ${short(T(H.method[h]))}`));
    add(H.error[h] >= 0 ? T(H.error[h]) : H.ended[h] >= 0 ? "returned" : "under way");
    for (let w = waitsFrom[h]; w < Math.min(waitsFrom[h + 1], waitsFrom[h] + 4); w++) {
      add(`waits at ${T(D.w.place[w])}` + (D.w.until[w] >= 0 ? `, ${timeText(D.at[D.w.until[w]] - D.at[D.w.at[w]])}` : ", still"), "soft");
    }
    add(clock(H.at[h]) + (H.ended[h] >= 0 ? `, for ${timeText(D.at[H.ended[h]] - D.at[H.at[h]])}` : ""), "soft");
  } else if (hover.event >= 0) {
    const e = hover.event, row = D.node[E.at[e]];
    tip.append(el("b", `${row >= 0 ? D.nodes[row] + " " : E.kind[e] === 2 ? "reached: " : ""}${T(E.text[e])}`));
    add(clock(E.at[e]), "soft");
  } else {
    const f = hover.fault;
    tip.append(el("b", T(F.name[f])));
    add(`${clock(F.at[f])} to ${F.until[f] >= 0 ? clock(F.until[f]) : "the end"}`, "soft");
  }
  const right = x + tip.offsetWidth + 24 > width;
  tip.style.left = (right ? Math.max(4, x - tip.offsetWidth - 14) : x + 14) + "px";
  tip.style.top = Math.max(4, Math.min(height - tip.offsetHeight - 6, y + 14)) + "px";
}

// What led to a message, and what came of it.
function relatedTo(m) {
  const all = new Set();
  for (let c = m; c >= 0; c = M.cause[c]) all.add(c);
  const next = [m];
  while (next.length && all.size < 20000) {
    for (const child of children[next.pop()] || []) { all.add(child); next.push(child); }
  }
  return all;
}

function select(m, go) {
  state.selected = m;
  state.handler = -1;
  state.related = m >= 0 ? relatedTo(m) : null;
  if (state.involved) {
    placeRows();
    filter();
  }
  if (m >= 0 && go) bring(M.at[m], M.end[m] >= 0 ? M.end[m] : M.arrived[m]);
  showSide();
  redraw();
}

function showSide() {
  const side = $("side");
  side.replaceChildren();
  if (state.selected >= 0) sideMessage(side, state.selected);
  else sideStart(side);
  side.scrollTop = 0;
}

function listOf(list, current) {
  const ol = el("ol");
  for (const m of list) {
    const li = el("li"), button = el("button"), dot = el("span", undefined, "dot");
    if (m === current) li.setAttribute("aria-current", "true");
    dot.style.background = M.ok[m] === 2 ? colors.bad : colorOf(M.kind[m]);
    const what = el("span", `${short(T(M.method[m]))} `, "what");
    const who = el("span", `→ ${T(M.to[m])}`);
    who.style.color = "var(--soft)";
    what.append(who);
    button.append(dot, what, el("span", clock(M.at[m]), "when"));
    button.onclick = () => select(m, true);
    li.append(button);
    ol.append(li);
  }
  return ol;
}

function sideMessage(side, m) {
  side.append(el("h2", `${KINDS[M.kind[m]]} ${T(M.method[m])}`));
  if (M.ok[m] === 2) {
    const box = el("div", undefined, "failure");
    box.append(el("div", T(M.out[m])));
    side.append(box);
  }
  const dl = el("dl");
  for (const [name, value] of messageFacts(m)) dl.append(el("dt", name), el("dd", value));
  side.append(dl);
  if (T(M.payload[m])) side.append(el("h3", "Payload"), el("pre", T(M.payload[m])));
  if (M.ok[m] === 1 && T(M.out[m])) side.append(el("h3", "Answer"), el("pre", T(M.out[m])));
  const chain = [];
  for (let c = m; c >= 0; c = M.cause[c]) chain.unshift(c);
  if (chain.length > 1) side.append(el("h3", "Because of"), listOf(chain, m));
  const next = children[m] || [];
  if (next.length) {
    side.append(el("h3", `${next.length} sent by its handler`), listOf(next.slice(0, 100), m));
    if (next.length > 100) side.append(el("div", `and ${next.length - 100} more`));
  }
  const back = el("button", "Close  Esc");
  back.style.marginTop = "18px";
  back.onclick = () => select(-1);
  side.append(back);
}

function sideStart(side) {
  for (let x = 0; x < Math.min(3, X.at.length); x++) {
    const box = el("div", undefined, "failure");
    box.append(el("h2", "✗ " + T(X.property[x])), el("div", T(X.text[x])));
    const when = el("div", "at " + clock(X.at[x]));
    when.style.color = "var(--soft)";
    box.append(when);
    side.append(box);
  }
  if (failure >= 0 && X.message[failure] >= 0) {
    const chain = [];
    for (let c = X.message[failure]; c >= 0; c = M.cause[c]) chain.unshift(c);
    side.append(el("h3", "What led to it"), listOf(chain, -1));
  }
  const dl = el("dl");
  for (const [name, value] of D.about) dl.append(el("dt", name), el("dd", value));
  if (D.about.length) side.append(el("h3", "Run"), dl);
  if (F.at.length) {
    side.append(el("h3", "Faults"));
    const ol = el("ol");
    for (let f = 0; f < Math.min(F.at.length, 40); f++) {
      const li = el("li"), button = el("button"), dot = el("span", undefined, "dot");
      dot.style.background = colors[FAULTS[F.kind[f]]];
      const node = D.nodes[F.nodes[f][0]] ?? "", on = F.kind[f] < 2 && !T(F.name[f]).includes(node) ? node + " " : "";
      button.append(dot, el("span", on + T(F.name[f]), "what"), el("span", clock(F.at[f]), "when"));
      button.onclick = () => bring(F.at[f], F.until[f]);
      li.append(button);
      ol.append(li);
    }
    side.append(ol);
    if (F.at.length > 40) side.append(el("div", `and ${F.at.length - 40} more`));
  }
  side.append(el("h3", "Legend"), legend());
}

function legend() {
  const box = el("div", undefined, "legend");
  const svg = (body) => {
    const holder = el("span");
    holder.innerHTML = `<svg width="44" height="16" viewBox="0 0 44 16" fill="none" stroke-width="1.6">${body}</svg>`;
    return holder;
  };
  const arrow = (color, dash) =>
    `<path d="M2 13 38 4" stroke="var(${color})" ${dash ? 'stroke-dasharray="5 3"' : ""}/><path d="M42 3l-7-2 2 6z" fill="var(${color})"/>`;
  const rows = [
    [arrow("--call"), "a call"],
    [arrow("--reply", true), "its answer"],
    [arrow("--cast"), "a cast"],
    [arrow("--publish"), "a publication"],
    [arrow("--bad"), "it failed"],
    ['<path d="M22 14l5-9H17z" fill="var(--bad)"/>', "its sender learns that"],
    ['<path d="M2 13 28 6" stroke="var(--call)" stroke-dasharray="2 3"/><path d="M25 3l6 6m0-6-6 6" stroke="var(--call)"/>', "it never arrived"],
    ['<rect x="2" y="4" width="40" height="8" rx="4" fill="var(--event)"/><rect x="12" y="5.5" width="20" height="5" fill="var(--paper)"/>', "a handler; hollow while it waits"],
    ['<circle cx="22" cy="8" r="3.5" stroke="var(--event)" fill="var(--paper)"/>', "an event of a node"],
    ['<path d="M22 3l5 5-5 5-5-5z" stroke="var(--reached)" fill="var(--paper)"/>', "something a test looked out for"],
    ['<rect x="2" y="1" width="40" height="14" fill="var(--cut)" opacity=".25"/><path d="M2 1v14" stroke="var(--cut)"/>', "a fault, while it lasts"],
    ['<rect x="17" y="3" width="10" height="10" rx="2" fill="var(--message)"/>', "something was done to a message"],
    ['<circle cx="22" cy="8" r="6.5" fill="var(--bad)"/><path d="M19.5 5.5l5 5m0-5-5 5" stroke="var(--paper)"/>', "where it failed"],
  ];
  for (const [body, text] of rows) box.append(svg(body), el("span", text));
  return box;
}
