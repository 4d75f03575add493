/* The interactive flame graph. The tree arrives as flat arrays in preorder (see html.c); a frame's children follow it,
   so that a frame too narrow to be seen is skipped together with everything above it, and drawing costs what is
   visible. Only what is in the pane is drawn. Names are written as text, never parsed as markup.
   Frames too small for the page are in it by name only: data.hidden is the weight of all stacks that have the function
   there and nowhere above.

   It is a page of its own, or a part of another one: then `root` is a shadow root that holds the elements of html.c, and
   `options` has hash (URLSearchParams of the state), remember(URLSearchParams), dark, theme() and start (name of a function to zoom to, where it weighs most). What is
   returned steers it: key(event), theme(dark), picture() (an SVG), center(name) (sandwich), stop(). */
/* include names.js */
function flame_graph(root, data, options) {
	const host = root.host || document.documentElement;
	const byId = id => root.getElementById(id);
	const pane = byId("pane"), canvas = byId("graph"), room = byId("room"), details = byId("details");
	const input = byId("search"), matched = byId("matched"), crumbs = byId("crumbs"), aside = root.querySelector("aside");
	const context = canvas.getContext("2d");
	const ROW = 19, MIN = 0.4, FONT = "12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
	const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
	const count = data.frame.length, total = data.total[0];
	const frame = Int32Array.from(data.frame), depth = Uint16Array.from(data.depth);
	const weight = Float64Array.from(data.total), self = Float64Array.from(data.self);
	const before = data.before ? Float64Array.from(data.before) : null;
	const start = new Float64Array(count), end = new Int32Array(count), parent = new Int32Array(count).fill(-1);
	const whole = { count, frame, weight, before, start, end }; /* what can be drawn; a sandwich has two more */
	const hidden = new Float64Array(data.names.length);
	data.hidden.forEach(([f, sum]) => { hidden[f] = sum; });

	/* Positions, parents and ends of subtrees from the preorder. */
	let deepest = 0;
	(function () {
		const cursor = [0], open = [];
		for (let i = 0; i < count; i++) {
			const d = depth[i];
			while (open.length > d) end[open.pop()] = i;
			parent[i] = open.length ? open[open.length - 1] : -1;
			open.push(i);
			start[i] = cursor[d];
			cursor[d] += weight[i];
			cursor[d + 1] = start[i];
			if (d > deepest) deepest = d;
		}
		while (open.length) end[open.pop()] = count;
	}());

	let inverted = data.inverted, dark = options.dark ?? matchMedia("(prefers-color-scheme: dark)").matches;
	let zoomed = 0, selected = -1, hovered = -1, hits = null, query = "";
	let sandwich = null, spot = null; /* spot: what the pointer is on in it */
	let view = { from: 0, to: total }, levels = deepest + 1, letter = 7, scheduled = false, flight = null;
	let widest = 0;
	if (before) for (let i = 0; i < count; i++) widest = Math.max(widest, Math.abs(weight[i] - before[i]));

	function name(i) {
		return i === 0 ? "all" : data.names[frame[i]];
	}

	function scaled(value, steps, units) {
		let unit = 0;
		for (; value >= steps && unit + 1 < units.length; unit++) value /= steps;
		return (value >= 99.95 || (unit === 0 && Number.isInteger(value)) ? value.toFixed(0) : value.toFixed(value >= 9.995 ? 1 : 2)) + units[unit];
	}

	function amount(value) {
		if (data.unit === "nanoseconds") return scaled(value, 1000, [" ns", " µs", " ms", " s"]);
		if (data.unit === "bytes") return scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
		return value < 10000 ? String(value) : scaled(value / 1000, 1000, ["k", "M", "G", "T"]);
	}

	function percent(part, whole) {
		if (!(whole > 0)) return "-";
		const share = 100 * part / whole;
		return (share !== 0 && Math.abs(share) < 0.1 ? share.toPrecision(1) : share.toFixed(1)) + " %";
	}

	function signed(change) {
		return (change > 0 ? "+" : change < 0 ? "−" : "") + amount(Math.abs(change));
	}

	function style(property) {
		return getComputedStyle(host).getPropertyValue(property).trim();
	}

	let colours = {};
	function readTheme() {
		colours = { page: style("--page"), text: style("--frame-text"), root: style("--root"), hit: style("--hit"), accent: style("--accent"),
			frames: dark ? data.dark : data.light, changes: dark ? data.change_dark : data.change_light };
	}

	function step(was, now) {
		const change = Math.abs(now - was), half = (colours.changes.length - 1) / 2;
		if (!change || !widest) return half;
		const steps = Math.min(half, Math.max(0, Math.ceil(Math.sqrt(change / widest) * half - 0.15)));
		return half + (now > was ? steps : -steps);
	}

	function fill(tree, i) {
		if (before) return colours.changes[step(tree.before[i], tree.weight[i])];
		return tree === whole && i === 0 ? colours.root : colours.frames[data.colour[tree.frame[i]]];
	}

	/* Row of a depth, from the top of the drawing. */
	function rowOf(d) {
		return inverted ? d : levels - 1 - d;
	}

	function isAncestor(i) {
		return i < zoomed && end[i] > zoomed;
	}

	/* Calls draw(i, x, width) for every frame of `tree` wide enough to be seen where `part` of it fills the width. */
	function visible(tree, part, width, draw) {
		const scale = width / (part.to - part.from);
		let i = 0;
		while (i < tree.count) {
			const x = (tree.start[i] - part.from) * scale, w = tree.weight[i] * scale;
			if (w < MIN || x >= width || x + w <= 0) {
				i = tree.end[i];
				continue;
			}
			draw(i, x, w);
			i++;
		}
	}

	function label(text, x, w) {
		const left = Math.max(x, 0), space = Math.floor((Math.min(x + w, canvas.clientWidth) - left - 7) / letter);
		if (space < 2) return;
		context.fillText(fitName(text, space), left + 4, 0);
	}

	function drawFrame(tree, i, x, w, y) {
		const root = tree === whole && i === 0, hit = hits && !root && hits[tree.frame[i]];
		const gap = w > 2 ? 0.6 : 0, dim = tree === whole && isAncestor(i);
		context.globalAlpha = hits && !sandwich ? (hit ? 1 : 0.32) : dim ? 0.5 : 1;
		context.fillStyle = hit ? colours.hit : fill(tree, i);
		if (w > 5) {
			context.beginPath();
			context.roundRect(x, y, w - gap, ROW - 1, 2);
			context.fill();
		} else {
			context.fillRect(x, y, Math.max(w - gap, MIN), ROW - 1);
		}
		context.globalAlpha = 1;
		const chosen = sandwich ? i === 0 : i === selected;
		if (chosen || (sandwich ? spot && spot.tree === tree && spot.i === i : i === hovered)) {
			context.strokeStyle = chosen ? colours.accent : colours.text;
			context.lineWidth = chosen ? 2 : 1;
			context.strokeRect(x + 0.5, y + 0.5, Math.max(w - gap - 1, 1), ROW - 2);
		}
		if (w > 3 * letter) {
			context.fillStyle = colours.text;
			context.save();
			context.translate(0, y + ROW / 2);
			label(root ? "all" : data.names[tree.frame[i]], x, w);
			context.restore();
		}
	}

	function draw() {
		scheduled = false;
		const width = pane.clientWidth, height = pane.clientHeight, ratio = devicePixelRatio || 1, top = pane.scrollTop;
		if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
			canvas.width = Math.round(width * ratio);
			canvas.height = Math.round(height * ratio);
			canvas.style.width = width + "px";
			canvas.style.height = height + "px";
		}
		context.setTransform(ratio, 0, 0, ratio, 0, 0);
		context.fillStyle = colours.page;
		context.fillRect(0, 0, width, height);
		context.font = FONT;
		context.textBaseline = "middle";
		letter = context.measureText("M").width;
		let drawn = 0;
		each(width, function (tree, i, x, w, row) {
			const y = row * ROW + lift() - top;
			if (y + ROW < 0 || y > height) return;
			drawFrame(tree, i, x, w, y);
			drawn++;
		});
		canvas.dataset.drawn = drawn;
		canvas.dataset.zoomed = name(zoomed);
		canvas.dataset.sandwich = sandwich ? data.names[sandwich.frame] : "";
		canvas.dataset.middle = sandwich ? sandwich.up * ROW + lift() - top + ROW / 2 : "";
	}

	/* Calls draw(tree, i, x, width, row) for all that is to be seen. */
	function each(width, draw) {
		if (!sandwich) {
			visible(whole, view, width, (i, x, w) => draw(whole, i, x, w, rowOf(depth[i])));
			return;
		}
		const all = { from: 0, to: sandwich.callees.weight[0] };
		visible(sandwich.callers, all, width, function (i, x, w) {
			if (i) draw(sandwich.callers, i, x, w, sandwich.up - sandwich.callers.depth[i]);
		});
		visible(sandwich.callees, all, width, (i, x, w) => draw(sandwich.callees, i, x, w, sandwich.up + sandwich.callees.depth[i]));
	}

	/* Flames stand on the floor of the pane when they are lower than it. */
	function lift() {
		if (sandwich) return Math.max(4, (pane.clientHeight - (sandwich.up + sandwich.down + 1) * ROW) / 2);
		return inverted ? 4 : Math.max(4, pane.clientHeight - levels * ROW - 4);
	}

	function schedule() {
		if (!scheduled) {
			scheduled = true;
			requestAnimationFrame(draw);
		}
	}

	/* The deepest frame to be seen decides how tall the drawing is. */
	function measure() {
		let most = 0;
		const width = pane.clientWidth;
		visible(whole, { from: start[zoomed], to: start[zoomed] + weight[zoomed] }, width, function (i) {
			if (depth[i] > most) most = depth[i];
		});
		levels = most + 1;
		if (sandwich) {
			sandwich.up = sandwich.down = 0;
			each(width, function (tree, i) {
				const side = tree === sandwich.callers ? "up" : "down";
				sandwich[side] = Math.max(sandwich[side], tree.depth[i]);
			});
		}
		room.style.height = (sandwich ? sandwich.up + sandwich.down + 1 : levels) * ROW + 8 + "px";
	}

	/* ---- the sandwich: who calls a function, above it, and what it calls, below ---- */

	/* A tree grown path by path, to be flattened into preorder. */
	function sprout(f) {
		return { f, weight: 0, before: 0, kids: null };
	}

	function grow(node, f) {
		if (!node.kids) node.kids = new Map();
		let kid = node.kids.get(f);
		if (!kid) node.kids.set(f, kid = sprout(f));
		return kid;
	}

	function add(node, i) {
		node.weight += weight[i];
		if (before) node.before += before[i];
	}

	function flatten(root) {
		const rows = [], open = [{ node: root, depth: 0, start: 0, parent: -1 }];
		while (open.length) {
			const row = open.pop();
			row.index = rows.length;
			rows.push(row);
			if (!row.node.kids) continue;
			const kids = Array.from(row.node.kids.values()).sort((a, b) => data.names[a.f] < data.names[b.f] ? -1 : 1);
			let at = row.start;
			const next = kids.map(function (node) {
				const kid = { node, depth: row.depth + 1, start: at, parent: row.index };
				at += node.weight;
				return kid;
			});
			while (next.length) open.push(next.pop());
		}
		const n = rows.length, ends = new Int32Array(n);
		for (let i = n - 1; i >= 0; i--) {
			ends[i] = Math.max(ends[i], i + 1);
			if (i) ends[rows[i].parent] = Math.max(ends[rows[i].parent], ends[i]);
		}
		return { count: n, frame: Int32Array.from(rows, r => r.node.f), weight: Float64Array.from(rows, r => r.node.weight),
			before: before ? Float64Array.from(rows, r => r.node.before) : null, start: Float64Array.from(rows, r => r.start),
			depth: Int32Array.from(rows, r => r.depth), end: ends };
	}

	/* Where the function calls itself, only the outermost call counts, so that no time counts twice. */
	function spread(f) {
		const callers = sprout(f), callees = sprout(f), path = [];
		for (let i = 1; i < count;) {
			if (frame[i] !== f) {
				i++;
				continue;
			}
			let node = callers;
			add(callers, i);
			for (let p = parent[i]; p > 0; p = parent[p]) add(node = grow(node, frame[p]), i);
			add(callees, i);
			path[depth[i]] = callees;
			for (let c = i + 1; c < end[i]; c++) {
				path[depth[c]] = grow(path[depth[c] - 1], frame[c]);
				add(path[depth[c]], c);
			}
			i = end[i];
		}
		return { frame: f, callers: flatten(callers), callees: flatten(callees), up: 0, down: 0 };
	}

	/* Puts frame `f` in the middle; -1: back to the whole. */
	function center(f) {
		const made = f >= 0 ? spread(f) : null;
		if (made && !made.callees.weight[0]) return false;
		sandwich = made;
		spot = null;
		byId("sandwich").setAttribute("aria-pressed", Boolean(sandwich));
		byId("invert").disabled = Boolean(sandwich);
		byId("reset").disabled = !sandwich && !zoomed;
		measure();
		if (sandwich) pane.scrollTop = (sandwich.up + 0.5) * ROW - pane.clientHeight / 2;
		else scrollTo(zoomed);
		showCrumbs();
		describeSpot();
		schedule();
		remember();
		return true;
	}

	/* Of the selected frame, of what was searched for, or of the function that heads the table. */
	function toggleSandwich() {
		if (sandwich) return center(-1);
		if (selected > 0) return center(frame[selected]);
		let best = -1;
		const sums = new Map();
		for (let i = 1; i < count; i++)
			if (hits ? hits[frame[i]] : self[i] > 0) sums.set(frame[i], (sums.get(frame[i]) || 0) + (hits ? weight[i] : self[i]));
		for (const [f, sum] of sums) if (best < 0 || sum > sums.get(best)) best = f;
		if (best >= 0) center(best);
	}

	function describeSpot() {
		if (!sandwich) return describe(selected);
		const tree = spot ? spot.tree : sandwich.callees, i = spot ? spot.i : 0, f = tree.frame[i];
		const strong = document.createElement("b"), parts = [], middle = data.names[sandwich.frame];
		strong.textContent = data.names[f];
		if (data.module[f] >= 0) parts.push(data.modules[data.module[f]]);
		parts.push(amount(tree.weight[i]) + (data.unit === "count" ? " samples" : ""), percent(tree.weight[i], total) + " of all");
		if (i) parts.push(percent(tree.weight[i], tree.weight[0]) + " of " + middle + (tree === sandwich.callers ? ", through this caller" : ", in this callee"));
		else if (hidden[f]) parts.push("and " + amount(hidden[f]) + " in frames too small for this page");
		if (before) parts.push("before " + amount(tree.before[i]) + ", " + signed(tree.weight[i] - tree.before[i]));
		details.replaceChildren(strong, " · " + parts.join(" · "));
	}

	function remember() {
		const parts = new URLSearchParams();
		if (zoomed) parts.set("z", zoomed);
		if (sandwich) parts.set("s", sandwich.frame);
		if (query) parts.set("q", query);
		if (inverted !== data.inverted) parts.set("i", "1");
		if (options.remember) options.remember(parts);
		else history.replaceState(null, "", "#" + parts.toString());
	}

	function showCrumbs() {
		const path = [];
		for (let i = zoomed; i > 0; i = parent[i]) path.unshift(i);
		crumbs.replaceChildren();
		if (sandwich) {
			const button = document.createElement("button");
			button.textContent = "all";
			button.addEventListener("click", () => center(-1));
			crumbs.append(button, "› callers of " + data.names[sandwich.frame] + " above it, what it calls below");
			return;
		}
		if (!path.length) return;
		for (const i of [0].concat(path)) {
			const button = document.createElement("button");
			button.textContent = name(i);
			button.title = name(i);
			button.addEventListener("click", () => zoom(i));
			if (i) crumbs.append("›");
			crumbs.append(button);
		}
	}

	function fly(to) {
		const from = view, began = performance.now();
		if (flight) cancelAnimationFrame(flight);
		flight = null;
		if (calm) {
			view = to;
			schedule();
			return;
		}
		(function frameOf() {
			const t = Math.min(1, (performance.now() - began) / 160), eased = t * (2 - t);
			view = t < 1 ? { from: from.from + (to.from - from.from) * eased, to: from.to + (to.to - from.to) * eased } : to;
			draw();
			flight = t < 1 ? requestAnimationFrame(frameOf) : null;
		}());
	}

	function scrollTo(i) {
		pane.scrollTop = inverted ? Math.max(0, depth[i] * ROW - pane.clientHeight / 3)
			: Math.min(room.clientHeight, (levels - 1 - depth[i]) * ROW - pane.clientHeight * 2 / 3);
	}

	function zoom(i) {
		zoomed = i;
		selected = i ? i : -1;
		byId("reset").disabled = !i;
		measure();
		scrollTo(i);
		fly({ from: start[i], to: start[i] + weight[i] });
		showCrumbs();
		describe(i);
		remember();
	}

	/* Weight of the stacks that match: at least and at most. What is in frames of the page is exact (a match inside a match
	   counts once). Of the frames too small for it, each function's weight is known, not who called whom: where several
	   match, they may be in the same stacks. */
	function matchedWeight() {
		let sum = 0, rest = 0, least = 0, most = 0, several = 0, i = 1;
		const above = new Float64Array(count); /* of a frame: what its frames in the page account for */
		while (i < count) {
			above[parent[i]] += weight[i];
			if (hits[frame[i]]) sum += weight[i];
			i = hits[frame[i]] ? end[i] : i + 1;
		}
		for (i = 0; i < count; i = i && hits[frame[i]] ? end[i] : i + 1)
			if (!i || !hits[frame[i]]) rest += weight[i] - self[i] - above[i];
		for (let f = 0; f < hits.length; f++) {
			if (!hits[f]) continue;
			several++;
			most += hidden[f];
			least = Math.max(least, hidden[f]);
		}
		most = Math.min(most + data.unnamed, rest);
		return several === 1 ? [sum + least, sum + least] : [Math.max(sum, least), sum + most];
	}

	function showMatched() {
		const [least, most] = matchedWeight().map(sum => percent(sum, total));
		matched.textContent = "matched " + (least === most ? most : least.replace(" %", "") + " to " + most);
		matched.title = least === most ? "" : "some matches are in frames too small for this page, and may be in the same stacks";
	}

	let pattern = null;
	function search(text) {
		pattern = null;
		query = text;
		if (input.value !== text) input.value = text;
		hits = null;
		matched.textContent = "";
		if (text) {
			try {
				pattern = new RegExp(text, "i");
			} catch (e) {
				pattern = new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
			}
			hits = Uint8Array.from(data.names, entry => pattern.test(entry) ? 1 : 0);
			showMatched();
		}
		if ((pattern && !picked(text) ? text : "") !== listed) table();
		schedule();
		remember();
	}

	function describe(i) {
		details.replaceChildren();
		if (i < 0) {
			details.textContent = data.elided ? data.elided + " smaller frames are left out of this page; totals include them" : "";
			return;
		}
		const strong = document.createElement("b"), parts = [];
		strong.textContent = name(i);
		if (i && data.module[frame[i]] >= 0) parts.push(data.modules[data.module[frame[i]]]);
		if (i) parts.push(data.groups[data.group[frame[i]]]);
		parts.push(amount(weight[i]) + (data.unit === "count" ? " samples" : ""), percent(weight[i], total) + " of all");
		if (parent[i] >= 0) parts.push(percent(weight[i], weight[parent[i]]) + " of its caller");
		parts.push("self " + amount(self[i]) + " (" + percent(self[i], total) + ")");
		if (before) parts.push("before " + amount(before[i]) + ", " + signed(weight[i] - before[i]));
		details.append(strong, " · " + parts.join(" · "));
	}

	function at(event) {
		const box = canvas.getBoundingClientRect(), x = event.clientX - box.left;
		const row = Math.floor((event.clientY - box.top + pane.scrollTop - lift()) / ROW);
		let found = null;
		each(pane.clientWidth, function (tree, i, left, w, at) {
			if (at === row && x >= left && x < left + Math.max(w, 1)) found = { tree, i };
		});
		return found;
	}

	function select(i) {
		if (i < 0) return;
		selected = i;
		describe(i);
		const y = rowOf(depth[i]) * ROW + lift();
		if (y < pane.scrollTop) pane.scrollTop = y;
		if (y + ROW > pane.scrollTop + pane.clientHeight) pane.scrollTop = y + ROW - pane.clientHeight;
		schedule();
	}

	/* The keyboard walks the tree: to the caller, to the widest callee, to the neighbours. */
	function walk(where) {
		const i = Math.max(selected, 0);
		let best = -1;
		if (where === "caller") best = parent[i];
		else if (where === "callee") {
			for (let c = i + 1; c < end[i]; c = end[c])
				if (best < 0 || weight[c] > weight[best]) best = c;
		} else if (parent[i] >= 0) {
			let last = -1;
			for (let c = parent[i] + 1; c < end[parent[i]]; c = end[c]) {
				if (where === "next" && last === i) best = c;
				if (where === "previous" && c === i) best = last;
				last = c;
			}
		}
		select(best);
	}

	function invert() {
		if (sandwich) return;
		inverted = !inverted;
		byId("invert").setAttribute("aria-pressed", inverted);
		pane.scrollTop = inverted ? 0 : room.clientHeight;
		schedule();
		remember();
	}

	function theme(wanted) {
		dark = wanted ?? !dark;
		host.dataset.theme = dark ? "dark" : "light";
		readTheme();
		legend();
		schedule();
	}

	function legend() {
		const box = byId("legend");
		box.replaceChildren();
		function entry(text, colour) {
			const span = document.createElement("span");
			span.textContent = text;
			span.style.setProperty("--swatch", colour);
			box.append(span);
		}
		if (before) {
			entry("more than before", colours.changes[colours.changes.length - 1]);
			entry("unchanged", colours.changes[(colours.changes.length - 1) / 2]);
			entry("less than before", colours.changes[0]);
		} else {
			const seen = new Map();
			data.group.forEach((g, f) => { if (!seen.has(g)) seen.set(g, data.colour[f]); });
			for (const g of Array.from(seen.keys()).sort((a, b) => a - b)) entry(data.groups[g], colours.frames[seen.get(g)]);
		}
		const keys = document.createElement("i");
		for (const [key, what] of [["/", "search"], ["Esc", "reset"], ["i", "invert"], ["s", "sandwich"], ["t", "theme"], ["f", "functions"], ["←↑↓→", "walk"], ["Enter", "zoom"]]) {
			const kbd = document.createElement("kbd");
			kbd.textContent = key;
			keys.append(kbd, " " + what + "  ");
		}
		keys.style.marginLeft = "auto";
		box.append(keys);
	}

	/* [frame of the capture, self, total, self before, total before, name, frame of the page or -1]. What is searched for is listed alone, unless
	   the search came from the list. */
	let order = before ? "change" : "self", listed = null;
	const listed_words = data.listed === "cause" ? "causes" : "functions";
	function wanted_row(row) {
		return !pattern || picked(query) || pattern.test(row[5]);
	}

	function picked(text) {
		return /^\^.*\$$/.test(text);
	}

	function table() {
		const body = byId("functions");
		const key = { self: row => row[1], total: row => row[2], change: row => Math.abs(row[1] - row[3]) }[order];
		listed = pattern && !picked(query) ? query : "";
		const rows = data.top.filter(row => (order !== "change" || row[1] !== row[3] || row[2] !== row[4]) && wanted_row(row)).sort((a, b) => key(b) - key(a) || b[2] - a[2]).slice(0, 300);
		body.replaceChildren();
		for (const row of rows) {
			const tr = document.createElement("tr");
			const cells = before ? [signed(row[1] - row[3]), amount(row[1]), amount(row[2])]
				: [percent(row[1], total), percent(row[2], total)];
			for (const text of cells) tr.insertCell().textContent = text;
			if (before && row[1] !== row[3]) tr.cells[0].className = row[1] > row[3] ? "more" : "less";
			const last = tr.insertCell();
			last.textContent = row[5];
			last.title = row[5] + (before ? "" : " · self " + amount(row[1]) + " · total " + amount(row[2]));
			tr.tabIndex = 0;
			const pick = function () {
				if (!sandwich || row[6] < 0 || !center(row[6])) search("^" + row[5].replace(/[.*+?^${}()|[\]\\]/g, "\\$&") + "$");
			};
			tr.addEventListener("click", pick);
			tr.addEventListener("keydown", event => { if (event.key === "Enter") pick(); });
			body.append(tr);
		}
		if (!rows.length && data.top.length) {
			const cell = body.insertRow().insertCell();
			cell.colSpan = 4;
			cell.textContent = listed ? "None of the listed " + listed_words + " matches." : "None of the " + listed_words + " weighs more or less than before.";
		}
		for (const button of root.querySelectorAll("th button[data-order]"))
			button.setAttribute("aria-pressed", button.dataset.order === order);
	}

	function functions() {
		aside.hidden = !aside.hidden;
		byId("list").setAttribute("aria-pressed", !aside.hidden);
		resize();
	}

	function resize() {
		measure();
		schedule();
	}

	function reset() {
		search("");
		input.blur();
		if (sandwich) return center(-1);
		zoom(0);
		selected = -1;
		describe(-1);
	}

	input.addEventListener("input", () => search(input.value));
	byId("reset").addEventListener("click", reset);
	byId("invert").addEventListener("click", invert);
	byId("sandwich").addEventListener("click", toggleSandwich);
	byId("theme")?.addEventListener("click", () => theme());
	byId("list").addEventListener("click", functions);
	for (const button of root.querySelectorAll("th button[data-order]"))
		button.addEventListener("click", () => { order = button.dataset.order; table(); });
	canvas.addEventListener("click", function (event) {
		const found = at(event);
		if (!found) return;
		if (sandwich) center(found.tree.frame[found.i]);
		else zoom(found.i);
	});
	canvas.addEventListener("mousemove", function (event) {
		const found = at(event);
		if (sandwich) {
			if (found ? spot && spot.tree === found.tree && spot.i === found.i : !spot) return;
			spot = found;
			describeSpot();
		} else {
			const i = found ? found.i : -1;
			if (i === hovered) return;
			hovered = i;
			describe(i >= 0 ? i : selected);
		}
		canvas.title = !found ? "" : sandwich ? data.names[found.tree.frame[found.i]] : name(found.i);
		schedule();
	});
	canvas.addEventListener("mouseleave", function () {
		hovered = -1;
		spot = null;
		describeSpot();
		schedule();
	});
	pane.addEventListener("scroll", schedule);
	const sized = new ResizeObserver(resize);
	sized.observe(pane);
	function key(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		if (event.key === "Escape") return reset();
		if (event.composedPath()[0] === input) return;
		const focus = root.activeElement;
		const action = { "/": () => input.focus(), i: invert, s: toggleSandwich, t: () => byId("theme")?.click(), f: functions }[event.key]
			|| !sandwich && (focus === canvas || !focus || focus === document.body) && {
				ArrowLeft: () => walk("previous"), ArrowRight: () => walk("next"),
				ArrowUp: () => walk(inverted ? "caller" : "callee"), ArrowDown: () => walk(inverted ? "callee" : "caller"),
				Enter: () => { if (selected >= 0) zoom(selected); } }[event.key];
		if (!action) return;
		event.preventDefault();
		action();
	}

	/* What is to be seen, as a picture. */
	function picture() {
		const width = pane.clientWidth, escape = text => text.replace(/[<>&"]/g, one => "&#" + one.charCodeAt(0) + ";").replace(/[\u0000-\u001f]/g, "\ufffd");
		let boxes = "", low = Infinity, high = -Infinity;
		each(width, function (tree, i, x, w, row) {
			const y = row * ROW, left = Math.max(x, 0), space = Math.floor((Math.min(x + w, width) - left - 7) / letter);
			const words = tree === whole && i === 0 ? "all" : data.names[tree.frame[i]];
			low = Math.min(low, y);
			high = Math.max(high, y + ROW);
			boxes += "<g><title>" + escape(words + ": " + amount(tree.weight[i]) + ", " + percent(tree.weight[i], total)) + "</title><rect x=\"" + left.toFixed(1) + "\" y=\"" + y
				+ "\" width=\"" + Math.max(Math.min(x + w, width) - left - 0.6, 0.4).toFixed(1) + "\" height=\"" + (ROW - 1) + "\" rx=\"2\" fill=\"" + fill(tree, i) + "\"/>"
				+ (space > 2 ? "<text x=\"" + (left + 4).toFixed(1) + "\" y=\"" + (y + 13) + "\">" + escape(fitName(words, space)) + "</text>" : "") + "</g>\n";
		});
		return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 " + low + " " + width + " " + (high - low) + "\" font-family=\"monospace\" font-size=\"12\" fill=\"" + colours.text + "\">\n"
			+ "<rect y=\"" + low + "\" width=\"100%\" height=\"100%\" fill=\"" + colours.page + "\"/>\n" + boxes + "</svg>\n";
	}

	const hash = options.hash || new URLSearchParams(location.hash.slice(1));
	readTheme();
	legend();
	aside.querySelector("th:last-child").textContent = listed_words.slice(0, -1);
	byId("list").textContent = listed_words[0].toUpperCase() + listed_words.slice(1);
	table();
	if (hash.get("i")) inverted = !inverted;
	byId("invert").setAttribute("aria-pressed", inverted);
	measure();
	pane.scrollTop = inverted ? 0 : room.clientHeight;
	describe(-1);
	if (hash.get("q")) search(hash.get("q"));
	const wanted = Number(hash.get("z"));
	if (Number.isInteger(wanted) && wanted > 0 && wanted < count) zoom(wanted);
	byId("reset").disabled = !zoomed;
	if (!hash.has("z") && options.start) {
		let widest = 0; /* of several of that name */
		for (let i = 1; i < count; i++) if (data.names[frame[i]] === options.start && (!widest || weight[i] > weight[widest])) widest = i;
		if (widest) zoom(widest);
	}
	if (hash.has("s")) center(Number(hash.get("s")));
	draw();
	host.dataset.ready = "1";
	return { key, theme, picture, stop: () => sized.disconnect(), center: wanted => { const f = data.names.indexOf(wanted); return f >= 0 && center(f); } };
}
if (document.getElementById("data")) {
	const graph = flame_graph(document, JSON.parse(document.getElementById("data").textContent), {});
	document.addEventListener("keydown", graph.key);
	document.body.dataset.ready = "1";
}
