// SPDX-License-Identifier: Apache-2.0
// hand.mjs CHROMIUM PROFILE_DIR LINK CONTAINER PICTURES_DIR : what a hand does with a mouse on a live agent's page that has just begun; prints as JSON what was seen.
import { walk } from "./walk.mjs";

const [program, profile, link, container, pictures] = process.argv.slice(2);

await walk(program, profile, link, pictures, async ({ page, seen, until, go, file, picture }) => {
	const gaps_of = selector => page.locator(selector).evaluate(canvas => JSON.parse(canvas.dataset.gaps));

	// ---- the first seconds: nothing was recorded before them
	await until(name => model.self && model.rows.some(row => row.name === name), container);
	const series = await page.evaluate(name => model.rows.find(row => row.name === name).series, container);
	seen.early = { ticks: await page.evaluate(() => model.self.ticks) };
	await go(`#/latency?what=runq&series=${series}`);
	await until(() => document.getElementById("latency")?.dataset.gaps);
	seen.early.latency = await gaps_of("#latency");
	await go(`#/container/${series}`);
	await until(() => document.querySelector(".charts")?.dataset.drawn && document.getElementById("marks").dataset.gaps);
	seen.early.chart = await gaps_of("#marks");
	seen.early.span = await page.evaluate(() => current.period.span());
	await picture("early-container");
	await go("#/");
	await until(name => document.querySelector(`tbody tr[data-name="${name}"] td[data-key=cpu] svg path:not(.limit)`)?.getAttribute("d"), container);
	seen.early.spark = await page.evaluate(name => ({ path: document.querySelector(`tbody tr[data-name="${name}"] td[data-key=cpu] svg path:not(.limit)`).getAttribute("d"), at: Date.now() }), container);

	// ---- the map, of connections that are made up, whose numbers grow with each question
	const others = ["front", "store", "cache", "queue"], ends = [{ kind: "container", name: container, series }, ...others.map(name => ({ kind: "container", name })), { kind: "external", name: "203.0.113.9" }];
	let asked = 0;
	const edge = (source, target, more) => ({ source, target, ports: ["80"], live: 1, opens: 10 * ++asked, failed: 0, bytes_sent: 1e6, bytes_received: 1e6, segments: 100, lost: 0, rtt_p50_ns: 65536, ...more });
	await page.route("**/api/edges?**", route => route.fulfill({ json: { from_ms: Date.now() - 60000, to_ms: Date.now(), gaps: [], ends, edges: [edge(5, 1), edge(1, 0), edge(0, 2), edge(0, 3, { failed: 5 }), edge(3, 4)] } }));
	await go("#/map");
	await until(() => document.getElementById("map")?.dataset.links === "5");
	const where = name => page.evaluate(name => current.where(name), name), middle = one => ({ x: one.x + (one.width || 0) / 2, y: one.y + (one.height || 0) / 2 });
	const title = () => page.locator("#map").getAttribute("title");
	const drawn = async what => { // and what comes of it is drawn
		const frames = Number(await page.locator("#map").getAttribute("data-frames"));
		await what();
		await until(before => Number(document.getElementById("map").dataset.frames) > before, frames);
	};
	const news = async () => { const before = asked; await page.evaluate(() => current.edges()); for (let i = 0; asked === before && i < 2400; i++) await new Promise(done => setTimeout(done, 50)); };

	// what is drawn at a place is what the hand meets there: along a line through the lower edges of ends, where no words are and no edge ends
	seen.hits = [];
	for (const scale of [null, 0.5, 1, 2.5]) {
		if (scale) {
			const one = await page.evaluate(name => current.where(name), container);
			// the wheel, at the end itself, until it is as large as wanted
			for (let now = one.scale, i = 0; Math.abs(Math.log(now / scale)) > 0.02 && i < 60; i++) {
				const place = middle(await where(container));
				await page.mouse.move(place.x, place.y);
				await drawn(() => page.mouse.wheel(0, Math.max(-300, Math.min(300, -400 * Math.log(scale / now)))));
				now = (await where(container)).scale;
			}
		}
		const node = await where(container);
		const line = await page.evaluate(({ x, y, width, height }) => {
			const canvas = document.getElementById("map"), box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width, pen = canvas.getContext("2d", { willReadFrequently: true }), found = [];
			for (let at = x - 30; at < x + width + 30; at += 2) if (at > box.left && at < box.right) found.push([at, pen.getImageData(Math.round((at - box.left) * ratio), Math.round((y + height * 0.94 - box.top) * ratio), 1, 1).data[3] > 250]);
			return found;
		}, node);
		let wrong = 0;
		for (const [i, [x, is_drawn]] of line.entries()) {
			await page.mouse.move(x, node.y + node.height * 0.94);
			const is_met = (await title()).startsWith(`${container}: container`), is_edge = line.slice(Math.max(i - 2, 0), i + 3).some(one => one[1] !== is_drawn);
			if (is_met !== is_drawn && !is_edge) wrong++;
		}
		seen.hits.push({ scale: node.scale, points: line.length, drawn: line.filter(one => one[1]).length, wrong });
		await page.mouse.move(node.x - 15, node.y + node.height / 2 + 3); // where its edge comes in
		seen.hits.at(-1).edge = await title();
		await picture(`map-${node.scale.toFixed(2)}`);
	}
	// a click on a container opens it, and back is the map as it was
	const address_of = () => page.evaluate(() => location.hash);
	await drawn(() => page.locator("#map").press("0"));
	const ground = await page.locator("#map").boundingBox();
	await page.mouse.move(ground.x + ground.width / 2, ground.y + 30);
	await drawn(() => page.mouse.wheel(0, 40));
	await until(() => location.hash.includes("view="));
	seen.map = { view: await address_of(), scale: (await where(container)).scale };
	const press = async (place, options) => { await page.mouse.move(place.x, place.y); await page.mouse.down(options); await page.mouse.up(options); };
	const drag = async (from, by) => {
		await page.mouse.move(from.x, from.y);
		await page.mouse.down();
		for (let i = 1; i <= 4; i++) { await page.mouse.move(from.x + by.x * i / 4, from.y + by.y * i / 4); if (i === 2) await news(); } // news come while it is dragged
		await page.mouse.up();
	};
	await press(middle(await where(container)));
	await until(number => location.hash.startsWith(`#/container/${number}`), series);
	await page.locator("h1", { hasText: container }).waitFor();
	await page.goBack();
	await until(() => document.getElementById("map")?.dataset.links === "5");
	seen.map.back = await address_of();
	seen.map.scale_again = (await where(container)).scale;
	// another end and an edge are chosen instead, and a container with Shift
	await press(middle(await where("203.0.113.9")));
	seen.map.chosen = await page.locator("#story b").innerText();
	await press(await where(`front → ${container}`));
	seen.map.edge = await page.locator("#story b").innerText();
	await page.keyboard.down("Shift");
	await press(middle(await where(container)));
	await page.keyboard.up("Shift");
	seen.map.shift = await page.locator("#story b").innerText();
	await page.getByRole("button", { name: "All", exact: true }).click();

	// the ground moves, and nothing on it in itself
	const before = { one: await where(container), other: await where("store") };
	await drag({ x: ground.x + 15, y: ground.y + 15 }, { x: 60, y: 40 });
	const after = { one: await where(container), other: await where("store") };
	seen.map.moved = [after.one.x - before.one.x, after.one.y - before.one.y, after.other.x - before.other.x, after.other.y - before.other.y].map(Math.round);

	// an end is dragged while news come, and stays: after news, a reload, another view; its pin is in the address
	const shift = (from, to) => [to.x - from.x, to.y - from.y].map(Math.round);
	await drag(middle(after.other), { x: -50, y: 70 });
	const put = await where("store");
	seen.map.pinned = shift(after.other, put);
	await news(); await news();
	seen.map.after_news = shift(put, await where("store"));
	await picture("map-pinned");
	await page.reload();
	await until(() => document.getElementById("map")?.dataset.links === "5");
	seen.map.after_reload = shift(put, await where("store"));
	seen.map.pin_address = await address_of();
	await go("#/");
	await page.locator(`tbody tr[data-name="${container}"]`).waitFor();
	await go(seen.map.view.replace(/pin=[^&]*&?/, ""));
	await until(() => document.getElementById("map")?.dataset.links === "5");
	const one = await where(container), kept = await where("store");
	seen.map.kept = shift({ x: put.x - after.one.x, y: put.y - after.one.y }, { x: kept.x - one.x, y: kept.y - one.y });
	// its dot lets it go
	await press({ x: kept.x + kept.width - 10 * kept.scale, y: kept.y + 11 * kept.scale });
	seen.map.unpinned = [(await where("store")).x !== kept.x, await page.getByRole("button", { name: "Unpin all" }).isVisible(), await page.evaluate(() => localStorage.getItem("pins"))];
	seen.map.after_unpin = await address_of();
	await page.unroute("**/api/edges?**");

	// ---- causes alone: they are listed
	await go(`#/flame?${new URLSearchParams({ a: await page.evaluate(number => range_source(number, "offcpu", Date.now() - 60000, Date.now()), series), d: "classes" })}`);
	await page.locator("#view[data-ready]").waitFor();
	seen.causes = { head: await page.locator("aside th").last().innerText(), button: await page.locator("#list").innerText(), rows: await page.locator("#functions tr td:last-child").allInnerTexts() };
	await picture("causes");

	// ---- functions: a zoom is a step, what is searched for is listed alone, and the file is one of pprof's
	await until(number => json(`/api/flame?kind=profile&series=${number}&seconds=30`).then(() => true, () => false), series);
	await go(`#/flame?${new URLSearchParams({ a: await page.evaluate(number => range_source(number, "profile", Date.now() - 30000, Date.now()), series) })}`);
	await page.locator("#view[data-ready]").waitFor();
	seen.flame = { whole: await address_of(), rows: await page.locator("#functions tr").count() };
	seen.pprof = await file("pprof");
	const graph = page.locator("#graph"), floor = await graph.boundingBox(), zoomed = () => graph.evaluate(canvas => canvas.dataset.zoomed);
	await page.mouse.click(floor.x + 200, floor.y + floor.height - 4 - 19 * 1.5);
	await until(() => location.hash.includes("z="));
	seen.flame.zoomed = await zoomed();
	await page.goBack();
	await until(() => !location.hash.includes("z=") && document.getElementById("view").dataset.ready);
	seen.flame.back = [await address_of(), await zoomed()];
	await page.locator("#search").fill("three");
	seen.flame.found = await page.locator("#functions tr td:last-child").allInnerTexts();
	await page.locator("#search").fill("no such function");
	seen.flame.not_found = await page.locator("#functions").innerText();
	await picture("flame-searched");

	// ---- FlameScope: shorter cells, whole seconds by the axis, and what they are compared with
	await go(`#/flame?scope=1&series=${series}&range=30`);
	await until(() => Number(document.getElementById("scope")?.dataset.cells) > 0);
	const coarse = Number(await page.locator("#scope").getAttribute("data-cells"));
	await page.getByLabel("Length of a cell").selectOption("20");
	await until(before => Number(document.getElementById("scope")?.dataset.cells) > before, coarse);
	const scope = await page.locator("#scope").boundingBox();
	await page.mouse.click(scope.x + scope.width * 0.5, scope.y + scope.height - 5);
	await page.locator("#scope-count").waitFor();
	seen.scope = { address: await address_of(), says: await page.locator("#scope-range").innerText(), against: await page.getByRole("link", { name: "Against all of it" }).getAttribute("href") };
	await picture("scope-second");
});
