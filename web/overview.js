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

const known_verdict = row => row.verdict !== null && row.verdict !== undefined;

// null where neither is known
function sum_of(row, ...names) {
	const values = names.map(name => latest(row.series)[name]).filter(known);
	return values.length ? values.reduce((sum, value) => sum + value, 0) : null;
}

const row_groups = [["", "not grouped", null], ["verdict", "by verdict", row => row.verdict || "nothing found"], ["image", "by image", row => row.image], ["pod", "by pod", row => row.pod], ["runtime", "by runtime", row => row.runtime], ["prefix", "by name", row => prefix_of(row.name)]];

const columns = [
	{ key: "name", head: "Container", value: row => row.name, cell: row => {
		const cell = el("td", {}, el("a", { href: `#/container/${row.series}` }, row.name));
		cell.append(el("span", { class: "under" }, row.image || row.pod || row.runtime || ""));
		return cell;
	} },
	{ key: "verdict", head: "Verdict", help: "what is wrong, and whose fault it is; every ten seconds", value: row => row.verdict ? { host: 3, neighbour: 2, peer: 2 }[row.verdict_fault] || 1 : known_verdict(row) ? 0 : null,
		cell: row => el("td", { class: "verdict" }, row.verdict ? el("a", { class: `hot fault-${/^\w+$/.test(row.verdict_fault) ? row.verdict_fault : "container"}`, href: `#/container/${row.series}`, title: row.verdict_sentence || null }, row.verdict) : el("span", { class: "dim" }, known_verdict(row) ? "nothing found" : "not known yet")) },
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
	{ key: "disk", head: "Disk", help: "read and written", value: row => sum_of(row, "io_read", "io_write"), cell: row => plain("bytes/s", sum_of(row, "io_read", "io_write")) },
	{ key: "net", head: "Network", help: "received and sent", value: row => sum_of(row, "net_received", "net_sent"), cell: row => plain("bytes/s", sum_of(row, "net_received", "net_sent")) },
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

const ROWS_MAX = 1000;
const is_shown = row => row.resource === "container" && !row.dead;

function overview(view) {
	const { query } = address();
	let sort = query.get("sort") || "cpu", ascending = query.get("up") === "1";
	const filter = el("input", { type: "search", id: "filter", value: query.get("filter") || "", "aria-label": "Filter",
		placeholder: "Filter: web  /^db/  cpu>0.5  memory>100MiB", oninput: () => { set_query({ filter: filter.value }); live(true); } });
	const count = el("span", { class: "dim", role: "status" }), together = el("select", { "aria-label": "Grouping", onchange: () => { set_query({ group: together.value }); live(true); } },
		...row_groups.map(([value, words]) => el("option", { value, selected: value === (query.get("group") || "") }, words)));
	const heads = el("tr", {}), body = el("tbody", {});
	for (const column of columns)
		heads.append(el("th", { scope: "col", "data-key": column.key, title: column.help || "" },
			el("button", { type: "button", onclick: () => {
				ascending = sort === column.key ? !ascending : column.key === "name";
				sort = column.key;
				set_query({ sort, up: ascending ? "1" : "" });
				live(true);
			} }, column.head)));
	const table = el("table", { "aria-label": "Containers" }, el("thead", {}, heads), body);
	const empty = el("p", { class: "empty" });
	view.append(el("div", { class: "bar" }, filter, together, count, el("span", { class: "grow" }), export_menu([["CSV", () => save(csv_of([columns.map(column => column.key), ...shown().map(row => columns.map(column => column.key === "verdict" ? row.verdict : column.value(row)))]), "fathom-containers.csv")],
		["JSON", () => save(json_blob(shown().map(row => ({ ...row, now: latest(row.series) }))), "fathom-containers.json")]]), copy_button(() => "fathom top")), table, empty);

	const shown = () => model.rows.filter(is_shown).filter(matcher(filter.value));
	const line = row => el("tr", { "data-name": row.name }, columns.map(column => { const cell = column.cell(row); cell.dataset.key = column.key; return cell; }));
	function lines(rows) {
		const by = row_groups.find(([value]) => value === together.value)?.[2];
		if (!by) return rows.slice(0, ROWS_MAX).map(line);
		const groups = new Map();
		for (const row of rows.slice(0, ROWS_MAX)) { const name = by(row) || "–"; groups.has(name) ? groups.get(name).push(row) : groups.set(name, [row]); }
		return [...groups].flatMap(([name, members]) => {
			const cpu = members.reduce((sum, row) => sum + (latest(row.series).cpu || 0), 0), memory = members.reduce((sum, row) => sum + (latest(row.series).memory || 0), 0);
			return [el("tr", { class: "group" }, el("th", { scope: "rowgroup", colspan: columns.length }, `${name} · ${members.length} · ${show.cores(cpu)} cores · ${show.bytes(memory)}`)), ...members.map(line)];
		});
	}
	function live(asked) {
		if (model.paused && !asked && body.childElementCount) return;
		if (body.contains(document.activeElement) && document.activeElement.matches(":focus-visible")) {
			const href = document.activeElement.getAttribute("href");
			setTimeout(() => body.querySelector(`a[href="${href}"]`)?.focus(), 0);
		}
		const all = model.rows.filter(is_shown), rows = shown();
		const by = columns.find(column => column.key === sort) || columns[0];
		const rank = row => { const value = by.value(row); return typeof value === "string" ? value : known(value) ? value : -Infinity; };
		rows.sort((a, b) => { const x = rank(a), y = rank(b); return (x < y ? -1 : x > y ? 1 : a.name < b.name ? -1 : 1) * (ascending ? 1 : -1); });
		for (const head of heads.children) {
			if (head.dataset.key === sort) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
			else head.removeAttribute("aria-sort");
		}
		fill(body, lines(rows));
		table.hidden = !rows.length;
		empty.hidden = !!rows.length;
		empty.textContent = all.length ? "No container matches the filter." : model.last ? "No containers run on this machine." : "Waiting for the first reading…";
		count.textContent = `${rows.length === all.length ? all.length : `${rows.length} of ${all.length}`} ${all.length === 1 ? "container" : "containers"}`;
	}
	return { live };
}

