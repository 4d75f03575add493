// SPDX-License-Identifier: Apache-2.0
// replay.mjs CHROMIUM PROFILE_DIR LINK CONTAINER PICTURES_DIR : walks through the page of a capture that is shown and prints as JSON what was seen.
import { chromium } from "playwright-core";

const [program, profile, link, container, pictures] = process.argv.slice(2);
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"];
const context = await chromium.launchPersistentContext(profile, { executablePath: program, headless: true, args: flags, viewport: { width: 1280, height: 720 } });
const seen = { errors: [], commands: {} };
try {
	const page = context.pages()[0] ?? await context.newPage();
	page.setDefaultTimeout(120000);
	await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(link).origin });
	page.on("pageerror", error => seen.errors.push(String(error)));
	const until = async (what, argument) => {
		for (const end = Date.now() + 120000; !await page.evaluate(what, argument);) {
			if (Date.now() > end) throw new Error(`waited 30 s for ${what}`);
			await new Promise(done => setTimeout(done, 50));
		}
	};
	const go = hash => page.evaluate(hash => { location.hash = hash; }, hash);
	const copied = async view => {
		await page.evaluate(() => navigator.clipboard.writeText(""));
		await page.locator("button.copy").first().click();
		await until(async () => !!await navigator.clipboard.readText());
		seen.commands[view] = await page.evaluate(() => navigator.clipboard.readText());
	};

	await page.goto(link);
	const row = page.locator(`tbody tr[data-name="${container}"]`);
	await row.waitFor();
	seen.state = await page.locator("#state").textContent();
	seen.pause = await page.locator("#pause").isVisible();
	seen.verdict = await row.locator("td[data-key=verdict] a").innerText();
	seen.cpu = await row.locator("td[data-key=cpu]").innerText();
	await copied("overview");
	await page.screenshot({ path: `${pictures}/replay-overview.png` });
	await row.locator("a").first().click();
	await until(() => document.querySelector(".charts")?.dataset.drawn && document.querySelector("#heat") && !document.querySelector("#heat").closest("section").hidden);
	seen.measures = await page.locator("#start, #look").count();
	await copied("container");
	await page.screenshot({ path: `${pictures}/replay-container.png` });
	// a range of it, and with the back button all of it again
	const chart = await page.locator(".chart:not([hidden]) canvas").nth(1).boundingBox();
	await page.mouse.move(chart.x + chart.width * 0.55, chart.y + 30);
	await page.mouse.down();
	await page.mouse.move(chart.x + chart.width * 0.95, chart.y + 30, { steps: 3 });
	await page.mouse.up();
	await until(() => location.hash.includes("to="));
	seen.range = await page.evaluate(() => location.hash);
	await page.goBack();
	await until(() => !location.hash.includes("to="));
	await go("#/map");
	await page.locator("#map[data-links]").waitFor();
	seen.map = await page.locator(".stage .caption").innerText();
	await copied("map");
	await go("#/latency?what=runq");
	await until(() => Number(document.getElementById("latency")?.dataset.cells) > 0);
	await copied("latency");
	await go("#/flame");
	await page.locator("#picker").waitFor();
	await go(`#/flame?${new URLSearchParams({ a: await page.evaluate(() => range_source(0, "profile", model.replay.from_ms, model.replay.to_ms)) })}`);
	await page.locator("#view[data-ready]").waitFor();
	seen.flame = await page.locator("h1").innerText();
	await copied("flame");
	await go("#/flame?scope=1");
	await until(() => document.getElementById("scope")?.dataset.cells);
	seen.scope = Number(await page.locator("#scope").getAttribute("data-cells"));
	await go("#/host");
	await page.locator("#view[data-ready]").waitFor();
	seen.host = await page.getByRole("table", { name: "The first sixty seconds" }).innerText();
	await copied("host");
	await go("#/self");
	await page.getByRole("table", { name: "Probes" }).locator("tbody tr").first().waitFor();
	seen.self = await page.locator("h1").innerText();
	seen.banner = await page.locator("#banner").textContent();
} catch (error) {
	seen.failed = String(error);
	await context.pages()[0]?.screenshot({ path: `${pictures}/replay-failed.png` });
} finally {
	await context.close();
}
console.log(JSON.stringify(seen));
