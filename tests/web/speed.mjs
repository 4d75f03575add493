// SPDX-License-Identifier: Apache-2.0
// speed.mjs CHROMIUM PROFILE_DIR LINK CONTAINERS EDGES : how fast a live agent's page is with made-up containers and edges; prints JSON.
import { connect, createServer } from "node:net";
import { chromium } from "playwright-core";

const [program, profile, link, containers, edges] = process.argv.slice(2);
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
	await page.evaluate(() => { location.hash = "#/"; });
	// from here on the agent's answers are replaced before the page's own scripts run
	await page.addInitScript(([containers, edges]) => {
		let state = 7;
		const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
		const rows = Array.from({ length: containers }, (_, i) => ({ resource: "container", name: `service${i % 60}-${i}`, series: i + 1, image: `image${i % 60}`, runtime: "docker", oom_kills: 0, verdict: "" }));
		const half = containers >> 1;
		const links = Array.from({ length: edges }, () => ({ source: Math.floor(random() * half), target: half + Math.floor(random() * half), ports: ["80"], opens: Math.floor(random() * 1000), failed: random() < 0.03 ? 30 : 0,
			bytes_sent: random() * 1e6, bytes_received: random() * 1e7, segments: 100, lost: 0, rtt_ns: 1e5 }));
		const names = ["cpu", "memory", "runqueue_wait", "throttled"];
		const answers = {
			"/api/containers": () => ({ time_ms: Date.now(), containers: rows }),
			"/api/edges": () => ({ from_ms: Date.now() - 60000, to_ms: Date.now(), gaps: [], ends: rows.map(row => ({ kind: "container", name: row.name, series: row.series })), edges: links }),
			"/api/series": () => ({ from_ms: Date.now() - 300000, step_ms: 5000, steps: 60, resources: rows.map(row => ({ series: row.series, name: row.name, values: Object.fromEntries(names.map(name => [name, Array.from({ length: 60 }, random)])) })) }),
		};
		const real = window.fetch;
		window.fetch = (path, options) => { const made = answers[String(path).split("?")[0]]; return made ? Promise.resolve(new Response(JSON.stringify(made()))) : real(path, options); };
	}, [Number(containers), Number(edges)]);
	await page.reload();
	await page.locator(`table[aria-rowcount="${Number(containers) + 1}"] tbody tr`).nth(10).waitFor({ state: "attached" });
	Object.assign(seen, await page.evaluate(() => ({ table_ms: performance.now(), first_paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN })));
	await page.locator("#state", { hasText: "live" }).waitFor();
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
