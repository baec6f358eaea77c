"use strict";
// Errors are kept from the very beginning, for the self-test.
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));

const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const T = (index) => (index < 0 ? "" : D.texts[index]);
const count = D.at.length;
const last = Math.max(0, count - 1);
