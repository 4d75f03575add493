// SPDX-License-Identifier: Apache-2.0
// A busy Node.js: HTTP over loopback, JSON, hashes in JavaScript's thread, key derivation and compression in libuv's.
'use strict';
const crypto = require('crypto');
const http = require('http');
const zlib = require('zlib');

const order = JSON.stringify({ id: 1, items: Array.from({ length: 200 }, (_, i) => ({ sku: 'sku-' + i, price: i * 7 })) });

function total_of(order)
{
	let total = 0;
	for (const item of order.items)
		total += item.price;
	return total;
}

function answer(request, response)
{
	const chunks = [];
	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () => {
		const text = Buffer.concat(chunks).toString();
		const digest = crypto.createHash('sha256').update(text.repeat(20)).digest('hex');
		const total = total_of(JSON.parse(text));
		zlib.deflate(text, (error, packed) => {
			crypto.pbkdf2(digest, 'salt', 50, 32, 'sha256', () => response.end(String(total + packed.length)));
		});
	});
}

const server = http.createServer(answer);
const agent = new http.Agent({ keepAlive: true });

function ask(port)
{
	const request = http.request({ port, agent, method: 'POST', host: '127.0.0.1' }, (response) => {
		response.resume();
		response.on('end', () => ask(port));
	});
	request.end(order);
}

server.listen(0, '127.0.0.1', () => {
	for (let i = 0; i < 8; i++)
		ask(server.address().port);
});
