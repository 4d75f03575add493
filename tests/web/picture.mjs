// SPDX-License-Identifier: Apache-2.0
// picture.mjs CHROMIUM PROFILE_DIR LINK SECONDS [ADDRESS FILE]... : pictures of an agent's page, each some seconds after it was opened.
import { chromium } from "playwright-core";

const [program, profile, link, seconds, ...wanted] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, { executablePath: program, headless: true,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
	viewport: { width: 1280, height: 360 } });
const page = context.pages()[0] ?? await context.newPage();
await page.goto(link);
for (let i = 0; i + 1 < wanted.length; i += 2) {
	await page.evaluate(address => { location.hash = address; }, wanted[i]);
	await page.waitForTimeout(1000 * seconds);
	await page.screenshot({ path: wanted[i + 1] });
}
await context.close();
