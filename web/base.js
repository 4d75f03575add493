// SPDX-License-Identifier: Apache-2.0
// The agent's page, without libraries; these files are one when served. Views are functions that draw into <main>, the address after # says which
// view and its whole state. Names from containers are only ever set as text. What is not known is drawn as a gap.
"use strict";

const LIVE_SECONDS = 300; // kept of every container for the table
const STALE_MS = 5000;
const $ = id => document.getElementById(id);

// ---- building elements: attributes and text only, never markup

function el(name, attributes, ...children) {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(attributes || {})) {
		if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
		else if (value === true) made.setAttribute(key, "");
		else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
	}
	made.append(...children.flat().filter(child => child !== null && child !== undefined));
	return made;
}

// In place of what was in it.
function fill(parent, ...children) {
	parent.replaceChildren(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
}

function svg(name, attributes) {
	const made = document.createElementNS("http://www.w3.org/2000/svg", name);
	for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
	return made;
}

// ---- numbers for people

const known = value => value !== null && value !== undefined && Number.isFinite(value);

function digits(value) {
	if (!value) return "0";
	return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function scaled(value, base, units) {
	let at = 0;
	while (Math.abs(value) >= base && at < units.length - 1) { value /= base; at++; }
	return `${at || value % 1 ? digits(value) : value} ${units[at]}`.trim();
}

const show = {
	cores: value => value > 0 && value < 0.005 ? "<0.01" : digits(value),
	threads: value => value > 0 && value < 0.005 ? "<0.01" : digits(value),
	ratio: value => `${digits(100 * value)} %`,
	bytes: value => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]),
	"bytes/s": value => scaled(value, 1000, ["B/s", "kB/s", "MB/s", "GB/s"]),
	"1/s": value => `${scaled(value, 1000, ["", "k", "M", "G"]).replace(" ", "\u202f")}/s`,
	"1": value => scaled(value, 1000, ["", "k", "M", "G"]),
	ns: value => scaled(value, 1000, ["ns", "µs", "ms", "s"]),
};
const text = (unit, value) => known(value) ? show[unit](value) : "–";
const trimmed = words => words.replace(/(\.\d*?)0+(?=\s|$)/, "$1").replace(/\.(?=\s|$)/, ""); // 64.0 ms → 64 ms, of numbers that are exact
// A bucket of times by its lower bound: doubling, with round numbers at each thousand (1 2 4 … 512 µs, 1 ms …).
function bucket_words(low) {
	const [number, unit] = trimmed(show.ns(low)).split(" "), end = trimmed(show.ns(!low ? 1 : number === "512" ? low / 512 * 1000 : 2 * low));
	return `${number}${low && end.endsWith(` ${unit}`) ? "" : low ? ` ${unit}` : ""}–${end}`;
}
const clock = ms => new Date(ms).toLocaleTimeString([], { hour12: false });

// ---- asking the agent

let token = sessionStorage.getItem("token") || "";

async function ask(path, options = {}) {
	const answer = await fetch(path, { ...options, headers: { Authorization: `Bearer ${token}` }, cache: "no-store" }).catch(error => { throw error.name === "AbortError" ? error : new Error("the agent does not answer"); });
	if (answer.status === 401) { login(); throw new Error("the token is missing or wrong"); }
	if (!answer.ok) {
		let why = `the agent answered ${answer.status}`;
		try { why = (await answer.json()).error || why; } catch { /* no JSON: the status says enough */ }
		throw new Error(why);
	}
	return answer;
}
const json = async (path, options) => (await ask(path, options)).json();

const quote = name => /^[\w.@:-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;

function button(words, pressed, attributes) {
	return el("button", { type: "button", onclick: pressed, ...attributes }, words);
}

// What a view can be saved as: [[name, function]].
function export_menu(list) {
	return el("details", { class: "menu" }, el("summary", {}, "Export"), el("div", {}, list.map(([name, saved]) => button(name, saved))));
}

function csv_of(rows) {
	const cell = value => {
		const words = String(value ?? "");
		return /[",\n\r]|^[=+@-]/.test(words) && typeof value !== "number" ? `"${words.replace(/^([=+@-])/, "'$1").replaceAll('"', '""')}"` : words;
	};
	return new Blob([rows.map(row => row.map(cell).join(",")).join("\n") + "\n"], { type: "text/csv" });
}

const json_blob = value => new Blob([JSON.stringify(value)], { type: "application/json" });

// The part of a capture that is shown (that of the address, or `span`), as options: seconds since the beginning of the file, of which a part may be
// shown alone. To the millisecond: intervals begin anywhere in a second.
function part_of_capture(span) {
	const { query } = address(), { from_ms, to_ms, begin_ms, end_ms, zero_ms } = model.replay, to = Math.min(span?.to || Number(query.get("to")) || to_ms, to_ms), from = Math.max(span ? span.from : to - (Number(query.get("range")) * 1000 || to_ms - from_ms), from_ms), seconds = ms => Number((Math.max(ms - zero_ms, 0) / 1000).toFixed(3));
	return [from > begin_ms ? `--from ${seconds(from)} ` : "", to < end_ms ? `--to ${seconds(to)} ` : ""].join("");
}

// Of a capture: the same command on it, where there is one, or the one that comes nearest.
function command_here(command, span) {
	if (!model.replay || command.startsWith("fathom replay ")) return command;
	const { 0: name, 1: rest } = /^fathom (\S+)(.*)$/.exec(command)?.slice(1) || ["", ""], file = `fathom replay ${part_of_capture(span)}${quote(model.replay.name)}`, arguments_left = rest.replace(/ -d \S+/, "");
	if (["profile", "offcpu", "map", "diagnose", "top", "use", "host", "walltime", "memory"].includes(name) || (name === "latency" && /^ (runq|block|fs|dns) /.test(`${rest} `))) return `${file} ${name}${arguments_left}`;
	return name === "tcp" || (name === "latency" && /^ (rtt|connect) /.test(rest)) ? `${file} connections` : file;
}

function copy_button(words) {
	const made = button("Copy as command", async () => {
		try { await navigator.clipboard.writeText(command_here(words())); made.textContent = "Copied"; } catch { made.textContent = command_here(words()); }
		setTimeout(() => { made.textContent = "Copy as command"; }, 2000);
	}, { class: "copy" });
	return made;
}

function save(blob, name) {
	const url = URL.createObjectURL(blob), link = el("a", { href: url, download: name });
	link.click();
	setTimeout(() => URL.revokeObjectURL(url), 1000);
}

