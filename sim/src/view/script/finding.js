// ── Finding ────────────────────────────────────────────────────────────────────────────────────────────────────

function search(text) {
  const wanted = text.trim().toLowerCase();
  state.hitList = [];
  state.hit = -1;
  state.hits = null;
  if (wanted) {
    const has = D.texts.map((text) => text.toLowerCase().includes(wanted));
    const any = (...texts) => texts.some((text) => text >= 0 && has[text]);
    state.hits = new Uint8Array(messages);
    for (let m = 0; m < messages; m++) {
      if (requestShown(m) && any(M.method[m], M.from[m], M.to[m], M.flow[m], M.payload[m], M.out[m], M.place[m])) {
        state.hits[m] = 1;
        state.hitList.push(m);
      }
    }
  }
  showFound();
  redraw();
}

function showFound() {
  const number = state.hitList.length;
  $("found").textContent = !state.hits ? "" : !number ? "none" : state.hit < 0 ? number.toLocaleString("en") : `${state.hit + 1} of ${number.toLocaleString("en")}`;
}

function nextHit(step) {
  const number = state.hitList.length;
  if (!number) return;
  // From what can be seen, the first time.
  if (state.hit < 0) {
    const middle = momentAt(state.left);
    const first = state.hitList.findIndex((m) => M.at[m] >= middle);
    state.hit = first < 0 ? 0 : first;
  } else state.hit = (state.hit + step + number) % number;
  showFound();
  select(state.hitList[state.hit], true);
}
