// SPDX-License-Identifier: Apache-2.0
// part.mjs CHROMIUM PROFILE_DIR LINK CONTAINER PICTURES_DIR : of a page that shows a part of a capture: what it copies as commands, and what it shows itself; prints that as JSON.
import { walk } from "./walk.mjs";

const [program, profile, link, container, pictures] = process.argv.slice(2);

await walk(program, profile, link, pictures, async ({ page, seen, until, go, copied, file }) => {
	await page.locator(`tbody tr[data-name="${container}"]`).waitFor();
	seen.replay = await page.evaluate(() => model.replay);
	// all that is shown, and a piece of it: [what is opened, of edges; weight of a flame graph]
	const middle = await page.evaluate(() => Math.round((model.replay.from_ms + model.replay.to_ms) / 2)), seconds = 2;
	for (const [name, query, from, to] of [["all", "", seen.replay.from_ms, seen.replay.to_ms], ["piece", `?range=${seconds}&to=${middle}`, middle - 1000 * seconds, middle]]) {
		const one = seen[name] = {};
		await go(`#/map${query}`);
		await page.locator("#map[data-links]").waitFor();
		one.map = [await copied(), await page.evaluate(query => json(`/api/edges?${query}`).then(all => all.edges.reduce((sum, edge) => sum + edge.opens, 0)), `from_ms=${from}&to_ms=${to}`)];
		await go(`#/flame?${new URLSearchParams({ a: `r,0,profile,${from},${to}` })}`);
		await page.locator("#view[data-ready]").waitFor();
		one.profile = [await copied(), await page.evaluate(path => json(path).then(all => all.shapes[0].nodes.reduce((sum, node) => sum + node[2], 0)), `/api/flame?kind=profile&from_ms=${from}&to_ms=${to}&format=json`)];
		one.pprof = await file("pprof");
	}
	await go("#/latency?what=runq");
	await until(() => Number(document.getElementById("latency")?.dataset.cells) > 0);
	seen.all.latency = [await copied(), await page.evaluate(() => json(`/api/latency?what=runq&from_ms=${model.replay.from_ms}&to_ms=${model.replay.to_ms}`).then(all => all.count))];
});
