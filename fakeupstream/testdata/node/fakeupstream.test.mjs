// The fake upstream from Node: node:test and nothing else.
// FAKEUPSTREAM names the program; node --test runs this.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import https from 'node:https';
import readline from 'node:readline';
import { after, before, test } from 'node:test';

let program, up, agent;
const bounded = { timeout: 20_000 };

// The program leaves when its standard input closes, so a test that dies takes
// it along.
before(async () => {
  program = spawn(process.env.FAKEUPSTREAM ?? 'fakeupstream', [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(readline.createInterface(program.stdout), 'line');
  up = JSON.parse(line);
  agent = new https.Agent({ ca: up.ca_pem, keepAlive: true });
});

after(async () => {
  agent.destroy();
  program.stdin.end();
  await once(program, 'exit');
});

// control calls the control port and returns the JSON that it answers with.
async function control(method, path, body) {
  const response = await fetch(up.control + path, { method, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, text);
  return text && JSON.parse(text);
}

// request is the client under test.
async function request(path, { body, ...options } = {}) {
  const sent = https.request(up.url + path, { agent, timeout: 20_000, ...options });
  sent.end(body);
  const [response] = await once(sent, 'response');
  return response;
}

async function text(response) {
  let all = '';
  for await (const piece of response.setEncoding('utf8')) all += piece;
  return all;
}

test('a request is recorded', bounded, async () => {
  const response = await request('/v1/things?a=%2F', {
    method: 'POST', body: 'hello', headers: { Authorization: 'Bearer s3cret', 'Content-Length': 5 },
  });
  assert.equal(JSON.parse(await text(response)).body, 'hello');
  const seen = await control('GET', '/requests/wait?path=/v1/things');
  assert.equal(seen.target, '/v1/things?a=%2F');
  assert.deepEqual(seen.fields.find(([name]) => name === 'Authorization'), ['Authorization', 'Bearer s3cret']);
  assert.equal(seen.complete, true);
});

test('a stream in lock-step', bounded, async () => {
  const response = (await request('/sse?name=s')).setEncoding('utf8');
  const events = response[Symbol.asyncIterator]();
  for (const data of ['one', 'two']) {
    await control('POST', '/events', { stream: 's', data });
    assert.equal((await events.next()).value, `data: ${data}\n\n`);
  }
  response.destroy();
  await control('GET', '/streams/wait?stream=s&state=gone');
});

test('a fault', bounded, async () => {
  await control('POST', '/faults', { kind: 'truncate', after: 3, count: 1, path: '/status/200' });
  await assert.rejects(async () => text(await request('/status/200')), { code: 'ECONNRESET' });
  assert.equal(await text(await request('/status/200')), '200 OK\n');
});
