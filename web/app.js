// SPDX-License-Identifier: Apache-2.0
// The agent's page. One file, no libraries: views are functions that draw into <main>, the address after # says which
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
	made.append(...children.filter(child => child !== null && child !== undefined));
	return made;
}

function svg(name, attributes) {
	const made = document.createElementNS("http://www.w3.org/2000/svg", name);
	for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
	return made;
}

// ---- numbers for people

const known = value => value !== null && value !== undefined && Number.isFinite(value);

function digits(value) {
	return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function scaled(value, base, units) {
	let at = 0;
	while (Math.abs(value) >= base && at < units.length - 1) { value /= base; at++; }
	return `${at || value % 1 ? digits(value) : value} ${units[at]}`.trim();
}

const show = {
	cores: value => `${digits(value)}`,
	ratio: value => `${digits(100 * value)} %`,
	bytes: value => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]),
	"bytes/s": value => scaled(value, 1000, ["B/s", "kB/s", "MB/s", "GB/s"]),
	"1/s": value => `${scaled(value, 1000, ["", "k", "M", "G"])}/s`,
	"1": value => scaled(value, 1000, ["", "k", "M", "G"]),
	ns: value => scaled(value, 1000, ["ns", "µs", "ms", "s"]),
};
const text = (unit, value) => known(value) ? show[unit](value) : "–";
const clock = ms => new Date(ms).toLocaleTimeString([], { hour12: false });

// ---- asking the agent

let token = sessionStorage.getItem("token") || "";

async function ask(path, options = {}) {
	const answer = await fetch(path, { ...options, headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
	if (answer.status === 401) { login(); throw new Error("the token is missing or wrong"); }
	if (!answer.ok) {
		let why = `the agent answered ${answer.status}`;
		try { why = (await answer.json()).error || why; } catch { /* no JSON: the status says enough */ }
		throw new Error(why);
	}
	return answer;
}
const json = async (path, options) => (await ask(path, options)).json();

// ---- what is known: filled by the stream

const model = {
	rows: [], // of /api/containers
	lanes: new Map(), // series number → [{ time, values, waits }], the last LIVE_SECONDS
	self: null, bounds: null, paused: false, connected: false, last: 0,
};

function lane(series) {
	if (!model.lanes.has(series)) model.lanes.set(series, []);
	return model.lanes.get(series);
}

function take(interval) {
	model.self = interval;
	model.last = Date.now();
	const names = new Set(model.rows.map(row => row.series));
	let strange = false;
	for (const resource of interval.resources) {
		const list = lane(resource.series);
		list.push({ time: interval.time_ms, values: resource.values, waits: resource.waits });
		while (list.length && list[0].time < interval.time_ms - LIVE_SECONDS * 1000) list.shift();
		if (!names.has(resource.series)) strange = true;
	}
	for (const [series, list] of model.lanes)
		if (!list.length || list.at(-1).time < interval.time_ms - LIVE_SECONDS * 1000) model.lanes.delete(series);
	return strange;
}

async function refresh_rows() {
	const answer = await json("/api/containers");
	model.rows = answer.containers;
}

async function load_past() {
	const names = "cpu,cpu_limit,throttled,runqueue_wait,memory,memory_limit,io_read,io_write,net_received,net_sent,pids,oom_kills,pressure_memory";
	const past = await json(`/api/series?seconds=${LIVE_SECONDS}&step_ms=5000&names=${names}`);
	for (const resource of past.resources) {
		const list = [];
		for (let step = 0; step < past.steps; step++) {
			const values = {};
			for (const [name, row] of Object.entries(resource.values))
				if (row[step] !== null) values[name] = row[step];
			if (Object.keys(values).length)
				list.push({ time: past.from_ms + (step + 1) * past.step_ms, values, waits: [], step: past.step_ms });
		}
		model.lanes.set(resource.series, list);
	}
}

// One connection at a time; when it breaks, another is tried, and the page says so meanwhile.
let streaming = null;
async function stream() {
	if (streaming) streaming.abort();
	const control = streaming = new AbortController();
	while (!control.signal.aborted) {
		try {
			await refresh_rows();
			await load_past();
			const answer = await ask("/api/stream", { signal: control.signal });
			model.connected = true;
			banner("");
			draw();
			await read_events(answer.body.getReader(), control);
		} catch (error) {
			if (control.signal.aborted || !token) return;
			banner(`No connection to the agent: ${error.message}. What is shown is old; trying again…`);
		}
		model.connected = false;
		await new Promise(done => setTimeout(done, 1000));
	}
}

async function read_events(reader, control) {
	const decoder = new TextDecoder();
	let waiting = "";
	for (;;) {
		const { done, value } = await reader.read();
		if (done || control.signal.aborted) throw new Error("it closed the stream");
		waiting += decoder.decode(value, { stream: true });
		for (let end; (end = waiting.indexOf("\n\n")) >= 0; waiting = waiting.slice(end + 2)) await one_event(waiting.slice(0, end));
	}
}

async function one_event(message) {
	const name = /^event: (.*)$/m.exec(message)?.[1], data = /^data: (.*)$/m.exec(message)?.[1];
	if (name === "gap") banner(`This page was too slow: ${data} seconds are missing.`);
	if (name !== "interval") return;
	const strange = take(JSON.parse(data));
	if (strange || model.self.ticks % 5 === 0) await refresh_rows();
	incomplete();
	if (!model.paused) draw_live();
}

// A number that is missing is said, not hidden.
function incomplete() {
	if (model.self?.trouble) banner(`The last reading failed: ${model.self.trouble}`);
	else if ($("banner").dataset.kind === "trouble") banner("");
}

function banner(words) {
	$("banner").textContent = words;
	$("banner").hidden = !words;
	$("banner").dataset.kind = words.startsWith("The last") ? "trouble" : "";
}

// ---- the address

function address() {
	const [path, query] = location.hash.slice(1).split("?");
	return { path: path || "/", query: new URLSearchParams(query || "") };
}

function set_query(changes) {
	const { path, query } = address();
	for (const [key, value] of Object.entries(changes)) value ? query.set(key, value) : query.delete(key);
	const text = query.toString();
	history.replaceState(null, "", `#${path}${text ? `?${text}` : ""}`);
}

const views = [
	[/^\/$/, overview], [/^\/container\/(\d+)$/, container], [/^\/profile\/(\d+)$/, profile], [/^\/self$/, self],
];
let current = null; // { live: function or null, leave: function or null }

function draw() {
	const { path } = address();
	current?.leave?.();
	current = null;
	if (!token) { login(); return; }
	for (const link of document.querySelectorAll("nav a"))
		link.toggleAttribute("aria-current", false);
	$(path === "/self" ? "nav-self" : "nav-overview").setAttribute("aria-current", "page");
	for (const [pattern, view] of views) {
		const found = pattern.exec(path);
		if (!found) continue;
		$("view").replaceChildren();
		current = view($("view"), ...found.slice(1)) || {};
		draw_live();
		return;
	}
	$("view").replaceChildren(el("p", { class: "empty" }, "There is no such view. ", el("a", { href: "#/" }, "Overview")));
}

function draw_live() {
	const age = Date.now() - model.last;
	$("state").textContent = !model.last ? "" : model.paused ? "paused" : age > STALE_MS ? "no news" : `live · ${clock(model.self.time_ms)}`;
	current?.live?.();
}

function login() {
	streaming?.abort();
	const input = el("input", { type: "password", autocomplete: "off", "aria-label": "Token", placeholder: "Token" });
	$("view").replaceChildren(el("form", { id: "login", onsubmit: event => {
		event.preventDefault();
		enter(input.value.trim());
	} }, el("h1", {}, "The token, please"),
	el("p", { class: "dim" }, "Open the link that “fathom serve” printed, or paste what is in its state directory, in the file token."),
	input, el("button", {}, "Open")));
	input.focus();
}

function enter(given) {
	token = given;
	sessionStorage.setItem("token", token);
	draw();
	stream();
}

// ---- overview

const latest = series => model.lanes.get(series)?.at(-1)?.values || {};

// Bounds of the bucket in which the share of the last ten seconds' waits ends: [low, high) in ns; null: none.
function wait_quantile(series, share) {
	const counts = new Map();
	let total = 0;
	for (const point of (model.lanes.get(series) || []).slice(-10))
		for (const [bucket, count] of point.waits) { counts.set(bucket, (counts.get(bucket) || 0) + count); total += count; }
	let sum = 0;
	for (const bucket of [...counts.keys()].sort((a, b) => a - b)) {
		sum += counts.get(bucket);
		if (sum >= share * total) return bucket;
	}
	return null;
}

// Lower bound of a bucket: doubling, with round numbers at each thousand (1 2 4 … 512 µs, 1 ms …).
function wait_low(bucket) {
	const at = bucket + 9;
	return 2 ** (at % 10) * 1000 ** Math.floor(at / 10);
}
function wait_text(bucket) {
	if (bucket === null) return "–";
	const [low, unit] = bucket ? [wait_low(bucket), show.ns(wait_low(bucket)).split(" ")[1]] : [0, ""], high = show.ns(wait_low(bucket + 1)).split(" ");
	return `${bucket ? Number(show.ns(low).split(" ")[0]) : 0}${bucket && unit !== high[1] ? ` ${unit}` : ""}–${Number(high[0])} ${high[1]}`;
}

const columns = [
	{ key: "name", head: "Container", value: row => row.name, cell: row => {
		const cell = el("td", {}, el("a", { href: `#/container/${row.series}` }, row.name));
		cell.append(el("span", { class: "under" }, row.image || row.pod || row.runtime || ""));
		return cell;
	} },
	{ key: "cpu", head: "CPU", help: "cores used, of the limit; the line is five minutes", value: row => latest(row.series).cpu,
		cell: row => used_cell(row, "cpu", "cpu_limit", "cores") },
	{ key: "throttled", head: "Throttled", help: "share of time held back by the CPU limit", value: row => latest(row.series).throttled,
		cell: row => plain("ratio", latest(row.series).throttled, value => value > 0.05) },
	{ key: "p99", head: "Wait p99", help: "99 % of the last ten seconds' waits for a CPU were shorter than its end", value: row => wait_quantile(row.series, 0.99),
		cell: row => { const bucket = wait_quantile(row.series, 0.99); return el("td", { class: bucket !== null && bucket >= 14 ? "hot" : "" }, wait_text(bucket)); } },
	{ key: "wait", head: "Waiting", help: "seconds per second that its threads were ready and had no CPU", value: row => latest(row.series).runqueue_wait,
		cell: row => plain("ratio", latest(row.series).runqueue_wait, value => value > 0.2) },
	{ key: "memory", head: "Memory", help: "charged, of the limit", value: row => latest(row.series).memory,
		cell: row => used_cell(row, "memory", "memory_limit", "bytes") },
	{ key: "pressure", head: "Stall", help: "share of time some thread waited for memory", value: row => latest(row.series).pressure_memory,
		cell: row => plain("ratio", latest(row.series).pressure_memory, value => value > 0.05) },
	{ key: "read", head: "Read", value: row => latest(row.series).io_read, cell: row => plain("bytes/s", latest(row.series).io_read) },
	{ key: "write", head: "Write", value: row => latest(row.series).io_write, cell: row => plain("bytes/s", latest(row.series).io_write) },
	{ key: "net", head: "Network", help: "received and sent", value: row => (latest(row.series).net_received ?? NaN) + (latest(row.series).net_sent ?? NaN),
		cell: row => { const now = latest(row.series); return plain("bytes/s", known(now.net_received) ? now.net_received + (now.net_sent || 0) : null); } },
	{ key: "pids", head: "Threads", value: row => latest(row.series).pids, cell: row => plain("1", latest(row.series).pids) },
	{ key: "oom", head: "OOM", help: "processes killed for lack of memory since it began", value: row => row.oom_kills,
		cell: row => plain("1", row.oom_kills, value => value > 0) },
];

function plain(unit, value, is_hot) {
	return el("td", { class: known(value) && is_hot?.(value) ? "hot" : "" }, text(unit, value));
}

function used_cell(row, name, limit_name, unit) {
	const now = latest(row.series), limit = now[limit_name];
	const words = known(limit) ? `${text(unit, now[name])} / ${text(unit, limit)}` : text(unit, now[name]);
	const hot = known(limit) && now[name] > 0.9 * limit;
	return el("td", { class: hot ? "hot" : "" }, el("span", { class: "cell" }, words, spark(row.series, name, limit)));
}

// From 0 to the limit, or to the largest value where there is none. Missing seconds are gaps.
function spark(series, name, limit) {
	const points = model.lanes.get(series) || [], end = model.self?.time_ms || Date.now();
	const most = Math.max(...points.map(point => point.values[name] || 0), 1e-9);
	const top = known(limit) ? Math.max(limit, most) : most;
	const drawing = svg("svg", { class: "spark", viewBox: "0 0 96 24", role: "img", "aria-label": `${name}, last five minutes`, preserveAspectRatio: "none" });
	let path = "", before = null;
	for (const point of points) {
		const value = point.values[name];
		if (!known(value)) { before = null; continue; }
		const x = 96 * (1 - (end - point.time) / (LIVE_SECONDS * 1000)), y = 23 - 22 * value / top;
		path += `${before !== null && point.time - before < 2.5 * (point.step || 1000) + 5000 * !!point.step ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
		before = point.time;
	}
	if (known(limit)) drawing.append(svg("path", { class: "limit", d: `M0 ${(23 - 22 * limit / top).toFixed(1)}H96` }));
	drawing.append(svg("path", { d: path || "M0 0" }));
	return drawing;
}

// "web", "/^db-/", "cpu>0.5", "memory>100MiB": all terms must hold.
function matcher(words) {
	const tests = words.split(/\s+/).filter(Boolean).map(term => {
		const compare = /^([a-z0-9]+)([<>])([\d.]+)(%|[kKMGT]i?B?)?$/.exec(term);
		const column = compare && columns.find(one => one.key === compare[1]);
		if (column) {
			const factor = { "%": 0.01, k: 1e3, K: 1024, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }[compare[4]?.[0]] || 1;
			const bound = Number(compare[3]) * factor;
			return row => { const value = column.value(row); return known(value) && (compare[2] === ">" ? value > bound : value < bound); };
		}
		const regex = /^\/(.+)\/$/.exec(term);
		if (regex) { try { const made = new RegExp(regex[1], "i"); return row => made.test(row.name); } catch { return () => false; } }
		return row => [row.name, row.image, row.pod, row.id].some(one => typeof one === "string" && one.toLowerCase().includes(term.toLowerCase()));
	});
	return row => tests.every(test => test(row));
}

const is_shown = row => row.resource === "container" && !row.dead;

function overview(view) {
	const { query } = address();
	let sort = query.get("sort") || "cpu", ascending = query.get("up") === "1";
	const filter = el("input", { type: "search", id: "filter", value: query.get("filter") || "", "aria-label": "Filter",
		placeholder: "Filter: web  /^db/  cpu>0.5  memory>100MiB", oninput: () => { set_query({ filter: filter.value }); live(); } });
	const count = el("span", { class: "dim", role: "status" });
	const heads = el("tr", {}), body = el("tbody", {});
	for (const column of columns)
		heads.append(el("th", { scope: "col", "data-key": column.key, title: column.help || "" },
			el("button", { type: "button", onclick: () => {
				ascending = sort === column.key ? !ascending : column.key === "name";
				sort = column.key;
				set_query({ sort, up: ascending ? "1" : "" });
				live();
			} }, column.head)));
	const table = el("table", { "aria-label": "Containers" }, el("thead", {}, heads), body);
	const empty = el("p", { class: "empty" });
	view.append(el("div", { class: "bar" }, filter, count, el("span", { class: "grow" }), copy_button(() => "fathom top")), table, empty);

	function live() {
		if (body.contains(document.activeElement) && document.activeElement.matches(":focus-visible")) {
			const href = document.activeElement.getAttribute("href");
			setTimeout(() => body.querySelector(`a[href="${href}"]`)?.focus(), 0);
		}
		const all = model.rows.filter(is_shown), rows = all.filter(matcher(filter.value));
		const by = columns.find(column => column.key === sort) || columns[0];
		const rank = row => { const value = by.value(row); return typeof value === "string" ? value : known(value) ? value : -Infinity; };
		rows.sort((a, b) => { const x = rank(a), y = rank(b); return (x < y ? -1 : x > y ? 1 : a.name < b.name ? -1 : 1) * (ascending ? 1 : -1); });
		for (const head of heads.children) {
			if (head.dataset.key === sort) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
			else head.removeAttribute("aria-sort");
		}
		body.replaceChildren(...rows.slice(0, 500).map(row => el("tr", { "data-name": row.name }, ...columns.map(column => column.cell(row)))));
		table.hidden = !rows.length;
		empty.hidden = !!rows.length;
		empty.textContent = all.length ? "No container matches the filter." : model.last ? "No containers run on this machine." : "Waiting for the first reading…";
		count.textContent = `${rows.length === all.length ? all.length : `${rows.length} of ${all.length}`} ${all.length === 1 ? "container" : "containers"}`;
	}
	return { live };
}

// ---- charts on one time axis, with one crosshair

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colours = () => [css("--accent"), css("--warm"), css("--good")];

function prepare(canvas) {
	const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
	if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
	if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
	const pen = canvas.getContext("2d");
	pen.setTransform(ratio, 0, 0, ratio, 0, 0);
	pen.clearRect(0, 0, width, height);
	pen.font = "11px system-ui, sans-serif";
	return { pen, width, height };
}

const LEFT = 62, BOTTOM = 16;
const time_x = (data, width, step) => LEFT + (width - LEFT) * (step + 0.5) / data.steps;

function draw_axis(pen, data, width, height) {
	const span = data.steps * data.step_ms, count = 5;
	pen.fillStyle = css("--dim");
	pen.textAlign = "center";
	for (let i = 1; i < count; i++) {
		const time = data.from_ms + span * i / count;
		const words = span > 86400e3 ? new Date(time).toLocaleDateString([], { month: "short", day: "numeric" }) : clock(time);
		pen.fillText(words, LEFT + (width - LEFT) * i / count, height - 4);
	}
}

function draw_chart(canvas, chart, data, values, cross) {
	const { pen, width, height } = prepare(canvas);
	const lines = chart.lines.map(line => values?.[line.name] || []);
	const limit = lines.map((line, i) => chart.lines[i].limit ? Math.max(...line.filter(known), 0) : 0);
	const top = Math.max(...lines.flat().filter(known), ...limit, chart.least || 1e-9) * 1.05;
	const y = value => (height - BOTTOM) * (1 - value / top) + 1;
	pen.strokeStyle = css("--line");
	pen.fillStyle = css("--dim");
	pen.textAlign = "right";
	for (const share of [0, 0.5, 1]) {
		const at = y(share * top / 1.05);
		pen.beginPath(); pen.moveTo(LEFT, at); pen.lineTo(width, at); pen.stroke();
		pen.fillText(show[chart.unit](share * top / 1.05), LEFT - 5, Math.max(at + 4, 10));
	}
	draw_axis(pen, data, width, height);
	lines.forEach((line, i) => {
		pen.strokeStyle = colours()[i % 3];
		pen.lineWidth = 1.5;
		pen.setLineDash(chart.lines[i].limit ? [5, 3] : []);
		pen.beginPath();
		let open = false;
		line.forEach((value, step) => {
			if (!known(value)) { open = false; return; }
			const x = time_x(data, width, step);
			open ? pen.lineTo(x, y(value)) : (pen.moveTo(x - 0.5, y(value)), pen.lineTo(x, y(value)));
			open = true;
		});
		pen.stroke();
		pen.setLineDash([]);
	});
	draw_cross(pen, data, width, height, cross);
}

function draw_cross(pen, data, width, height, cross) {
	if (cross === null) return;
	pen.strokeStyle = css("--text");
	pen.lineWidth = 0.5;
	pen.beginPath(); pen.moveTo(time_x(data, width, cross), 0); pen.lineTo(time_x(data, width, cross), height - BOTTOM); pen.stroke();
}

// Waits by length: time to the right, longer upwards, more is darker (logarithmic).
function draw_heat(canvas, data, resource, cross) {
	const { pen, width, height } = prepare(canvas), rows = 25, tall = (height - BOTTOM) / rows;
	const waits = resource?.waits || [], most = Math.max(...waits.map(cell => cell[2]), 1);
	pen.fillStyle = css("--accent");
	for (const [step, bucket, count] of waits) {
		pen.globalAlpha = 0.12 + 0.88 * Math.log1p(count) / Math.log1p(most);
		pen.fillRect(time_x(data, width, step - 0.5), (rows - 1 - bucket) * tall, Math.max((width - LEFT) / data.steps, 1) + 0.3, tall);
	}
	pen.globalAlpha = 1;
	pen.fillStyle = css("--dim");
	pen.textAlign = "right";
	for (const [bucket, words] of [[1, "1 µs"], [11, "1 ms"], [21, "1 s"]]) pen.fillText(words, LEFT - 5, (rows - bucket) * tall + 4);
	draw_axis(pen, data, width, height);
	draw_cross(pen, data, width, height, cross);
}

const charts = [
	{ title: "CPU", unit: "cores", least: 0.01, lines: [{ name: "cpu", says: "used" }, { name: "cpu_limit", says: "limit", limit: true }] },
	{ title: "Lost time", unit: "ratio", least: 0.01, lines: [{ name: "runqueue_wait", says: "waits for a CPU" }, { name: "throttled", says: "throttled" }, { name: "disk_wait", says: "disk" }] },
	{ title: "Memory", unit: "bytes", least: 4096, lines: [{ name: "memory", says: "charged" }, { name: "memory_limit", says: "limit", limit: true }, { name: "working_set", says: "working set" }] },
	{ title: "Pressure (some)", unit: "ratio", least: 0.01, lines: [{ name: "pressure_cpu", says: "CPU" }, { name: "pressure_memory", says: "memory" }, { name: "pressure_io", says: "I/O" }] },
	{ title: "Disk", unit: "bytes/s", least: 1, lines: [{ name: "io_read", says: "read" }, { name: "io_write", says: "written" }] },
	{ title: "Network", unit: "bytes/s", least: 1, lines: [{ name: "net_received", says: "received" }, { name: "net_sent", says: "sent" }] },
	{ title: "Threads", unit: "1", least: 1, lines: [{ name: "pids", says: "threads" }, { name: "pids_limit", says: "limit", limit: true }] },
	{ title: "Major faults, refaults", unit: "1/s", least: 1, lines: [{ name: "faults_major", says: "major faults" }, { name: "refaults", says: "refaults" }] },
];
const ranges = [[300, "5 min"], [900, "15 min"], [3600, "1 h"], [21600, "6 h"], [86400, "1 day"], [604800, "7 days"]];

function step_for(seconds) {
	return seconds <= 900 ? 1000 : Math.max(10000, Math.ceil(seconds / 720 / 10) * 10000);
}

function container(view, id) {
	const series = Number(id);
	let seconds = Number(address().query.get("range")) || 300, data = null, cross = null, gone = false, asked = 0;
	const heading = el("h1", {}), facts = el("div", { class: "facts" }), said = el("span", { class: "dim", role: "status" });
	const range = el("select", { "aria-label": "Range", onchange: () => {
		seconds = Number(range.value);
		set_query({ range: String(seconds) });
		load();
	} }, ...ranges.map(([value, words]) => el("option", { value, selected: value === seconds }, words)));
	const panels = charts.map(chart => {
		const now = chart.lines.map(() => el("span", {}));
		const canvas = el("canvas", { role: "img", "aria-label": `${chart.title} over time` });
		const head = el("header", {}, el("strong", {}, chart.title), ...chart.lines.map((line, i) => el("span", { class: "dim" }, el("i", { class: `key c${i}` }), `${line.says} `, now[i])));
		return { chart, now, canvas, box: el("section", { class: "chart" }, head, canvas) };
	});
	const heat = el("canvas", { id: "heat", role: "img", "aria-label": "Waits for a CPU by length, over time" }), heat_now = el("span", { class: "dim" });
	const heat_box = el("section", { class: "chart wide" }, el("header", {}, el("strong", {}, "Run-queue latency: waits for a CPU, by length"), heat_now), heat);
	const grid = el("div", { class: "charts" }, ...panels.slice(0, 2).map(panel => panel.box), heat_box, ...panels.slice(2).map(panel => panel.box));
	const jobs = el("div", {}), list = el("table", { "aria-label": "Events" });
	view.append(heading, facts, el("div", { class: "bar" }, range, said, el("span", { class: "grow" }), copy_button(() => `fathom top ${quote(row()?.name || "")}`),
		el("button", { type: "button", onclick: () => download_csv() }, "CSV")), grid,
	el("h2", {}, "Profile"), profile_form(series, () => row()), jobs, el("h2", {}, "Events"), list);

	const row = () => model.rows.find(one => one.series === series);
	function title() {
		const one = row();
		heading.textContent = one?.name || data?.resources[0]?.name || "…";
		facts.replaceChildren(...[["runtime", one?.runtime], ["image", one?.image], ["id", one?.id?.slice?.(0, 12)], ["pod", one?.pod], ["cgroup", one?.cgroup],
			["", one ? one.dead ? "ended" : "" : data ? "not running now" : ""]].filter(([, value]) => value).map(([key, value]) => el("span", {}, key ? `${key} ` : "", el("b", {}, String(value)))));
	}
	function paint() {
		if (!data) return;
		const resource = data.resources[0];
		for (const { chart, now, canvas } of panels) {
			draw_chart(canvas, chart, data, resource?.values, cross);
			chart.lines.forEach((line, i) => {
				const values = resource?.values[line.name] || [];
				now[i].textContent = text(chart.unit, cross !== null ? values[cross] : values.findLast(known));
			});
		}
		draw_heat(heat, data, resource, cross);
		heat_now.textContent = cross === null ? "" : `${(resource?.waits || []).filter(cell => cell[0] === cross).reduce((sum, cell) => sum + cell[2], 0)} waits`;
		grid.dataset.drawn = String(data.from_ms);
		said.textContent = cross === null ? `${data.step_ms / 1000} s a point` : clock(data.from_ms + (cross + 1) * data.step_ms);
		if (!resource) said.textContent = "nothing is known of it in this range";
	}
	async function load() {
		asked = Date.now();
		try {
			const answer = await json(`/api/series?id=${series}&seconds=${seconds}&step_ms=${step_for(seconds)}&waits=1`);
			if (gone) return;
			data = answer;
			title();
			paint();
		} catch (error) { said.textContent = error.message; }
	}
	async function load_lists() {
		try {
			const [all, events] = await Promise.all([json("/api/profiles"), row() ? json(`/api/events?container=${encodeURIComponent(row().name)}`) : { events: [] }]);
			if (gone) return;
			jobs.replaceChildren(...all.profiles.filter(job => job.container === row()?.name).reverse().map(job_line));
			list.replaceChildren(el("thead", {}, el("tr", {}, ...["Time", "What", "Process", ""].map(words => el("th", { class: "text", scope: "col" }, words)))),
				el("tbody", {}, ...events.events.slice(0, 50).map(event => el("tr", {}, el("td", { class: "text" }, clock(event.time_ms)), el("td", { class: "text" }, event.kind),
					el("td", { class: "text" }, `${event.process || ""} ${event.pid || ""}`), el("td", { class: "text" }, Object.entries(event.fields).map(([key, value]) => `${key} ${value}`).join(", "))))));
			list.hidden = !events.events.length;
		} catch { /* the banner says what is wrong with the connection */ }
	}
	function download_csv() {
		if (!data?.resources[0]) return;
		const names = Object.keys(data.resources[0].values);
		const lines = [["time", ...names].join(",")];
		for (let step = 0; step < data.steps; step++)
			lines.push([new Date(data.from_ms + (step + 1) * data.step_ms).toISOString(), ...names.map(name => data.resources[0].values[name][step] ?? "")].join(","));
		save(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }), "fathom.csv");
	}
	for (const canvas of [...panels.map(panel => panel.canvas), heat]) {
		canvas.addEventListener("mousemove", event => {
			if (!data) return;
			const box = canvas.getBoundingClientRect();
			const step = Math.floor((event.clientX - box.left - LEFT) / (box.width - LEFT) * data.steps);
			cross = step >= 0 && step < data.steps ? step : null;
			paint();
		});
		canvas.addEventListener("mouseleave", () => { cross = null; paint(); });
	}
	const sized = new ResizeObserver(paint);
	sized.observe(grid);
	load();
	load_lists();
	return {
		live: () => {
			title();
			if (model.paused) return;
			if (Date.now() - asked > Math.max(900, seconds * 2)) load();
			load_lists();
		},
		leave: () => { gone = true; sized.disconnect(); },
	};
}

const quote = name => /^[\w.@:-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;

function copy_button(words) {
	const button = el("button", { type: "button", onclick: async () => {
		try { await navigator.clipboard.writeText(words()); button.textContent = "Copied"; } catch { button.textContent = words(); }
		setTimeout(() => { button.textContent = "Copy as command"; }, 2000);
	} }, "Copy as command");
	return button;
}

function save(blob, name) {
	const url = URL.createObjectURL(blob), link = el("a", { href: url, download: name });
	link.click();
	setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// ---- measurements on demand

function profile_form(series, row) {
	const kind = el("select", { id: "kind", "aria-label": "What to measure" }, ...[["walltime", "Wall time: running, waiting, blocked"], ["profile", "On CPU"], ["offcpu", "Blocked"]].map(([value, words]) => el("option", { value }, words)));
	const seconds = el("select", { "aria-label": "How long" }, ...[2, 5, 10, 30, 60].map(value => el("option", { value, selected: value === 10 }, `${value} s`)));
	const said = el("span", { class: "dim", role: "status" });
	const button = el("button", { type: "button", id: "start", onclick: async () => {
		button.disabled = true;
		try {
			await json(`/api/profiles?series=${series}&seconds=${seconds.value}&kind=${kind.value}`, { method: "POST" });
			said.textContent = "";
		} catch (error) { said.textContent = error.message; }
		button.disabled = false;
		draw_live();
	} }, "Measure");
	return el("div", { class: "bar" }, kind, seconds, button, copy_button(() => `fathom ${kind.value} -d ${seconds.value} ${quote(row()?.name || "")}`), said);
}

function job_line(job) {
	const name = `${job.kind}, ${job.seconds} s, ${clock(job.start_ms)} `;
	if (job.state === "failed") return el("p", {}, name, el("span", { class: "dim" }, `failed: ${job.error}`));
	if (job.state !== "done") return el("p", {}, name, el("progress", { value: job.progress, "aria-label": "Progress" }), ` ${job.state}`);
	return el("p", { class: "job" }, el("a", { href: `#/profile/${job.id}` }, name), job.inconclusive ? el("span", { class: "dim" }, " (covers less than 95 %) ") : "",
		...["svg", "pprof", "folded", "json"].map(format => el("button", { type: "button", onclick: async () => {
			save(await (await ask(`/api/profiles/${job.id}/result?format=${format}`)).blob(), `fathom-${job.id}.${format === "pprof" ? "pb.gz" : format}`);
		} }, format)));
}

// ---- flame graph of a capture

const words_of = value => typeof value === "string" ? value : value?.base64 ? `[bytes ${value.base64}]` : "";

function tree_of(shape) {
	const nodes = shape.nodes.map(([parent, frame, own]) => ({ parent, frame, own, total: own, children: [] }));
	for (let i = nodes.length - 1; i > 0; i--) nodes[nodes[i].parent].total += nodes[i].total;
	nodes.forEach((node, i) => { if (i) nodes[node.parent].children.push(i); });
	for (const node of nodes) node.children.sort((a, b) => words_of(shape.frames[nodes[a].frame][1]) < words_of(shape.frames[nodes[b].frame][1]) ? -1 : 1);
	return nodes;
}

const ROW = 18;
const hues = { kernel: 28, user: 200, jit: 140, inlined: 180, script: 265, cause: 48, container: 220, process: 220, thread: 220, unresolved: 0, waker: 320 };

function profile(view, id) {
	const heading = el("h1", {}, "…"), said = el("p", { class: "dim" }), tip = el("div", { id: "tip", hidden: true });
	const search = el("input", { type: "search", id: "search", "aria-label": "Search", placeholder: "Search: part of a name or /regex/", value: address().query.get("search") || "",
		oninput: () => { set_query({ search: search.value }); paint(); } });
	const matched = el("span", { class: "dim", id: "matched", role: "status" });
	const turn = el("button", { type: "button", "aria-pressed": String(address().query.get("icicle") === "1"), onclick: () => {
		const on = turn.getAttribute("aria-pressed") !== "true";
		turn.setAttribute("aria-pressed", String(on));
		set_query({ icicle: on ? "1" : "" });
		paint();
	} }, "Icicle");
	const reset = el("button", { type: "button", onclick: () => zoom(0) }, "Reset zoom");
	const canvas = el("canvas", { id: "flame", role: "img", tabindex: 0, "aria-label": "Flame graph" });
	let shape = null, nodes = [], root = Number(address().query.get("node")) || 0, boxes = [], gone = false;
	view.append(heading, said, el("div", { class: "bar" }, search, matched, turn, reset), canvas, tip);

	const name_of = node => node.parent === 0 && nodes[0] === node ? "all" : words_of(shape.frames[node.frame][1]);
	const show_weight = value => shape.unit === "nanoseconds" ? show.ns(value) : shape.unit === "bytes" ? show.bytes(value) : show["1"](value);
	function zoom(node) { root = node; set_query({ node: node ? String(node) : "" }); paint(); }
	function matches() {
		if (!search.value) return null;
		const regex = /^\/(.+)\/$/.exec(search.value);
		try { const made = regex && new RegExp(regex[1], "i"); return name => made ? made.test(name) : name.toLowerCase().includes(search.value.toLowerCase()); } catch { return () => false; }
	}
	function paint() {
		if (!nodes.length) return;
		if (root >= nodes.length) root = 0;
		const width = canvas.clientWidth, test = matches(), icicle = turn.getAttribute("aria-pressed") === "true";
		boxes = [];
		const path = [];
		for (let at = root; at; at = nodes[at].parent) path.unshift(at);
		path.unshift(0);
		path.slice(0, -1).forEach((node, depth) => boxes.push({ node, x: 0, width, depth }));
		const left = [{ node: root, x: 0, width, depth: path.length - 1 }];
		let deepest = 0;
		while (left.length) {
			const box = left.pop();
			boxes.push(box);
			deepest = Math.max(deepest, box.depth);
			let x = box.x;
			for (const child of nodes[box.node].children) {
				const wide = box.width * nodes[child].total / (nodes[box.node].total || 1);
				if (wide >= 0.4) left.push({ node: child, x, width: wide, depth: box.depth + 1 });
				x += wide;
			}
		}
		canvas.style.height = `${(deepest + 1) * ROW + 2}px`;
		const { pen, height } = prepare(canvas), dark = document.documentElement.dataset.theme === "dark";
		for (const box of boxes) {
			const node = nodes[box.node], kind = box.node ? shape.frames[node.frame][0] : "container", hit = test?.(name_of(node));
			box.y = icicle ? box.depth * ROW : height - 2 - (box.depth + 1) * ROW;
			pen.fillStyle = hit ? css("--warm") : `hsl(${hues[kind] ?? 200} ${kind === "unresolved" ? 0 : dark ? 38 : 62}% ${dark ? 34 : 76}%)`;
			pen.fillRect(box.x, box.y, Math.max(box.width - 0.6, 0.4), ROW - 1);
			if (box.width < 28) continue;
			pen.fillStyle = hit ? "#000" : css("--text");
			pen.textAlign = "left";
			const room = Math.floor((box.width - 6) / 6.2), name = name_of(node);
			pen.fillText(name.length > room ? `${name.slice(0, Math.max(room - 1, 1))}…` : name, box.x + 4, box.y + 13);
		}
		canvas.dataset.drawn = String(boxes.length);
		canvas.dataset.zoomed = root ? name_of(nodes[root]) : "all";
		matched.textContent = test ? `matched ${digits(100 * share(test) || 0)} %` : "";
	}
	// Of the whole: each stack counts once, however often a name is in it.
	function share(test) {
		let sum = 0;
		const inside = new Array(nodes.length);
		nodes.forEach((node, i) => { inside[i] = (i && inside[node.parent]) || (i > 0 && test(name_of(node))); if (inside[i]) sum += node.own; });
		return sum / (nodes[0].total || 1);
	}
	const box_at = event => {
		const place = canvas.getBoundingClientRect(), x = event.clientX - place.left, y = event.clientY - place.top;
		return boxes.find(box => x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + ROW);
	};
	canvas.addEventListener("click", event => { const box = box_at(event); if (box) zoom(box.node); });
	canvas.addEventListener("mousemove", event => {
		const box = box_at(event);
		tip.hidden = !box;
		if (!box) return;
		const node = nodes[box.node], module = box.node ? words_of(shape.frames[node.frame][2]) : "";
		tip.textContent = `${name_of(node)}${module ? ` (${module})` : ""}: ${show_weight(node.total)}, ${digits(100 * node.total / (nodes[0].total || 1))} %; itself ${show_weight(node.own)}`;
		tip.style.left = `${Math.min(event.clientX + 12, innerWidth - 400)}px`;
		tip.style.top = `${event.clientY + 14}px`;
	});
	canvas.addEventListener("mouseleave", () => { tip.hidden = true; });
	(async () => {
		try {
			const [job, capture] = await Promise.all([json(`/api/profiles/${id}`), json(`/api/profiles/${id}/result`)]);
			if (gone) return;
			shape = capture.shapes.find(one => one.kind === "calltree");
			heading.textContent = `${job.container}: ${job.kind}, ${job.seconds} s`;
			if (!shape) { said.textContent = "It holds no stacks."; return; }
			nodes = tree_of(shape);
			const coverage = shape.ledger.coverage;
			said.textContent = `${show_weight(nodes[0].total)} in all; ${coverage === null ? "" : `${digits(100 * coverage)} % accounted for; `}by ${shape.ledger.rung || "?"}${shape.ledger.misses ? `, which misses ${shape.ledger.misses}` : ""}`;
			paint();
		} catch (error) { heading.textContent = "No such profile"; said.textContent = error.message; }
	})();
	const sized = new ResizeObserver(paint);
	sized.observe(canvas.parentElement);
	return { search, escape: () => zoom(0), leave: () => { gone = true; sized.disconnect(); } };
}

// ---- self

function self(view) {
	const cards = el("div", { class: "cards" }), parts = el("table", { "aria-label": "Probes" }), notes = el("ul", {}), disk = el("p", {});
	view.append(el("h1", {}, "What the agent itself takes"), cards, el("h2", {}, "Probes"), parts, el("h2", {}, "History"), disk, el("h2", {}, "What was shed"), notes);
	const card = (words, value, under) => el("div", { class: "card" }, el("span", { class: "dim" }, words), el("b", {}, value), el("span", { class: "dim" }, under || ""));
	let gone = false;
	async function live() {
		let now;
		try { now = await json("/api/self"); } catch { return; }
		if (gone) return;
		const of = (value, unit) => value ? `of ${text(unit, value)} allowed` : "no bound";
		cards.replaceChildren(card("CPU, of one core", text("ratio", now.cpu_cores), of(now.limits.cpu_cores, "ratio")), card("Memory", text("bytes", now.resident_bytes), of(now.limits.resident_bytes, "bytes")),
			card("Kernel maps", text("bytes", now.map_bytes), of(now.limits.map_bytes, "bytes")), card("A reading takes", text("ns", now.tick_seconds * 1e9), `${now.ticks} so far`),
			card("Requests", text("1", now.http.requests), `${now.http.refused} refused; ${now.http.streams} watching`));
		const lost = part => Object.entries(part.items).map(([name, count]) => `${name.replaceAll("_", " ")}: ${count}`).join(", ");
		parts.replaceChildren(el("thead", {}, el("tr", {}, ...["Probe", "State", "How", "What that cannot see", "Lost", "CPU so far"].map((words, i) => el("th", { class: i < 5 ? "text" : "", scope: "col" }, words)))),
			el("tbody", {}, ...now.parts.map(part => el("tr", {}, el("td", { class: "text" }, el("b", {}, part.name), el("span", { class: "under" }, part.shows)),
				el("td", { class: `text${part.state === "on" ? "" : " hot"}` }, part.state === "on" ? "on" : `${part.state}: ${part.why || ""}`), el("td", { class: "text" }, part.rung || "–"),
				el("td", { class: "text" }, part.misses || part.why || "nothing known"), el("td", { class: "text" }, lost(part) || "nothing"), el("td", {}, text("ns", part.cost_seconds * 1e9))))));
		disk.textContent = `${now.history.memory_ticks} readings in memory (${text("bytes", now.history.memory_bytes)}); ${now.history.on_disk ? `${text("bytes", now.history.disk_bytes)} of ${text("bytes", now.history.disk_budget_bytes)} on disk` : "none on disk"}${now.history.trouble ? `; NOT WRITTEN: ${now.history.trouble}` : ""}`;
		notes.replaceChildren(...(now.notes.length ? now.notes : ["Nothing so far."]).map(words => el("li", {}, words)));
	}
	return { live, leave: () => { gone = true; } };
}

// ---- keys, theme, start

document.addEventListener("keydown", event => {
	const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
	if (event.key === "Escape") { if (typing) event.target.blur(); else if (current?.escape) current.escape(); else history.back(); return; }
	if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
	if (event.key === "/") { (current?.search || $("filter"))?.focus(); event.preventDefault(); }
	else if (event.key === "p") $("pause").click();
	else if (event.key === "g") location.hash = "#/";
	else if (event.key === "s") location.hash = "#/self";
	else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
		const links = [...document.querySelectorAll("tbody td:first-child a")], at = links.indexOf(document.activeElement);
		const next = links[event.key === "ArrowDown" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0)];
		if (next) { next.focus(); event.preventDefault(); }
	}
});
$("pause").addEventListener("click", () => {
	model.paused = !model.paused;
	$("pause").setAttribute("aria-pressed", String(model.paused));
	draw_live();
});
function theme(name) {
	document.documentElement.dataset.theme = name;
	localStorage.setItem("theme", name);
}
$("theme").addEventListener("click", () => { theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"); draw(); });
theme(localStorage.getItem("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
addEventListener("hashchange", () => { start_with_token() || draw(); });
setInterval(draw_live, 2000);

// The token comes once, behind #, which browsers send to nobody; it leaves the address at once.
function start_with_token() {
	const given = /^#token=([\w-]+)$/.exec(location.hash)?.[1];
	if (!given) return false;
	history.replaceState(null, "", "#/");
	enter(given);
	return true;
}
if (!start_with_token()) { draw(); if (token) stream(); }
