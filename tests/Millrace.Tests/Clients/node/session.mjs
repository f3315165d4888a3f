// What both sessions share: where the server is, how its restart is asked for, and counted checks.
//
//   node ioredis.mjs HOST:PORT 2|3
//
// Prints "restart" when the server shall be restarted and goes on when a line comes; ends with "N checks".

import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';

const [address, resp] = process.argv.slice(2);
export const [host, port] = [address.split(':')[0], Number(address.split(':')[1])];
export const protocol = Number(resp);

let checks = 0;

export function same(actual, expected, what) {
  assert.deepEqual(actual, expected, what);
  checks++;
}

export function holds(condition, what) {
  assert.ok(condition, what);
  checks++;
}

export async function restart() {
  const lines = createInterface({ input: process.stdin });
  const restarted = new Promise(resolve => lines.once('line', resolve));
  console.log('restart');
  await restarted;
  lines.close();
}

export async function until(what, condition) {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`Not within 30 s: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  checks++;
}

export function finish() {
  console.log(`${checks} checks`);
  process.exit(0);
}
