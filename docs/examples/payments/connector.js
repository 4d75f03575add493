// SPDX-License-Identifier: Apache-2.0
// A payment connector: signs each payment (JSON with sorted keys, RSA-2048) and sends it to the bank, four at a time. It prints
// how many it did every second. `node connector.js PORT [parsed]`: with `parsed` the key is read once, not for each payment.
'use strict';
const crypto = require('crypto');
const http = require('http');

const agent = new http.Agent({ keepAlive: true });
const pair = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = process.argv[3] === 'parsed' ? pair.privateKey : pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
let done = 0;

function make_payment(id)
{
	const items = Array.from({ length: 20 }, (_, i) => ({ sku: 'sku-' + i, cents: 100 + i }));

	return { merchant: 'shop', currency: 'EUR', id, items, cents: items.reduce((sum, item) => sum + item.cents, 0) };
}

function canonical(value)
{
	if (Array.isArray(value))
		return '[' + value.map(canonical).join(',') + ']';
	if (typeof value !== 'object')
		return JSON.stringify(value);
	return '{' + Object.keys(value).sort().map((name) => JSON.stringify(name) + ':' + canonical(value[name])).join(',') + '}';
}

function sign_payment(text)
{
	return crypto.sign('sha256', Buffer.from(text), key).toString('base64');
}

function send_payment(id)
{
	const text = canonical(make_payment(id));
	const headers = { 'x-signature': sign_payment(text), 'content-length': Buffer.byteLength(text) };
	const request = http.request({ host: '127.0.0.1', port: process.argv[2], agent, method: 'POST', headers }, (response) => {
		const chunks = [];

		response.on('data', (chunk) => chunks.push(chunk));
		response.on('end', () => {
			if (JSON.parse(Buffer.concat(chunks)).state === 'captured')
				done++;
			send_payment(id + 4);
		});
	});

	request.end(text);
}

for (let id = 0; id < 4; id++)
	send_payment(id);
setInterval(() => { console.log(done); done = 0; }, 1000);
