/* Zoom, search and themes for a flame graph opened as a document of its own. The picture is complete without it.
   Every name is read from the picture's own text nodes and written as text: nothing is ever parsed as markup. */
/* include names.js */
(function () {
	const NS = "http://www.w3.org/2000/svg";
	const svg = document.documentElement;
	const frames = svg.getElementById("frames");
	const details = svg.getElementById("details");
	const geometry = frames.dataset;
	const WIDTH = Number(geometry.width), LEFT = Number(geometry.left), ROW = Number(geometry.row);
	const TOP = Number(geometry.top), ROWS = Number(geometry.rows), CHAR = Number(geometry.char);
	const idle = details.textContent;
	let inverted = geometry.inverted === "1", dark = matchMedia("(prefers-color-scheme: dark)").matches;
	let zoomed = 0, pattern = null;

	const boxes = [];
	for (const rect of frames.querySelectorAll("rect")) {
		const lines = rect.querySelector("title").textContent.split("\n");
		const y = Number(rect.getAttribute("y"));
		const depth = Math.round((inverted ? y - TOP : TOP + (ROWS - 1) * ROW - y) / ROW);
		const label = rect.nextElementSibling && rect.nextElementSibling.tagName === "text" ? rect.nextElementSibling : null;
		boxes.push({ rect, label, depth, x: Number(rect.getAttribute("x")) - LEFT,
			w: Number(rect.dataset.w || rect.getAttribute("width")), name: lines[0], about: lines.slice(1).join(" · "), parent: -1 });
	}
	const trail = [];
	boxes.forEach(function (box, i) {
		box.parent = box.depth ? trail[box.depth - 1] : -1;
		trail[box.depth] = i;
	});

	function percent(part, whole) {
		return whole > 0 ? (100 * part / whole).toFixed(part / whole < 0.001 ? 3 : 1) + " %" : "-";
	}

	function fit(name, width) {
		const room = Math.floor((width - 6) / CHAR);
		return room < 2 ? "" : fitName(name, room);
	}

	function label(box, x, width) {
		const text = fit(box.name, width);
		if (!text) {
			if (box.label) box.label.style.display = "none";
			return;
		}
		if (!box.label) {
			box.label = document.createElementNS(NS, "text");
			box.rect.after(box.label);
		}
		box.label.style.display = "";
		box.label.setAttribute("x", x + 3);
		box.label.setAttribute("y", Number(box.rect.getAttribute("y")) + 12.5);
		box.label.textContent = text;
	}

	function matches(box) {
		return pattern !== null && pattern.test(box.name);
	}

	function draw() {
		const focus = boxes[zoomed], scale = WIDTH / focus.w, above = new Set();
		for (let i = focus.parent; i >= 0; i = boxes[i].parent) above.add(i);
		boxes.forEach(function (box, i) {
			let x = (box.x - focus.x) * scale, w = box.w * scale;
			const ancestor = above.has(i);
			if (ancestor) {
				x = 0;
				w = WIDTH;
			}
			const shown = ancestor || (x + w > 0.001 && x < WIDTH - 0.001 && box.depth >= focus.depth && w >= 0.2);
			box.rect.style.display = shown ? "" : "none";
			if (!shown) {
				if (box.label) box.label.style.display = "none";
				return;
			}
			box.rect.setAttribute("x", LEFT + x);
			box.rect.setAttribute("width", Math.max(w - (w > 2 ? 0.5 : 0), 0.2));
			box.rect.setAttribute("y", TOP + (inverted ? box.depth : ROWS - 1 - box.depth) * ROW);
			box.rect.classList.toggle("above", ancestor);
			box.rect.classList.toggle("hit", matches(box));
			label(box, LEFT + x, w);
		});
		frames.classList.toggle("searching", pattern !== null);
		found();
	}

	/* Matched share of what is in view: a match inside a match counts once. */
	function found() {
		const out = svg.getElementById("matched"), covered = new Set();
		let sum = 0, count = 0;
		boxes.forEach(function (box, i) {
			if (covered.has(box.parent)) covered.add(i);
			else if (matches(box)) {
				covered.add(i);
				sum += box.w;
			}
			if (matches(box)) count++;
		});
		out.textContent = pattern ? "matched " + percent(sum, boxes[0].w) + " in " + count + " frames" : "";
	}

	function remember() {
		const parts = new URLSearchParams();
		if (zoomed) parts.set("z", zoomed);
		if (pattern) parts.set("q", input.value);
		if (inverted !== (geometry.inverted === "1")) parts.set("i", "1");
		history.replaceState(null, "", "#" + parts.toString());
	}

	function search(text) {
		try {
			pattern = text ? new RegExp(text, "i") : null;
		} catch (e) {
			pattern = new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
		}
		input.value = text;
		draw();
		remember();
	}

	function zoom(i) {
		zoomed = i;
		svg.getElementById("reset").style.display = i ? "" : "none";
		draw();
		remember();
	}

	function theme() {
		dark = !dark;
		for (const rule of svg.getElementById("style").sheet.cssRules)
			if (rule instanceof CSSMediaRule) rule.media.mediaText = dark ? "all" : "not all";
		svg.style.colorScheme = dark ? "dark" : "light";
	}

	function invert() {
		inverted = !inverted;
		draw();
		remember();
	}

	function boxOf(event) {
		const rect = event.target.closest ? event.target.closest("#frames rect") : null;
		return rect ? boxes.findIndex(box => box.rect === rect) : -1;
	}

	/* The controls exist only where they can work. */
	const host = document.createElementNS(NS, "foreignObject"), input = document.createElementNS("http://www.w3.org/1999/xhtml", "input");
	host.setAttribute("x", LEFT + WIDTH - 190);
	host.setAttribute("y", 8);
	host.setAttribute("width", 190);
	host.setAttribute("height", 30);
	input.type = "search";
	input.id = "search";
	input.placeholder = "Search (/)";
	input.setAttribute("aria-label", "Search functions");
	host.appendChild(input);
	svg.appendChild(host);
	svg.getElementById("reset").style.display = "none";
	frames.style.cursor = "pointer";

	input.addEventListener("input", () => search(input.value));
	svg.getElementById("reset").addEventListener("click", () => zoom(0));
	frames.addEventListener("click", function (event) {
		const i = boxOf(event);
		if (i >= 0) zoom(i);
	});
	frames.addEventListener("mouseover", function (event) {
		const i = boxOf(event);
		if (i < 0) return;
		const box = boxes[i], parent = box.parent >= 0 ? " · " + percent(box.w, boxes[box.parent].w) + " of its caller" : "";
		details.textContent = box.name + " · " + box.about + parent;
	});
	frames.addEventListener("mouseleave", () => { details.textContent = idle; });
	document.addEventListener("keydown", function (event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		if (event.key === "Escape") {
			input.blur();
			search("");
			zoom(0);
		} else if (event.target !== input) {
			const action = { "/": () => input.focus(), i: invert, t: theme }[event.key];
			if (!action) return;
			event.preventDefault();
			action();
		}
	});

	const start = new URLSearchParams(location.hash.slice(1));
	if (start.get("i")) inverted = !inverted;
	if (start.get("q")) search(start.get("q"));
	const at = Number(start.get("z"));
	if (at > 0 && at < boxes.length) zoom(at);
	else draw();
}());
