/* SPDX-License-Identifier: Apache-2.0 */
"use strict";
(function () {
	const ZOOM_MOST = 12, ZOOM_STEP = 1.25, MOVED = 4;
	const byId = (id) => document.getElementById(id);
	const map = byId("map"), story = byId("story"), search = byId("search"), hint = story.textContent;
	const links = [...map.querySelectorAll(".link")], nodes = [...map.querySelectorAll(".node")];
	const whole = { ...boxOf(map.viewBox.baseVal) };
	let view = { ...whole }, drag = null, kept = null;

	function boxOf(box) {
		return { x: box.x, y: box.y, width: box.width, height: box.height };
	}

	function show() {
		map.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
	}

	/* Units of the picture for one pixel of the screen. */
	function scale() {
		const room = map.getBoundingClientRect();
		return Math.max(view.width / room.width, view.height / room.height) || 1;
	}

	function fit() {
		const room = map.getBoundingClientRect();
		/* Small maps are not blown up beyond twice their size. */
		const grow = Math.max(1, room.width / whole.width / 2, room.height / whole.height / 2);
		const most = Math.min(room.width / whole.width, room.height / whole.height) > 2 ? grow : 1;
		view = { x: whole.x - whole.width * (most - 1) / 2, y: whole.y - whole.height * (most - 1) / 2, width: whole.width * most, height: whole.height * most };
		show();
	}

	/* The place in the picture below a point of the screen. */
	function place(x, y) {
		const matrix = map.getScreenCTM();
		return matrix ? new DOMPoint(x, y).matrixTransform(matrix.inverse()) : { x: view.x, y: view.y };
	}

	function zoom(factor, x, y) {
		const room = map.getBoundingClientRect();
		const at = place(x ?? room.x + room.width / 2, y ?? room.y + room.height / 2);
		const width = Math.min(Math.max(view.width / factor, whole.width / ZOOM_MOST), whole.width * 4);
		const by = width / view.width;
		view = { x: at.x - (at.x - view.x) * by, y: at.y - (at.y - view.y) * by, width, height: view.height * by };
		show();
	}

	function titleOf(item) {
		return item.querySelector("title").textContent;
	}

	/* A node's neighbours, or a link's ends. */
	function nearOf(item) {
		if (item.dataset.node === undefined)
			return [item, ...nodes.filter((node) => [item.dataset.source, item.dataset.target].includes(node.dataset.node))];
		const own = links.filter((link) => link.dataset.source === item.dataset.node || link.dataset.target === item.dataset.node);
		const ends = new Set(own.flatMap((link) => [link.dataset.source, link.dataset.target]));
		return [item, ...own, ...nodes.filter((node) => ends.has(node.dataset.node))];
	}

	function light(items) {
		for (const item of [...links, ...nodes])
			item.classList.toggle("near", items.includes(item));
		map.classList.toggle("chosen", items.length > 0);
	}

	function tell(item) {
		if (!item) {
			story.textContent = hint;
			light([]);
			return;
		}
		const near = nearOf(item);
		story.textContent = item.dataset.node === undefined ? titleOf(item)
			: [titleOf(item), ...near.filter((one) => one.dataset.source !== undefined).map((link) => "  " + titleOf(link).split("\n").slice(0, 3).join("  "))].join("\n");
		light(near);
	}

	function keep(item) {
		kept?.classList.remove("kept");
		kept = item === kept ? null : item;
		kept?.classList.add("kept");
		tell(kept);
	}

	function find() {
		const word = search.value.trim().toLowerCase();
		const hits = word ? nodes.filter((node) => titleOf(node).toLowerCase().includes(word)) : [];
		byId("found").textContent = word ? `${hits.length} found` : "";
		light(hits.flatMap(nearOf));
	}

	function theme() {
		const root = document.documentElement;
		const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
		root.dataset.theme = dark ? "light" : "dark";
	}

	for (const item of [...links, ...nodes]) {
		item.addEventListener("pointerenter", () => kept || tell(item));
		item.addEventListener("pointerleave", () => kept || tell(null));
		item.addEventListener("focus", () => kept || tell(item));
		item.addEventListener("keydown", (event) => event.key === "Enter" && keep(item));
	}
	map.addEventListener("pointerdown", (event) => {
		drag = { x: event.clientX, y: event.clientY, item: event.target.closest(".link, .node"), far: false };
	});
	addEventListener("pointermove", (event) => {
		if (!drag)
			return;
		const by = scale(), x = event.clientX - drag.x, y = event.clientY - drag.y;
		if (!drag.far && Math.hypot(x, y) < MOVED)
			return;
		drag.far = true;
		map.classList.add("moving");
		view.x -= x * by;
		view.y -= y * by;
		drag.x = event.clientX;
		drag.y = event.clientY;
		show();
	});
	addEventListener("pointerup", () => {
		map.classList.remove("moving");
		if (drag && !drag.far)
			keep(drag.item);
		drag = null;
	});
	map.addEventListener("wheel", (event) => {
		event.preventDefault();
		zoom(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, event.clientX, event.clientY);
	}, { passive: false });
	byId("larger").addEventListener("click", () => zoom(ZOOM_STEP));
	byId("smaller").addEventListener("click", () => zoom(1 / ZOOM_STEP));
	byId("fit").addEventListener("click", fit);
	byId("theme").addEventListener("click", theme);
	search.addEventListener("input", find);
	addEventListener("keydown", (event) => {
		if (event.key === "Escape") {
			search.value = "";
			byId("found").textContent = "";
			keep(kept);
			fit();
		}
		if (event.target === search)
			return;
		const action = { "/": () => search.focus(), "+": () => zoom(ZOOM_STEP), "-": () => zoom(1 / ZOOM_STEP), "0": fit, t: theme }[event.key];
		if (action && !event.ctrlKey && !event.metaKey) {
			event.preventDefault();
			action();
		}
	});
	addEventListener("resize", show);
	fit();
})();
