// SPDX-License-Identifier: Apache-2.0
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

// Bucket 0 is below 1 µs.
const wait_low = bucket => 2 ** ((bucket + 9) % 10) * 1000 ** Math.floor((bucket + 9) / 10);
const wait_text = bucket => bucket === null ? "–" : bucket ? bucket_words(wait_low(bucket)) : "0–1 µs";

// "231 / 256 MiB" where both have the same unit
function of_words(unit, value, limit) {
	const [now, most] = [text(unit, value), trimmed(text(unit, limit))], [, number, scale] = /^(\S+) (\S+)$/.exec(now) || [];
	return scale && most.endsWith(` ${scale}`) ? `${number} / ${most}` : `${now} / ${most}`;
}

const verdict_words = row => row.verdict || (known_verdict(row) ? "nothing found" : model.replay ? "not judged" : "not known yet");
const known_verdict = row => row.verdict !== null && row.verdict !== undefined;

// null where neither is known
function sum_of(row, ...names) {
	const values = names.map(name => latest(row.series)[name]).filter(known);
	return values.length ? values.reduce((sum, value) => sum + value, 0) : null;
}

const row_groups = [["", "not grouped", null], ["verdict", "by verdict", row => verdict_words(row)], ["image", "by image", row => row.image], ["pod", "by pod", row => row.pod], ["runtime", "by runtime", row => row.runtime], ["prefix", "by name", row => prefix_of(row.name)]];

// Round trips and failures of the last minute by container, from both ends of its edges; asked for now and then.
const talk = { by: new Map(), asked: 0 };
async function load_talk() {
	if (Date.now() - talk.asked < (model.replay ? 1e9 : 5000)) return;
	talk.asked = Date.now();
	try {
		const data = await json(model.replay ? `/api/edges?from_ms=${model.replay.from_ms}&to_ms=${model.replay.to_ms}` : "/api/edges?seconds=60"), by = new Map();
		for (const edge of data.edges) {
			const rtt = edge.rtt_p50_ns ?? edge.rtt_ns;
			for (const end of new Set([edge.source, edge.target])) {
				const series = data.ends[end]?.series;
				if (!series) continue;
				const one = by.get(series) || { rtt: null, failed: 0, lost: 0 };
				by.set(series, one);
				if (known(rtt) && !(rtt <= one.rtt)) { one.rtt = rtt; one.is_bucket = known(edge.rtt_p50_ns); }
				one.failed += edge.failed || 0; one.lost += edge.lost || 0;
			}
		}
		talk.by = by;
		if (model.replay) current?.live?.(true);
	} catch { talk.by = new Map(); }
}

const now_of = name => row => latest(row.series)[name];
const percent = value => !value ? "0 %" : value < 0.0005 ? "<0.1 %" : value < 0.0995 ? `${(100 * value).toFixed(1)} %` : `${(100 * value).toFixed(0)} %`;

// width: in pixels; wide: only where there is room. cell: [words, is it bad, [series' name, its limit's] of the line, title, is it nothing]
const columns = [
	{ key: "name", head: "Container", value: row => row.name },
	{ key: "verdict", head: "Verdict", help: "what is wrong, and whose fault it is; every ten seconds", value: row => row.verdict ? { host: 3, neighbour: 2, peer: 2 }[row.verdict_fault] || 1 : known_verdict(row) ? 0 : null },
	{ key: "cpu", head: "CPU", width: 96, help: "cores used, of the limit; the line is the last five minutes, dashed the limit", value: now_of("cpu"), cell: row => used_cell(row, "cpu", "cpu_limit", "cores") },
	{ key: "throttled", head: "Throttled", width: 82, help: "share of time held back by the CPU limit", value: now_of("throttled"), cell: row => plain(row, "throttled", percent, value => value > 0.05, 1) },
	{ key: "p99", head: "Wait p99", width: 104, help: "99 % of the last ten seconds' waits for a CPU were shorter than its end", value: row => wait_quantile(row.series, 0.99),
		cell: row => { const bucket = wait_quantile(row.series, 0.99); return [wait_text(bucket), bucket !== null && bucket >= 14, null, null, bucket === null]; } },
	{ key: "wait", head: "Waiting", width: 78, wide: true, help: "threads that were ready and had no CPU, on average", value: now_of("runqueue_wait"), cell: row => plain(row, "runqueue_wait", value => show.threads(value), value => value > 0.5, null) },
	{ key: "memory", head: "Memory", width: 140, help: "charged, of the limit; the line is the last five minutes, dashed the limit", value: now_of("memory"), cell: row => used_cell(row, "memory", "memory_limit", "bytes") },
	{ key: "pressure", head: "Stall", width: 58, help: "share of time some thread waited for memory", value: now_of("pressure_memory"), cell: row => plain(row, "pressure_memory", percent, value => value > 0.05, 1) },
	{ key: "disk", head: "Disk", width: 86, help: "read and written", value: row => sum_of(row, "io_read", "io_write"), cell: row => rate(row, "io_read", "io_write") },
	{ key: "net", head: "Network", width: 88, help: "received and sent", value: row => sum_of(row, "net_received", "net_sent"), cell: row => rate(row, "net_received", "net_sent") },
	{ key: "rtt", head: "RTT", width: 112, help: "the longest median round trip of its TCP edges, last minute", value: row => talk.by.get(row.series)?.rtt, cell: row => { const one = talk.by.get(row.series) || {}; return [rtt_words(one), false, null, null, !known(one.rtt)]; } },
	{ key: "failed", head: "Failed", width: 58, help: "connections that failed, last minute; segments sent again are in its tip", value: row => talk.by.get(row.series)?.failed,
		cell: row => { const one = talk.by.get(row.series); return [one ? show["1"](one.failed) : "–", one?.failed > 0, null, one ? `${one.lost} segments sent again` : null, !one?.failed]; } },
	{ key: "pids", head: "Threads", width: 76, wide: true, value: now_of("pids"), cell: row => { const one = now_of("pids")(row); return [text("1", one), false, null, null, !known(one)]; } },
	{ key: "oom", head: "OOM", width: 56, help: "processes killed for lack of memory since it began; of a capture in its time", value: row => kills_of(row), cell: row => [text("1", kills_of(row)), kills_of(row) > 0, null, null, !kills_of(row)] },
];

// A capture does not know of those before it.
const kills_of = row => !row ? null : model.replay ? Math.round((model.lanes.get(row.series) || []).reduce((sum, point) => sum + (point.values.oom_kills || 0) * point.step / 1000, 0)) : row.oom_kills;

function plain(row, name, words, is_hot, top) {
	const value = latest(row.series)[name];
	return [known(value) ? words(value) : "–", known(value) && is_hot(value), [[name], top], null, !value];
}

function rate(row, ...names) {
	const value = sum_of(row, ...names);
	return [value ? text("bytes/s", value) : known(value) ? "0" : "–", false, [names, null], null, !value];
}

function used_cell(row, name, limit_name, unit) {
	const now = latest(row.series), limit = now[limit_name];
	const value = unit === "cores" && now[name] < 0.005 ? 0 : now[name], words = known(limit) ? of_words(unit, value, limit) : text(unit, value);
	return [words, known(limit) && now[name] > 0.9 * limit, [[name], limit, true], known(limit) ? `${percent(now[name] / limit)} of the limit` : "no limit", false];
}

// The path of a line from 0 to top, or to the largest value where there is none, in a box of 100 × 12. Missing seconds are gaps.
const SPARK_STEPS = 60;
function spark_path(series, names, top) {
	const points = model.lanes.get(series) || [], end = model.self?.time_ms || Date.now(), span = lane_span(), steps = Math.min(SPARK_STEPS, Math.max(2, Math.floor(span / 1000))), values = new Float64Array(steps).fill(-1);
	let most = top || 0;
	for (const point of points) {
		let value = 0, is_known = false;
		for (const name of names) if (known(point.values[name])) { value += point.values[name]; is_known = true; }
		const step = Math.floor(steps * (1 - (end - point.time) / span) - 1e-6);
		if (!is_known || step < 0 || step >= steps) continue;
		if (value > values[step]) values[step] = value;
		if (value > most) most = value;
	}
	let path = "", open = false;
	for (let step = 0; step < steps; step++) {
		if (values[step] < 0) { open = false; continue; }
		const x = 100 * (step + 1) / steps, y = (11.5 - 11 * (most ? values[step] / most : 0)).toFixed(1);
		path += open ? `L${x.toFixed(1)} ${y}` : `M${(x - 1.6).toFixed(1)} ${y}L${x.toFixed(1)} ${y}`;
		open = true;
	}
	return { path, limit: top && most ? `M0 ${(11.5 - 11 * top / most).toFixed(1)}H100` : "" };
}

const set_text = (node, words) => { if (node.firstChild?.data !== words) node.textContent = words; };
const set_attribute = (node, name, value) => { if (value === null) { if (node.hasAttribute(name)) node.removeAttribute(name); } else if (node.getAttribute(name) !== value) node.setAttribute(name, value); };

// A row of the table that is made once and then only changed where something changed.
function table_row(first) {
	const link = el("a", {}), under = el("span", { class: "under" }), verdict = el("a", {}), sentence = el("span", { class: "under" }), tr = el("tr", {});
	const cells = columns.map(column => {
		const td = el("td", { "data-key": column.key, class: column.wide ? "wide" : null });
		tr.append(td);
		if (column.key === "name") { td.append(link, under); return null; }
		if (column.key === "verdict") { td.append(verdict, sentence); return null; }
		const number = el("span", {}, "–");
		td.append(number);
		return { column, td, number, line: null, limit: null, spark: null };
	});
	let lines = -1; // which step the lines end in: they move on every five seconds, not all rows in the same one
	function update(row) {
		const step = Math.floor((model.last / 1000 + row.series) * SPARK_STEPS / LIVE_SECONDS), move = step !== lines;
		lines = step;
		set_attribute(tr, "data-name", row.name);
		set_text(link, row.name);
		set_attribute(link, "href", `#/container/${row.series}`);
		set_attribute(link, "title", row.name);
		set_text(under, row.image || row.pod || row.runtime || "");
		set_text(verdict, verdict_words(row));
		set_attribute(verdict, "class", row.verdict ? `badge fault-${/^\w+$/.test(row.verdict_fault) ? row.verdict_fault : "container"}` : "badge none");
		set_attribute(verdict, "href", `#/container/${row.series}`);
		set_attribute(verdict, "title", row.verdict_sentence || null);
		set_text(sentence, row.verdict ? said_once(row.verdict, row.verdict_sentence) || "" : "");
		set_attribute(sentence, "title", row.verdict_sentence || null);
		for (const one of cells) {
			if (!one) continue;
			const [words, is_hot, spark, title, is_nothing] = one.column.cell(row);
			set_text(one.number, words);
			set_attribute(one.number, "class", is_hot ? "hot" : is_nothing ? "dim" : null);
			set_attribute(one.td, "title", title);
			if (one.line && !move) set_attribute(one.line, "class", is_hot ? "hot" : null);
			if (!spark || !move) continue;
			const [names, top, dashed] = spark, { path, limit } = spark_path(row.series, names, known(top) ? top : null);
			if (!one.spark) {
				one.spark = svg("svg", { class: "spark", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" });
				one.spark.append(one.limit = svg("path", { class: "limit" }), one.line = svg("path", {}));
				one.td.append(one.spark);
			}
			set_attribute(one.limit, "d", dashed && limit ? limit : null);
			set_attribute(one.line, "d", path || null);
			set_attribute(one.line, "class", is_hot ? "hot" : null);
		}
	}
	update(first);
	return { tr, update };
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
		const verdict = /^verdict:(.+)$/.exec(term);
		if (verdict) return row => verdict_words(row).replaceAll(" ", "-") === verdict[1];
		const regex = /^\/(.+)\/$/.exec(term);
		if (regex) { try { const made = new RegExp(regex[1], "i"); return row => made.test(row.name); } catch { return () => false; } }
		return row => [row.name, row.image, row.pod, row.id].some(one => typeof one === "string" && one.toLowerCase().includes(term.toLowerCase()));
	});
	return row => tests.every(test => test(row));
}

const ROW_HEIGHT = 47; // as in the style sheet
const ROWS_BESIDE = 5; // drawn above and below what is seen
const is_shown = row => row.resource === "container" && !row.dead;

function overview(view) {
	const { query } = address();
	let sort = query.get("sort") || "cpu", ascending = query.get("up") === "1", items = [], order = new Map(), gone = false;
	const filter = el("input", { type: "search", id: "filter", value: query.get("filter") || "", "aria-label": "Filter",
		placeholder: "web  /^db/  cpu>0.5  memory>100MiB", title: "part of a name, image, pod or id; /an expression/; a column and a bound. All must hold.", oninput: () => { set_query({ filter: filter.value }); live(true); } });
	const count = el("span", { class: "dim", role: "status" }), together = el("select", { "aria-label": "Grouping", onchange: () => { set_query({ group: together.value }); live(true); } },
		...row_groups.map(([value, words]) => el("option", { value, selected: value === (query.get("group") || "") }, words)));
	const heads = el("tr", {}), body = el("tbody", {}), chips = el("div", { class: "chips", role: "group", "aria-label": "Verdicts" });
	for (const column of columns)
		heads.append(el("th", { scope: "col", "data-key": column.key, title: column.help || "", class: column.wide ? "wide" : null },
			el("button", { type: "button", onclick: () => {
				ascending = sort === column.key ? !ascending : column.key === "name";
				sort = column.key;
				set_query({ sort, up: ascending ? "1" : "" });
				live(true);
			} }, column.head)));
	const table = el("table", { "aria-label": "Containers", class: "rows" }, el("colgroup", {}, columns.map(column => { const col = el("col", { class: column.wide ? "wide" : `of-${column.key}` }); if (column.width) col.style.width = `${column.width}px`; return col; })), el("thead", {}, heads), body);
	const empty = el("p", { class: "empty" }), above = el("tr", { class: "space", "aria-hidden": "true" }, el("td", {})), below = above.cloneNode(true);
	view.append(el("h1", { class: "off" }, "Containers"), el("div", { class: "bar" }, filter, together, count, el("span", { class: "grow" }), export_menu([["CSV", () => save(csv_of([columns.map(column => column.key), ...shown().map(row => columns.map(column => column.key === "verdict" ? row.verdict : column.value(row)))]), "fathom-containers.csv")],
		["JSON", () => save(json_blob(shown().map(row => ({ ...row, now: latest(row.series) }))), "fathom-containers.json")]]), copy_button(() => `fathom top${filter.value && !/verdict:/.test(filter.value) ? ` --filter ${quote(filter.value)}` : ""}`)), chips, table, empty);

	const shown = () => model.rows.filter(is_shown).filter(matcher(filter.value));
	const made = new Map(); // what is drawn: key → { tr, update }
	function grouped(rows) {
		const by = row_groups.find(([value]) => value === together.value)?.[2];
		if (!by) return rows;
		const groups = new Map();
		for (const row of rows) { const name = by(row) || "–"; groups.has(name) ? groups.get(name).push(row) : groups.set(name, [row]); }
		return [...groups].flatMap(([name, members]) => [{ group: name, members }, ...members]);
	}
	function group_row(first) {
		const words = el("th", { scope: "rowgroup", colspan: columns.filter(column => !column.wide).length }), tr = el("tr", { class: "group" }, words);
		const update = ({ group, members }) => {
			const sum = name => members.reduce((all, row) => all + (latest(row.series)[name] || 0), 0);
			set_text(words, `${group} · ${members.length} ${members.length === 1 ? "container" : "containers"} · ${show.cores(sum("cpu"))} cores · ${show.bytes(sum("memory"))}`);
		};
		update(first);
		return { tr, update };
	}
	// Only rows that can be seen are elements; a spacer stands for those above and below.
	function place(update) {
		const top = Math.max(0, Math.floor(-body.getBoundingClientRect().top / ROW_HEIGHT) - ROWS_BESIDE), first = Math.min(top, Math.max(0, items.length - 1)), last = Math.min(items.length, first + Math.ceil(innerHeight / ROW_HEIGHT) + 2 * ROWS_BESIDE);
		const wanted = new Set(), list = [];
		for (let i = first; i < last; i++) {
			const item = items[i], key = item.group !== undefined && item.members ? `group ${item.group}` : item.series;
			let one = made.get(key);
			if (!one) made.set(key, one = item.members ? group_row(item) : table_row(item)); else if (update) one.update(item);
			set_attribute(one.tr, "aria-rowindex", String(i + 2));
			wanted.add(key);
			list.push(one.tr);
		}
		for (const [key, one] of made) if (!wanted.has(key)) { one.tr.remove(); made.delete(key); }
		above.firstChild.style.height = `${first * ROW_HEIGHT}px`;
		below.firstChild.style.height = `${(items.length - last) * ROW_HEIGHT}px`;
		const rows = [first ? above : null, ...list, last < items.length ? below : null].filter(Boolean);
		if (!first) above.remove();
		if (last >= items.length) below.remove();
		rows.forEach((tr, i) => { if (body.children[i] !== tr) body.insertBefore(tr, body.children[i] || null); });
	}
	// What is wrong, counted; a click shows those.
	function count_verdicts(all) {
		const counted = new Map();
		for (const row of all) { const name = verdict_words(row); counted.set(name, (counted.get(name) || 0) + 1); }
		const list = [...counted].sort((a, b) => (a[0] === "nothing found") - (b[0] === "nothing found") || b[1] - a[1]).slice(0, 12);
		const signature = JSON.stringify([list, filter.value]);
		if (chips.dataset.signature === signature) return;
		chips.dataset.signature = signature;
		const focus = document.activeElement?.dataset?.verdict;
		fill(chips, list.map(([name, number]) => {
			const term = `verdict:${name.replaceAll(" ", "-")}`, on = filter.value.split(/\s+/).includes(term), is_bad = !["nothing found", "not known yet", "not judged"].includes(name);
			return button(`${is_bad ? "! " : name === "nothing found" ? "✓ " : "… "}${name} · ${number}`, () => { filter.value = on ? filter.value.split(/\s+/).filter(one => one !== term).join(" ") : `${filter.value.split(/\s+/).filter(one => one && !one.startsWith("verdict:")).join(" ")} ${term}`.trim(); set_query({ filter: filter.value }); live(true); },
				{ class: is_bad ? "chip bad" : name === "nothing found" ? "chip fine" : "chip", "aria-pressed": String(on), "data-verdict": name });
		}));
		if (focus) chips.querySelector(`[data-verdict="${CSS.escape(focus)}"]`)?.focus();
	}
	function live(asked) {
		if (gone || (model.paused && !asked && body.childElementCount)) return;
		load_talk();
		const all = model.rows.filter(is_shown), rows = shown(), by = columns.find(column => column.key === sort) || columns[0];
		// Rows do not run away from the hand that is about to click one.
		const held = !asked && order.size && (body.matches(":hover") || body.contains(document.activeElement));
		const ranks = new Map(rows.map(row => { const value = by.value(row); return [row, typeof value === "string" ? value : known(value) ? value : -Infinity]; }));
		rows.sort((a, b) => {
			if (held) { const x = order.get(a.series) ?? Infinity, y = order.get(b.series) ?? Infinity; if (x !== y) return x - y; }
			const x = ranks.get(a), y = ranks.get(b);
			return (x < y ? -1 : x > y ? 1 : a.name < b.name ? -1 : 1) * (ascending ? 1 : -1);
		});
		order = new Map(rows.map((row, i) => [row.series, i]));
		for (const head of heads.children) {
			if (head.dataset.key === sort) set_attribute(head, "aria-sort", ascending ? "ascending" : "descending");
			else set_attribute(head, "aria-sort", null);
		}
		items = grouped(rows);
		count_verdicts(all);
		set_attribute(table, "aria-rowcount", String(items.length + 1));
		table.hidden = !rows.length;
		empty.hidden = !!rows.length;
		empty.textContent = all.length ? "No container matches the filter." : model.last ? model.replay ? "The capture holds no containers." : "No containers run on this machine." : "Waiting for the first reading…";
		const words = `${rows.length === all.length ? all.length : `${rows.length} of ${all.length}`} ${all.length === 1 ? "container" : "containers"}`;
		if (count.textContent !== words) count.textContent = words;
		place(true);
	}
	let scheduled = 0;
	const scrolled = () => { scheduled ||= requestAnimationFrame(() => { scheduled = 0; if (!gone) place(false); }); };
	addEventListener("scroll", scrolled, { passive: true });
	addEventListener("resize", scrolled);
	return { live, leave: () => { gone = true; removeEventListener("scroll", scrolled); removeEventListener("resize", scrolled); } };
}

