// SPDX-License-Identifier: Apache-2.0
// speed.mjs CHROMIUM PROFILE_DIR LINK CAPTURE_LINK CONTAINERS : how soon a live agent's page (LINK) shows a connection, and how fast the page is with the containers and edges of
// a capture (CAPTURE_LINK); prints JSON.
import { connect, createServer } from "node:net";
import { chromium } from "playwright-core";

const [program, profile, link, capture, containers] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const context = await chromium.launchPersistentContext(profile, { executablePath: program, headless: true, args: flags, viewport: { width: 1280, height: 720 } });
const seen = {};
try {
	const page = context.pages()[0] ?? await context.newPage();
	page.setDefaultTimeout(60000);
	await page.goto(link);
	await page.locator("#state", { hasText: "live" }).waitFor();
	// from a connection on this machine to its edge in the page
	await page.evaluate(() => { location.hash = "#/map?range=3"; }); // an edge lists a few ports: those of before are to leave
	await page.locator("#map[data-links]").waitFor();
	seen.edges_ms = [];
	for (let i = 0; i < 10; i++) {
		const server = createServer(socket => socket.resume());
		await new Promise(done => server.listen(0, "127.0.0.1", done));
		const port = server.address().port;
		await new Promise(done => setTimeout(done, 137 * i % 1000)); // not in step with the agent's second
		const shown = page.evaluate(port => new Promise(done => {
			const look = () => { if (document.querySelector(".map aside").textContent.includes(`:${port}`) || current && document.getElementById("map").dataset.ports?.includes(`:${port}`)) done(Date.now()); else setTimeout(look, 5); };
			look();
		}), port);
		const began = Date.now(), socket = connect(port, "127.0.0.1", () => socket.write("x"));
		seen.edges_ms.push(await shown - began);
		socket.destroy();
		server.close();
	}
	// from here on the capture is shown: all that is drawn has gone through the agent
	await page.goto(capture);
	await page.locator("#state", { hasText: "capture" }).waitFor();
	Object.assign(seen, await page.evaluate(async () => {
		const timed = async path => { const began = performance.now(), words = await (await ask(path)).text(); return [performance.now() - began, words.length]; };
		const [containers_ms] = await timed("/api/containers"), [edges_answer_ms, edges_bytes] = await timed(`/api/edges?from_ms=${model.replay.from_ms}&to_ms=${model.replay.to_ms}`);
		return { containers_ms, edges_answer_ms, edges_bytes };
	}));
	await page.reload();
	await page.locator(`table[aria-rowcount="${Number(containers) + 1}"] tbody tr`).nth(10).waitFor({ state: "attached" });
	Object.assign(seen, await page.evaluate(() => ({ table_ms: performance.now(), first_paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN })));
	// what a second costs: every container has new values, the rows are sorted anew, what is seen is laid out
	Object.assign(seen, await page.evaluate(() => {
		const times = [], rows = model.rows, values = () => ({ cpu: Math.random(), cpu_limit: 1, throttled: Math.random(), runqueue_wait: Math.random(), memory: 1e8 * Math.random(), memory_limit: 1e8, io_read: 1e6 * Math.random(), net_sent: 1e6 * Math.random(), pids: 5 });
		for (let second = 1; second <= 20; second++) {
			const interval = JSON.stringify({ ...model.self, time_ms: model.self.time_ms + 1000, resources: rows.map(row => ({ series: row.series, values: values(), waits: [[10, 5], [12, 9]] })) }), began = performance.now();
			take(JSON.parse(interval));
			current.live();
			document.body.offsetHeight; // lays it out
			times.push(performance.now() - began);
		}
		times.sort((a, b) => a - b);
		return { update_ms: times[10], update_most_ms: times.at(-1), drawn_rows: document.querySelectorAll("tbody tr[data-name]").length };
	}));
	await page.evaluate(() => { location.hash = "#/map?group=none"; });
	await page.locator("#map[data-cost]").waitFor();
	Object.assign(seen, await page.evaluate(() => { const { cost, nodes, links } = document.getElementById("map").dataset; return { draw_ms: Number(cost), nodes: Number(nodes), links: Number(links) }; }));
	// frames are counted as the browser hands them out while events arrive as from a hand
	const frames = () => page.evaluate(() => { window.times = []; window.counting = true; const next = time => { window.times.push(time); if (window.counting) requestAnimationFrame(next); }; requestAnimationFrame(next); });
	const result = () => page.evaluate(() => {
		window.counting = false;
		const gaps = window.times.slice(1).map((time, i) => time - window.times[i]), sum = gaps.reduce((a, b) => a + b, 0);
		return { frames: gaps.length, per_second: 1000 * gaps.length / sum, longest_ms: Math.max(...gaps) };
	});
	const box = await page.locator("#map").boundingBox();
	await page.mouse.move(box.x + 600, box.y + 40);
	await page.mouse.down();
	await frames();
	for (let i = 0; i < 120; i++) await page.mouse.move(box.x + 600 - 4 * i, box.y + 40 + i);
	seen.pan = await result();
	await page.mouse.up();
	await page.mouse.move(box.x + 400, box.y + 280);
	await frames();
	for (let i = 0; i < 120; i++) await page.mouse.wheel(0, i < 60 ? -20 : 20);
	seen.zoom = await result();
} finally {
	await context.close();
}
console.log(JSON.stringify(seen));
