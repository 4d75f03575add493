// SPDX-License-Identifier: Apache-2.0
// The other side: takes a signed payment, thinks for 4 ms, answers with JSON. `node bank.js PORT`
'use strict';
const http = require('http');

function answer(request, response)
{
	const chunks = [];

	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () => {
		const payment = JSON.parse(Buffer.concat(chunks));

		setTimeout(() => response.end(JSON.stringify({ reference: payment.id, state: 'captured' })), 4);
	});
}

http.createServer(answer).listen(Number(process.argv[2]), '127.0.0.1');
