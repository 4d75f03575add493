// SPDX-License-Identifier: Apache-2.0
// ---- the service map: who talks to whom, from left to right, with numbers on the edges
//
// The picture is a canvas that is drawn whole when something changes and moved as a picture while it is panned or zoomed, so that thousands
// of edges stay smooth; the same edges stand in a table, which is what a keyboard and a screen reader use.

const MAP_NODES_MAX = 150; // more are put together into groups
const MAP_LABELS_MAX = 60; // edges whose numbers are written without being asked for
const MAP_ROWS_MAX = 200; // of the table
const MAP_PINS_MAX = 200; // the latest
const NODE_WIDTH = 168, NODE_HEIGHT = 38, COLUMN_ROWS = 14;
const groupings = [["auto", "automatic"], ["none", "none"], ["pod", "by pod"], ["image", "by image"], ["prefix", "by name"], ["all", "by kind"]];

// What a measurement of connections holds, in the form of /api/edges.
function edges_of_capture(capture) {
	const shape = capture.shapes.find(one => one.kind === "edges"), numbers = Object.fromEntries(shape.counters.map(([name], i) => [name, i]));
	const ends = [], known = new Map(), edges = new Map(), from_ms = capture.start_realtime_ns / 1e6;
	const end = ([kind, name]) => {
		const key = `${kind}\0${words_of(name)}`;
		if (!known.has(key)) { known.set(key, ends.length); ends.push({ kind, name: words_of(name), series: model.rows.find(row => kind === "container" && row.name === words_of(name))?.series }); }
		return known.get(key);
	};
	for (const row of shape.rows) {
		const source = end(row.source), target = end(row.target), key = `${source}>${target}`, of = name => row.counters[numbers[name]] || 0;
		const edge = edges.get(key) || { source, target, ports: [], live: null, opens: 0, failed: 0, bytes_sent: 0, bytes_received: 0, lost: 0, segments: 0, rtt_ns: null };
		edges.set(key, edge);
		if (row.values[0] && !edge.ports.includes(row.values[0])) edge.ports.push(row.values[0]);
		edge.opens += of("opens") || of("accepts");
		for (const name in numbers) if (name.startsWith("failed_")) edge.failed += of(name);
		edge.bytes_sent += of("sent_bytes"); edge.bytes_received += of("received_bytes");
		edge.segments += of("sent_segments"); edge.lost += of("retransmits_rto") + of("retransmits_fast");
		const rtt = row.histograms?.rtt;
		if (rtt?.count) edge.rtt_ns = Math.max(edge.rtt_ns || 0, rtt.sum / rtt.count);
	}
	return { from_ms, to_ms: from_ms + capture.duration_ns / 1e6, gaps: [], ends, edges: [...edges.values()], rung: shape.ledger.rung, misses: words_of(shape.ledger.misses) };
}

const prefix_of = name => name.replace(/[-_.]?[0-9a-f]{5,}$|[-_.]?\d+$/, "") || name;

function group_name(end, by) {
	if (by === "none") return null;
	if (end.kind === "told") return by === "all" ? "other addresses" : `*.${end.name.split(".").slice(-2).join(".")}`;
	if (end.kind === "external") return by === "all" ? "other addresses" : end.name.includes(":") ? `${end.name.split(":").slice(0, 3).join(":")}::` : `${end.name.split(".").slice(0, 2).join(".")}.*`;
	if (end.kind !== "container") return null;
	if (by === "all") return "containers";
	const row = row_of(end.series);
	return (by === "pod" ? row?.pod : by === "image" ? row?.image : null) || prefix_of(end.name);
}

// Ends → nodes: one each, or one for a group of several that is not opened.
function map_groups(data, by, opened) {
	const counted = new Map();
	for (const end of data.ends) { const name = group_name(end, by); if (name !== null) counted.set(name, (counted.get(name) || 0) + 1); }
	const nodes = new Map(), numbers = data.ends.map(end => {
		const group = group_name(end, by), together = group !== null && counted.get(group) > 1 && !opened.has(group);
		const key = together ? `group\0${group}` : `${end.kind}\0${end.name}`;
		if (!nodes.has(key)) nodes.set(key, { key, name: together ? group : end.name, kind: together ? "group" : end.kind, series: together ? null : end.series, members: 0, group, in: [], out: [], weight: 0 });
		nodes.get(key).members++;
		return key;
	});
	return { nodes, numbers };
}

function map_graph(data, by, opened) {
	let grouped = map_groups(data, by === "auto" ? "none" : by, opened);
	for (const try_by of by === "auto" ? ["pod", "image", "prefix", "all"] : []) {
		if (grouped.nodes.size <= MAP_NODES_MAX) break;
		grouped = map_groups(data, try_by, opened);
	}
	const { nodes, numbers } = grouped, links = new Map(), is_loopback = number => data.ends[number].kind === "external" && /^(127\.|::1$)/.test(data.ends[number].name), seconds = Math.max((data.to_ms - data.from_ms - data.gaps.reduce((sum, [a, b]) => sum + b - a, 0)) / 1000, 1);
	for (const edge of data.edges) {
		// A loopback address is of whoever uses it, not one place where all meet.
		const from = is_loopback(edge.source) ? edge.target : edge.source, to = is_loopback(edge.target) ? edge.source : edge.target, key = `${numbers[from]}\0>${numbers[to]}`;
		const link = links.get(key) || { key, source: nodes.get(numbers[from]), target: nodes.get(numbers[to]), ports: new Set(), edges: 0, opens: 0, failed: 0, live: null, bytes_sent: 0, bytes_received: 0, lost: 0, segments: 0, rtt: null };
		links.set(key, link);
		for (const port of edge.ports || []) link.ports.add(String(port));
		link.edges++;
		for (const name of ["opens", "failed", "bytes_sent", "bytes_received", "lost", "segments"]) link[name] += edge[name] || 0;
		if (known(edge.live)) link.live = (link.live || 0) + edge.live;
		const rtt = edge.rtt_p50_ns ?? edge.rtt_ns;
		if (known(rtt) && !(rtt <= link.rtt)) { link.rtt = rtt; link.is_bucket = known(edge.rtt_p50_ns); }
	}
	for (const link of links.values()) {
		link.bytes = link.bytes_sent + link.bytes_received;
		link.rate = link.opens / seconds;
		link.flow = link.bytes / seconds;
		const failed = link.failed / Math.max(link.opens + link.failed, 1), lost = link.lost / Math.max(link.segments, 1);
		link.status = failed > 0.05 && link.failed > 2 ? 2 : link.failed || lost > 0.01 ? 1 : 0;
		link.why = [link.failed ? `${link.failed} failed` : "", lost > 1 ? `${show["1"](link.lost)} sent again` : lost > 0.001 ? `${digits(100 * lost)} % sent again` : ""].filter(Boolean).join(", ");
		link.source.out.push(link); link.target.in.push(link);
		link.source.weight += link.bytes; link.target.weight += link.bytes;
	}
	for (let i = 0; i < data.ends.length; i++) { const node = is_loopback(i) && nodes.get(numbers[i]); if (node && !node.in.length && !node.out.length) nodes.delete(numbers[i]); }
	return { nodes: [...nodes.values()], links: [...links.values()].sort((a, b) => b.status - a.status || b.bytes - a.bytes) };
}

// Who opens stands left of whom he opens to; busy layers are several columns wide. The same input gives the same picture.
function map_layout(graph) {
	const is_lone = node => node.in.every(link => link.source === node) && node.out.every(link => link.target === node), lone = graph.nodes.filter(is_lone), others = graph.nodes.filter(node => !is_lone(node));
	if (others.length) map_layers(others);
	// Those that talk to nobody but themselves stand below, so that they do not hide who talks to whom.
	const wide = others.length ? Math.max(...others.map(node => node.x)) + NODE_WIDTH : 0, top = others.length ? Math.max(...others.map(node => node.y)) + NODE_HEIGHT + 80 : 0;
	const columns = Math.max(Math.floor(wide / (NODE_WIDTH + 24)), Math.ceil(Math.sqrt(lone.length / 1.8)), 1);
	lone.sort((a, b) => a.name < b.name ? -1 : 1).forEach((node, i) => { node.x = i % columns * (NODE_WIDTH + 24); node.y = top + Math.floor(i / columns) * (NODE_HEIGHT + 30); });
}

function map_layers(nodes) {
	const layer = new Map(), busy = new Set();
	const depth = node => {
		if (layer.has(node)) return layer.get(node);
		if (busy.has(node)) return 0; // a circle: this link runs backwards
		busy.add(node);
		let deepest = 0;
		for (const link of node.in) if (link.source !== node && !busy.has(link.source)) deepest = Math.max(deepest, depth(link.source) + 1);
		busy.delete(node);
		layer.set(node, Math.min(deepest, 12));
		return layer.get(node);
	};
	const order = [...nodes].sort((a, b) => a.in.length - b.in.length || (a.key < b.key ? -1 : 1));
	for (const node of order) depth(node);
	// Where nearly everybody talks to everybody there are no layers to be found: who mostly opens stands left.
	const deepest = Math.max(0, ...layer.values());
	if (deepest > 6 && nodes.length < 8 * deepest) for (const node of order) layer.set(node, Math.round(4 * node.in.length / Math.max(node.in.length + node.out.length, 1)));
	const columns = [];
	for (const node of order) (columns[layer.get(node)] ||= []).push(node);
	const filled = columns.filter(Boolean), place = new Map();
	for (const column of filled) column.sort((a, b) => a.name < b.name ? -1 : 1).forEach((node, i) => place.set(node, i / column.length));
	for (let sweep = 0; sweep < 6; sweep++) for (const column of sweep % 2 ? [...filled].reverse() : filled) {
		const wanted = new Map(column.map(node => {
			const near = [...node.in.map(link => link.source), ...node.out.map(link => link.target)].filter(other => other !== node);
			return [node, near.length ? near.reduce((sum, other) => sum + place.get(other), 0) / near.length : place.get(node)];
		}));
		column.sort((a, b) => wanted.get(a) - wanted.get(b) || (a.name < b.name ? -1 : 1)).forEach((node, i) => place.set(node, (i + 0.5) / column.length));
	}
	let x = 0;
	for (const column of filled) {
		const wide = Math.max(1, Math.ceil(column.length / Math.max(COLUMN_ROWS, Math.ceil(Math.sqrt(column.length * 2.2))))), tall = Math.ceil(column.length / wide);
		column.forEach((node, i) => { node.x = x + i % wide * (NODE_WIDTH + 24); node.y = (Math.floor(i / wide) - (tall - 1) / 2) * (NODE_HEIGHT + 26); });
		x += wide * (NODE_WIDTH + 24) + 230;
	}
}

function link_curve(link) {
	const { source: a, target: b } = link;
	if (a === b) return [a.x + NODE_WIDTH * 0.7, a.y, a.x + NODE_WIDTH * 0.8, a.y - 24, a.x + NODE_WIDTH * 0.3, a.y - 24, a.x + NODE_WIDTH * 0.4, a.y];
	const forward = b.x >= a.x, x1 = a.x + (forward ? NODE_WIDTH : 0), x2 = b.x + (forward ? 0 : NODE_WIDTH), y1 = a.y + NODE_HEIGHT / 2, y2 = b.y + NODE_HEIGHT / 2;
	const bend = Math.max(40, Math.abs(x2 - x1) / 2) * (forward ? 1 : -1), away = !forward || x2 - x1 < 60 ? 30 : 0;
	return [x1, y1, x1 + bend, y1 + away, x2 - bend, y2 + away, x2, y2];
}

const CURVE_PIECES = 32;
const HIT_LINK = 6, HIT_NODE = 14; // pixels: a line is met from so far away, an end is at least so tall
// How far a point is from a curve, in the map's own measure.
function curve_distance(c, x, y) {
	let nearest = Infinity, from = { x: c[0], y: c[1] };
	for (let i = 1; i <= CURVE_PIECES; i++) {
		const to = curve_at(c, i / CURVE_PIECES), dx = to.x - from.x, dy = to.y - from.y, along = Math.min(Math.max(((x - from.x) * dx + (y - from.y) * dy) / (dx * dx + dy * dy || 1), 0), 1);
		nearest = Math.min(nearest, Math.hypot(from.x + along * dx - x, from.y + along * dy - y));
		from = to;
	}
	return nearest;
}

function curve_at(c, t) {
	const u = 1 - t, p = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
	return { x: p[0] * c[0] + p[1] * c[2] + p[2] * c[4] + p[3] * c[6], y: p[0] * c[1] + p[1] * c[3] + p[2] * c[5] + p[3] * c[7] };
}
// Where what is said of a link stands: on its curve, and over no other's words (boxes in `taken`, which it joins). Those that must be
// read come first, and stand where they do least harm when there is no room; of others there is none then: the table says it, too.
const LABEL_PLACES = [0.5, 0.38, 0.62, 0.28, 0.72, 0.2, 0.8];
function label_place(link, wide, tall, taken, must) {
	const boxes = LABEL_PLACES.map(t => { const { x, y } = curve_at(link.curve, t); return { x, y, left: x - wide / 2, right: x + wide / 2, top: y - tall / 2, bottom: y + tall / 2 }; });
	const box = boxes.find(a => !taken.some(b => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)) || (must ? boxes[0] : null);
	if (box) taken.push({ ...box, link });
	return box;
}

const link_width = link => 1 + Math.min(5, Math.max(0, Math.log10(link.flow + 1) - 1));
const link_rate = link => [link.rate ? show["1/s"](link.rate) : link.live ? `${link.live} open` : link.failed ? "" : "0/s", link.flow ? text("bytes/s", link.flow) : ""].filter(Boolean).join(" · ");
const rtt_words = ({ rtt, is_bucket }) => !known(rtt) ? "–" : is_bucket ? bucket_words(rtt) : trimmed(show.ns(rtt));
const link_quality = link => [known(link.rtt) ? rtt_words(link) : "", link.why].filter(Boolean).join(" · ");
const link_words = link => [link_rate(link), link_quality(link)].filter(Boolean).join(" · ");
const link_name = link => `${link.source.name} → ${link.target.name}`;
const node_id = node => node.key.replace("\0", ":"); // in the address
const end_words = node => node.kind === "group" ? `${node.members} ends` : { container: "container", host: "the machine", external: "address", told: "outside, named by DNS", quota: "limit", unknown: "not known" }[node.kind] || node.kind;

function map(view) {
	const { query } = address();
	let graph = { nodes: [], links: [] }, data = null, gone = false, asked = 0, camera = null, picture = null, chosen = query.get("sel") || "", hovered = null, touched = null, drag = null, labels = [], idle = 0, scheduled = false; // hovered: an edge; touched: an end
	// Where ends were put by hand: in the address, and for whoever comes back without one in the browser.
	const pins_kept = `pins${model.replay ? ` ${model.replay.name}` : ""}`, pins = new Map();
	for (const one of (query.get("pin") ?? localStorage.getItem(pins_kept) ?? "").split("~")) {
		const [name, x, y] = one.split("|");
		try { if (name && Number.isFinite(Number(x)) && Number.isFinite(Number(y))) pins.set(decodeURIComponent(name), { x: Number(x), y: Number(y) }); } catch { /* no name that was written here */ }
	}
	const opened = new Set((query.get("open") || "").split("~").filter(Boolean));
	let by = query.get("group") || "auto", source = query.get("a") || "";
	const filter = el("input", { type: "search", id: "filter", "aria-label": "Filter", placeholder: "Filter: part of a name", value: query.get("filter") || "", oninput: () => { set_query({ filter: filter.value }); rebuild(); } });
	const group = el("select", { "aria-label": "Grouping", onchange: () => { by = group.value; set_query({ group: by === "auto" ? "" : by }); rebuild(true); } }, ...groupings.map(([value, words]) => el("option", { value, selected: value === by }, `Groups: ${words}`)));
	const said = el("span", { class: "dim", role: "status" }), empty = el("p", { class: "empty", hidden: true });
	const canvas = el("canvas", { id: "map", tabindex: 0, role: "application", "aria-roledescription": "service map", "aria-label": "Service map: arrow keys move, + and − zoom, 0 fits; the table beside it lists the same connections", "aria-describedby": "story" });
	const story = el("div", { id: "story", "aria-live": "polite" }), body = el("tbody", {});
	const table = el("table", { "aria-label": "Connections" }, el("thead", {}, el("tr", {}, ...["From → to", "Opened", "Bytes", "Round trip"].map(words => el("th", { scope: "col" }, words)))), body);
	const time = period_control(60, () => load(true)), unpin_all = button("Unpin all", () => { pins.clear(); keep_pins(); rebuild(true); }, { title: "ends that were dragged go back to their places" });
	view.append(el("h1", { class: "off" }, "Service map"), el("div", { class: "bar" }, time.box, filter, group, el("span", { class: "grow" }),
		button("Fit", () => { camera = null; set_query({ view: "" }); redraw(); }), unpin_all,
		export_menu([["SVG", () => save(new Blob([map_svg()], { type: "image/svg+xml" }), "fathom-map.svg")], ["PNG", () => canvas.toBlob(blob => save(blob, "fathom-map.png"))],
			["CSV", () => save(csv_of(map_rows()), "fathom-map.csv")], ["JSON", () => save(json_blob(data), "fathom-map.json")]]),
		copy_button(() => `fathom map -d ${Math.min(time.now().seconds, 60)}${chosen_node() && chosen_node().kind === "container" ? ` ${quote(chosen_node().name)}` : ""}`)),
	el("div", { class: "fill map" }, el("div", { class: "stage" }, canvas, empty, el("div", { class: "caption" }, said, el("span", { class: "key line" }), "thicker: more bytes", el("span", { class: "key line warn" }), "some lost or failed", el("span", { class: "key line bad" }), "more than 5 % failed")), el("aside", { "aria-label": "What is chosen" }, story, table)));
	if (query.get("view")) { const [x, y, scale] = query.get("view").split(",").map(Number); if (scale > 0) camera = { x, y, scale }; }

	const chosen_node = () => graph.nodes.find(node => node_id(node) === chosen);
	const chosen_link = () => graph.links.find(link => link_name(link) === chosen);
	function keep_pins() {
		for (const name of [...pins.keys()].slice(0, -MAP_PINS_MAX)) pins.delete(name);
		const words = [...pins].map(([name, { x, y }]) => `${encodeURIComponent(name).replaceAll("~", "%7E")}|${Math.round(x)}|${Math.round(y)}`).join("~");
		set_query({ pin: words });
		words ? localStorage.setItem(pins_kept, words) : localStorage.removeItem(pins_kept);
		unpin_all.hidden = !pins.size;
	}
	function unpin(node) { pins.delete(node_id(node)); keep_pins(); rebuild(true); }
	unpin_all.hidden = !pins.size;

	async function load(force) {
		if (!force && Date.now() - asked < 400) return;
		asked = Date.now();
		try {
			if (source) {
				const found = await find_source(source);
				if (found.state === "failed") throw new Error(found.error);
				if (found.state !== "done") { said.textContent = "measuring…"; setTimeout(() => !gone && load(true), 500); return; }
				data = edges_of_capture(await json(`${found.path}format=json`));
			} else data = await json(`/api/edges?${time.now().query}`);
		} catch (error) {
			if (!gone && !data) no_edges(error);
			return;
		}
		if (gone) return;
		const missing = data.gaps.reduce((sum, [a, b]) => sum + b - a, 0);
		said.textContent = `${clock(data.from_ms)}–${clock(data.to_ms)}${missing ? `, ${digits(missing / 1000)} s of it not recorded` : ""}`;
		said.title = `${data.rung ? `by ${data.rung}` : ""}${data.misses ? `, which misses ${data.misses}` : ""}`;
		rebuild();
	}
	// An agent that keeps no edges can still measure them.
	function no_edges(error) {
		const measure = button("Watch connections for 5 s", async () => {
			try { source = `p${(await json("/api/profiles?series=0&seconds=5&kind=connections", { method: "POST" })).id}`; set_query({ a: source }); empty.replaceChildren("Watching…"); load(true); } catch (problem) { empty.append(el("br", {}), problem.message); }
		});
		fill(empty, `No map: ${error.message}`, el("br", {}), model.replay || !model.connected ? null : measure);
		empty.hidden = false;
	}

	function rebuild(again) {
		if (!data) return;
		const words = filter.value.toLowerCase();
		const shown = words ? { ...data, edges: data.edges.filter(edge => [edge.source, edge.target].some(end => data.ends[end].name.toLowerCase().includes(words))) } : data;
		if (words) {
			const used = new Set(shown.edges.flatMap(edge => [edge.source, edge.target])), numbers = new Map();
			shown.ends = data.ends.filter((end, i) => used.has(i) && numbers.set(i, numbers.size));
			shown.edges = shown.edges.map(edge => ({ ...edge, source: numbers.get(edge.source), target: numbers.get(edge.target) }));
		}
		const before = new Map(graph.nodes.map(node => [node.key, node])), made = map_graph(shown, by, opened);
		const same = !again && made.nodes.length === before.size && made.nodes.every(node => before.has(node.key));
		graph = made;
		if (same) for (const node of graph.nodes) ({ x: node.x, y: node.y } = before.get(node.key));
		else { map_layout(graph); if (!drag && !address().query.get("view")) camera = null; }
		for (const node of graph.nodes) if (pins.has(node_id(node))) Object.assign(node, pins.get(node_id(node)));
		// What the hand is on goes on under it.
		const again_of = node => node && (graph.nodes.find(other => other.key === node.key) || null);
		if (drag?.node) drag.node = again_of(drag.node);
		touched = again_of(touched);
		hovered = hovered && (graph.links.find(link => link.key === hovered.key) || null);
		for (const link of graph.links) link.curve = link_curve(link);
		empty.hidden = !!graph.nodes.length;
		if (!graph.nodes.length) fill(empty, data.edges.length ? "No connection matches the filter." : "No TCP connections in this range.");
		list();
		tell();
		redraw();
	}
	function list() {
		const node = chosen_node(), links = node ? graph.links.filter(link => link.source === node || link.target === node) : graph.links, focus = document.activeElement?.dataset?.link;
		fill(body, links.slice(0, MAP_ROWS_MAX).map(link => el("tr", { class: link.status === 2 ? "bad" : link.status ? "warn" : "" },
			el("td", {}, el("button", { type: "button", class: "plain", "data-link": link_name(link), onclick: () => choose(link_name(link)) }, link_name(link)), el("span", { class: "under" }, [[...link.ports].slice(0, 4).map(port => `:${port}`).join(" "), link.why].filter(Boolean).join(" · "))),
			el("td", {}, show["1/s"](link.rate)), el("td", {}, text("bytes/s", link.flow)), el("td", {}, rtt_words(link)))));
		if (focus) body.querySelector(`[data-link="${CSS.escape(focus)}"]`)?.focus();
		canvas.dataset.ports = graph.links.length <= MAP_LABELS_MAX ? graph.links.flatMap(link => [...link.ports].map(port => `:${port}`)).join(" ") : "";
		canvas.dataset.nodes = String(graph.nodes.length);
		canvas.dataset.links = String(graph.links.length);
	}
	function tell() {
		const node = chosen_node(), link = chosen_link();
		if (!node && !link) { fill(story, el("span", { class: "dim" }, `${graph.nodes.length} ends, ${graph.links.length} edges. A click on a container opens it, on an edge or another end says more here (of a container: with Shift). Drag an end to pin it, the ground to move, turn the wheel to zoom.`)); return; }
		if (link) {
			fill(story, el("b", {}, link_name(link)), el("dl", {}, ...[["opened", `${show["1"](link.opens)}, ${digits(link.rate)}/s`], ["failed", show["1"](link.failed)], ["open now", link.live === null ? "–" : show["1"](link.live)], ["sent", show.bytes(link.bytes_sent)], ["received", show.bytes(link.bytes_received)],
				["round trip, median", rtt_words(link)], ["sent again", `${show["1"](link.lost)} of ${show["1"](link.segments)} segments`], ["ports", [...link.ports].slice(0, 20).join(", ") || "–"]].flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, value)])),
			el("div", { class: "bar" }, button(link.source.name, () => choose(node_id(link.source))), button(link.target.name, () => choose(node_id(link.target))), button("All", () => choose(""))));
			return;
		}
		const { from, to } = time.span();
		fill(story, el("b", {}, node.name), el("p", { class: "dim" }, `${end_words(node)}; opens to ${node.out.length}, is opened by ${node.in.length}`),
			el("div", { class: "bar" }, node.series ? el("a", { class: "button", href: `#/container/${node.series}` }, "Container") : null, node.series ? el("a", { class: "button", href: `#/flame?${new URLSearchParams({ a: range_source(node.series, "profile", from, to) })}` }, "Flame graph") : null,
				node.kind === "group" ? button("Open the group", () => { opened.add(node.group); set_query({ open: [...opened].join("~") }); choose(""); rebuild(true); }) : null,
				node.group && opened.has(node.group) ? button("Close the group", () => { opened.delete(node.group); set_query({ open: [...opened].join("~") }); choose(""); rebuild(true); }) : null,
				pins.has(node_id(node)) ? button("Unpin", () => unpin(node)) : null, button("All", () => choose(""))));
	}
	function choose(name) { chosen = name; set_query({ sel: name }); list(); tell(); redraw(); }

	// ---- drawing
	function fit() {
		const width = canvas.clientWidth, height = canvas.clientHeight - 26, xs = graph.nodes.map(node => node.x), ys = graph.nodes.map(node => node.y);
		const left = Math.min(...xs) - 20, right = Math.max(...xs) + NODE_WIDTH + 20, top = Math.min(...ys) - 40, bottom = Math.max(...ys) + NODE_HEIGHT + 20;
		const scale = Math.min(width / (right - left), height / (bottom - top), 1.25);
		return { x: (left + right) / 2 - width / 2 / scale, y: (top + bottom) / 2 - height / 2 / scale, scale };
	}
	function redraw() { picture = null; schedule(); }
	function schedule() { if (!scheduled && !gone) { scheduled = true; requestAnimationFrame(paint); } }
	function paint() {
		scheduled = false;
		const { pen, width, height } = prepare(canvas);
		canvas.dataset.frames = String(Number(canvas.dataset.frames || 0) + 1);
		if (!graph.nodes.length || !width) return;
		const fitted = camera || fit();
		if (!camera && drag) camera = fitted;
		if (!picture || picture.width !== canvas.width || picture.height !== canvas.height) {
			const began = performance.now();
			draw_all(pen, fitted, width, height);
			picture = document.createElement("canvas");
			picture.width = canvas.width; picture.height = canvas.height;
			picture.getContext("2d").drawImage(canvas, 0, 0);
			picture.camera = { ...fitted };
			picture.cost = performance.now() - began;
			canvas.dataset.cost = picture.cost.toFixed(1);
			return;
		}
		const was = picture.camera;
		if (was.x === fitted.x && was.y === fitted.y && was.scale === fitted.scale) { pen.drawImage(picture, 0, 0, width, height); return; }
		if (picture.cost < 10) { picture = null; draw_all(pen, fitted, width, height); return; }
		const factor = fitted.scale / was.scale;
		pen.drawImage(picture, (was.x - fitted.x) * fitted.scale, (was.y - fitted.y) * fitted.scale, width * factor, height * factor);
		clearTimeout(idle);
		idle = setTimeout(redraw, 140); // sharp again when the hand rests
	}
	function draw_all(pen, { x, y, scale }, width, height) {
		const ratio = devicePixelRatio || 1, on = chosen_node(), link_on = chosen_link(), colour = [css("--dim"), css("--warm"), css("--bad")], panel = css("--panel"), line = css("--line"), ink = css("--text"), accent = css("--accent");
		pen.setTransform(ratio * scale, 0, 0, ratio * scale, -x * scale * ratio, -y * scale * ratio);
		const right = x + width / scale, bottom = y + height / scale, many = graph.links.length > 1000;
		const lit = link => link === link_on || link === hovered || [on, touched].some(node => node && (link.source === node || link.target === node));
		const inside = c => Math.max(c[0], c[2], c[4], c[6]) > x && Math.min(c[0], c[2], c[4], c[6]) < right && Math.max(c[1], c[3], c[5], c[7]) > y && Math.min(c[1], c[3], c[5], c[7]) < bottom;
		const seen = graph.links.filter(link => inside(link.curve));
		const batches = new Map();
		for (const link of seen) {
			const bright = lit(link), key = `${link.status}|${Math.round(link_width(link))}|${bright}`;
			if (!batches.has(key)) batches.set(key, { status: link.status, width: Math.round(link_width(link)), bright, path: new Path2D() });
			const c = link.curve, path = batches.get(key).path;
			path.moveTo(c[0], c[1]); path.bezierCurveTo(c[2], c[3], c[4], c[5], c[6], c[7]);
		}
		for (const batch of [...batches.values()].sort((a, b) => a.bright - b.bright || a.status - b.status)) {
			pen.strokeStyle = batch.bright && !batch.status ? accent : colour[batch.status];
			pen.globalAlpha = batch.bright ? 1 : on || link_on ? 0.12 : many ? batch.status ? 0.5 : 0.16 : batch.status ? 0.95 : 0.55;
			pen.lineWidth = batch.width;
			pen.stroke(batch.path);
		}
		pen.globalAlpha = 1;
		pen.textBaseline = "middle";
		labels = [];
		if (scale > 0.45) {
			pen.font = "11px system-ui, sans-serif";
			pen.textAlign = "center";
			const taken = labels, labelled = seen.filter(link => lit(link) || (link.source !== link.target && !on && !link_on && seen.length <= MAP_LABELS_MAX)).slice(0, MAP_LABELS_MAX * 2);
			for (const link of labelled.sort((a, b) => lit(b) - lit(a) || b.status - a.status)) {
				const lines = [link_rate(link), link_quality(link)].filter(Boolean), wide = Math.max(...lines.map(words => pen.measureText(words).width)) + 8, tall = 14 * lines.length;
				const place = label_place(link, wide, tall + 2, taken, lit(link) || link.status);
				if (place) {
					const { x: at, y: level } = place;
					pen.fillStyle = css("--back"); pen.globalAlpha = 0.88;
					pen.fillRect(at - wide / 2, level - tall / 2 - 1, wide, tall + 2);
					pen.globalAlpha = 1;
					lines.forEach((words, i) => {
						pen.fillStyle = i === lines.length - 1 && link.status ? colour[link.status] : ink;
						pen.fillText(words, at, level + 14 * (i - (lines.length - 1) / 2));
					});
				}
				arrow(pen, link, link.status ? colour[link.status] : colour[0]);
			}
		}
		for (const node of graph.nodes) {
			if (node.x > right || node.x + NODE_WIDTH < x || node.y > bottom || node.y + NODE_HEIGHT < y) continue;
			const worst = Math.max(0, ...node.in.map(link => link.status));
			const near = !on && !link_on || node === on || link_on?.source === node || link_on?.target === node || [...node.in, ...node.out].some(lit);
			pen.globalAlpha = near ? 1 : 0.35;
			pen.fillStyle = panel;
			pen.strokeStyle = node === on ? accent : worst ? colour[worst] : node.kind === "container" || node.kind === "group" ? accent : line;
			pen.lineWidth = node === on ? 3 : node === touched ? 2.25 : 1.25;
			pen.setLineDash(["external", "told", "unknown"].includes(node.kind) ? [4, 3] : []);
			pen.beginPath();
			pen.roundRect(node.x, node.y, NODE_WIDTH, NODE_HEIGHT, 7);
			pen.fill(); pen.stroke();
			pen.setLineDash([]);
			if (node.kind === "group") { pen.beginPath(); pen.moveTo(node.x + 6, node.y + NODE_HEIGHT + 3); pen.lineTo(node.x + NODE_WIDTH - 6, node.y + NODE_HEIGHT + 3); pen.stroke(); }
			if (scale < 0.3) continue;
			pen.textAlign = "left";
			pen.fillStyle = ink;
			pen.font = "600 12px system-ui, sans-serif";
			pen.fillText(shorten(pen, node.name, NODE_WIDTH - (pins.has(node_id(node)) ? 28 : 16)), node.x + 8, node.y + 13);
			if (pins.has(node_id(node))) { pen.beginPath(); pen.arc(node.x + NODE_WIDTH - 10, node.y + 11, 3.5, 0, 7); pen.fill(); }
			pen.fillStyle = css("--dim");
			pen.font = "11px system-ui, sans-serif";
			pen.fillText(shorten(pen, node_words(node), NODE_WIDTH - 16), node.x + 8, node.y + 28);
			pen.globalAlpha = 1;
		}
		pen.globalAlpha = 1;
		pen.setTransform(ratio, 0, 0, ratio, 0, 0);
		canvas.dataset.drawn = String(seen.length);
	}
	function node_words(node) {
		const now = node.series ? latest(node.series) : {};
		return known(now.cpu) ? `${show.cores(now.cpu)} cores · ${text("bytes", now.memory)}` : end_words(node);
	}
	function arrow(pen, link, colour) {
		const tip = curve_at(link.curve, 0.98), back = curve_at(link.curve, 0.92), angle = Math.atan2(tip.y - back.y, tip.x - back.x);
		pen.fillStyle = colour;
		pen.beginPath();
		pen.moveTo(tip.x + 3 * Math.cos(angle), tip.y + 3 * Math.sin(angle));
		for (const turn of [2.6, -2.6]) pen.lineTo(tip.x + 8 * Math.cos(angle + turn), tip.y + 8 * Math.sin(angle + turn));
		pen.fill();
	}

	// ---- the hand
	const world = event => { const box = canvas.getBoundingClientRect(), at = camera || fit(); return { x: (event.clientX - box.left) / at.scale + at.x, y: (event.clientY - box.top) / at.scale + at.y }; };
	// Ends that are drawn very small are met around them, too: the nearest.
	function node_at({ x, y }) {
		const around = Math.max(HIT_NODE / 2 / (camera || fit()).scale - NODE_HEIGHT / 2, 0), inside = node => x >= node.x - around && x <= node.x + NODE_WIDTH + around && y >= node.y - around && y <= node.y + NODE_HEIGHT + around;
		let best = null, nearest = Infinity;
		for (const node of graph.nodes) {
			if (!inside(node)) continue;
			const far = Math.max(Math.abs(x - node.x - NODE_WIDTH / 2) - NODE_WIDTH / 2, Math.abs(y - node.y - NODE_HEIGHT / 2) - NODE_HEIGHT / 2, 0);
			if (far <= nearest) { nearest = far; best = node; } // of those that overlap the one on top
		}
		return best;
	}
	const pin_at = ({ x, y }, node) => node && pins.has(node_id(node)) && Math.hypot(x - node.x - NODE_WIDTH + 10, y - node.y - 11) <= Math.max(8, 6 / (camera || fit()).scale);
	function link_at({ x, y }) {
		const reach = HIT_LINK / (camera || fit()).scale, words = labels.find(box => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom);
		if (words && graph.links.includes(words.link)) return words.link;
		let best = null, nearest = reach;
		for (const link of graph.links) {
			const c = link.curve, near = (a, at) => at >= Math.min(c[a], c[a + 2], c[a + 4], c[a + 6]) - reach && at <= Math.max(c[a], c[a + 2], c[a + 4], c[a + 6]) + reach;
			const far = near(0, x) && near(1, y) ? curve_distance(c, x, y) : Infinity;
			if (far < nearest) { nearest = far; best = link; }
		}
		return best;
	}
	let turning = 0; // the wheel: the address follows when it rests
	function keep_view() { clearTimeout(turning); turning = 0; set_query({ view: camera ? `${camera.x.toFixed(0)},${camera.y.toFixed(0)},${camera.scale.toFixed(3)}` : "" }); }
	function zoom(factor, at) {
		camera = { ...(camera || fit()) };
		const scale = Math.min(4, Math.max(0.02, camera.scale * factor));
		at ||= { x: camera.x + canvas.clientWidth / 2 / camera.scale, y: camera.y + canvas.clientHeight / 2 / camera.scale };
		camera.x = at.x - (at.x - camera.x) * camera.scale / scale;
		camera.y = at.y - (at.y - camera.y) * camera.scale / scale;
		camera.scale = scale;
		schedule();
	}
	const WHEEL_PIXELS = [1, 16, 400]; // of what it counts: pixels, lines, pages
	canvas.addEventListener("wheel", event => { event.preventDefault(); zoom(Math.exp(-event.deltaY * WHEEL_PIXELS[event.deltaMode] / 400), world(event)); clearTimeout(turning); turning = setTimeout(keep_view, 300); }, { passive: false });
	canvas.addEventListener("pointerdown", event => {
		if (!graph.nodes.length || event.button) return;
		canvas.setPointerCapture(event.pointerId);
		camera = { ...(camera || fit()) };
		drag = { at: world(event), from: { x: event.clientX, y: event.clientY }, node: node_at(world(event)), moved: false };
	});
	function touch(event) {
		const at = world(event), node = node_at(at), link = node ? null : link_at(at);
		canvas.title = pin_at(at, node) ? "unpin" : node ? `${node.name}: ${end_words(node)}${node.series ? "; a click opens it" : ""}` : link ? `${link_name(link)}: ${link_words(link)}` : "";
		canvas.style.cursor = node || link ? "pointer" : "grab";
		if (link === hovered && node === touched) return;
		hovered = link; touched = node;
		if (graph.links.length <= 1000) redraw();
	}
	canvas.addEventListener("pointermove", event => {
		if (!drag) { touch(event); return; }
		if (!drag.moved && Math.hypot(event.clientX - drag.from.x, event.clientY - drag.from.y) < 4) return;
		drag.moved = true;
		canvas.style.cursor = "grabbing";
		const now = world(event);
		if (drag.node) {
			drag.node.x += now.x - drag.at.x; drag.node.y += now.y - drag.at.y;
			drag.at = now;
			pins.delete(node_id(drag.node)); // the latest stands last
			pins.set(node_id(drag.node), { x: drag.node.x, y: drag.node.y });
			for (const link of [...drag.node.in, ...drag.node.out]) link.curve = link_curve(link);
			redraw();
		} else { camera.x -= now.x - drag.at.x; camera.y -= now.y - drag.at.y; schedule(); }
	});
	function pressed(event) {
		const at = world(event), node = node_at(at), link = node ? null : link_at(at);
		if (pin_at(at, node)) unpin(node);
		else if (node?.series && !event.shiftKey) { if (turning) keep_view(); location.hash = `#/container/${node.series}`; } else choose(node ? node_id(node) : link ? link_name(link) : "");
	}
	canvas.addEventListener("pointerup", event => {
		const was = drag;
		drag = null;
		if (!was) return;
		canvas.style.cursor = "grab";
		if (!was.moved) pressed(event); else if (was.node) { keep_pins(); tell(); } else keep_view();
	});
	canvas.addEventListener("pointercancel", () => { if (drag?.moved && drag.node) keep_pins(); drag = null; });
	canvas.addEventListener("pointerleave", () => { if (!drag && (touched || hovered)) { touched = hovered = null; redraw(); } });
	canvas.addEventListener("dblclick", event => { const node = node_at(world(event)); if (node?.kind === "group") { opened.add(node.group); set_query({ open: [...opened].join("~") }); rebuild(true); } });
	canvas.addEventListener("keydown", event => {
		const step = 60 / (camera || fit()).scale, move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
		if (move) { camera = { ...(camera || fit()) }; camera.x += move[0]; camera.y += move[1]; schedule(); keep_view(); } else if (event.key === "+" || event.key === "=") zoom(1.25); else if (event.key === "-") zoom(0.8); else if (event.key === "0") { camera = null; set_query({ view: "" }); redraw(); } else return;
		event.preventDefault(); event.stopPropagation();
	});

	// ---- files
	const map_rows = () => [["from", "to", "ports", "opens", "failed", "bytes_sent", "bytes_received", "rtt_ns", "segments", "lost"],
		...graph.links.map(link => [link.source.name, link.target.name, [...link.ports].join(" "), link.opens, link.failed, link.bytes_sent, link.bytes_received, link.rtt, link.segments, link.lost])];
	function map_svg() {
		const xs = graph.nodes.map(node => node.x), ys = graph.nodes.map(node => node.y), left = Math.min(...xs) - 20, top = Math.min(...ys) - 50, colour = [css("--dim"), css("--warm"), css("--bad")];
		const root = svg("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `${left} ${top} ${Math.max(...xs) + NODE_WIDTH + 20 - left} ${Math.max(...ys) + NODE_HEIGHT + 20 - top}`, "font-family": "sans-serif", "font-size": 11 });
		const words = (at, level, value, attributes) => { const made = svg("text", { x: at, y: level, fill: css("--text"), ...attributes }); made.textContent = value; return made; };
		root.append(svg("rect", { x: left, y: top, width: "100%", height: "100%", fill: css("--back") }));
		for (const link of graph.links) { const c = link.curve, path = svg("path", { d: `M${c[0]} ${c[1]}C${c.slice(2).join(" ")}`, fill: "none", stroke: colour[link.status], "stroke-width": link_width(link) }), title = svg("title", {}); title.textContent = `${link_name(link)}: ${link_words(link)}`; path.append(title); root.append(path); }
		if (graph.links.length <= MAP_LABELS_MAX) for (const link of graph.links) { const at = curve_at(link.curve, 0.5); root.append(words(at.x, at.y, link_words(link), { "text-anchor": "middle" })); }
		for (const node of graph.nodes) root.append(svg("rect", { x: node.x, y: node.y, width: NODE_WIDTH, height: NODE_HEIGHT, rx: 7, fill: css("--panel"), stroke: css("--accent") }), words(node.x + 8, node.y + 16, node.name.slice(0, 26), { "font-weight": 600 }), words(node.x + 8, node.y + 31, node_words(node).slice(0, 28), { fill: css("--dim") }));
		return new XMLSerializer().serializeToString(root);
	}
	const sized = new ResizeObserver(redraw);
	sized.observe(canvas);
	load(true);
	// Where an end or the middle of an edge is in the window.
	function where(name) {
		const box = canvas.getBoundingClientRect(), at = camera || fit(), on_screen = (x, y) => ({ x: box.left + (x - at.x) * at.scale, y: box.top + (y - at.y) * at.scale, scale: at.scale }), node = graph.nodes.find(one => one.name === name), link = graph.links.find(one => link_name(one) === name), middle = link && curve_at(link.curve, 0.5);
		return node ? { ...on_screen(node.x, node.y), width: NODE_WIDTH * at.scale, height: NODE_HEIGHT * at.scale } : link ? on_screen(middle.x, middle.y) : null;
	}
	return { period: time, where, edges: () => { if (!source && !time.now().to) load(true); }, live: () => { if (!model.paused && !source && !time.now().to) load(); }, search: filter, escape: () => chosen ? choose("") : history.back(), theme: redraw, leave: () => { gone = true; sized.disconnect(); clearTimeout(idle); clearTimeout(turning); } };
}

function shorten(pen, words, room) {
	if (pen.measureText(words).width <= room) return words;
	let low = 0, high = words.length;
	while (low < high) { const mid = (low + high + 1) >> 1; pen.measureText(`${words.slice(0, mid)}…`).width <= room ? low = mid : high = mid - 1; }
	return `${words.slice(0, low)}…`;
}
