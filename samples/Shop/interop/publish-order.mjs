// Publishes an order to the Shop from Node, in version 1 of order.created, and prints what becomes of it.
//
//   npm install
//   node publish-order.mjs [--redis HOST:PORT] [--sku tea] [--quantity 2] [--timeout SECONDS]
//
// Needs a Shop on the same Redis: dotnet run --project samples/Shop -- --redis HOST:PORT
// Exit code 0: the order completed. 1: it ended otherwise. 2: wrong options. 3: nobody handled it in time, or Redis is out of reach.

import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import Redis from 'ioredis';

const streams = ['orders', 'payments', 'inventory', 'notifications', '{orders}:dead:payments', '{orders}:dead:inventory'];
const ends = { completed: 0, cancelled: 1, operations: 1 };

const options = readOptions();
const redis = new Redis(`redis://${options.redis}`, { maxRetriesPerRequest: 1, retryStrategy: attempt => (attempt < 3 ? 200 : null) });
redis.on('error', () => {}); // Each command fails with the reason; this listener only keeps ioredis from printing it as well.

try {
  process.exitCode = await run();
} catch (error) {
  console.error(`Redis at ${options.redis}: ${error.message}`);
  process.exitCode = 3;
} finally {
  redis.disconnect();
}

async function run() {
  // Positions first, then the order: no event of it can come before them.
  const positions = await Promise.all(streams.map(lastId));
  const orderId = `ord-node-${randomUUID()}`;
  await publish(orderId);
  return await follow(orderId, positions);
}

async function lastId(stream) {
  const [newest] = await redis.xrevrange(stream, '+', '-', 'COUNT', 1);
  return newest?.[0] ?? '0-0';
}

async function publish(orderId) {
  const now = new Date().toISOString();
  const order = { orderId, customer: 'node@shop.example', items: [{ productId: options.sku, quantity: options.quantity }], placedAt: now };
  const fields = {
    id: randomUUID(),
    source: 'publish-order.mjs',
    type: 'order.created',
    time: now,
    subject: orderId,
    datacontenttype: 'application/json',
    schemaversion: '1',
    correlationid: randomUUID(),
    data: JSON.stringify(order),
  };
  const entryId = await redis.xadd('orders', '*', ...Object.entries(fields).flat());
  console.log(`Published ${orderId} as ${entryId}.`);
}

// Blocks in XREAD until the mail about the order's end is out, and prints every event of the order on the way.
async function follow(orderId, positions) {
  const deadline = Date.now() + options.timeout * 1000;
  while (Date.now() < deadline) {
    const batches = await redis.xread('BLOCK', Math.max(1, deadline - Date.now()), 'STREAMS', ...streams, ...positions);
    for (const [stream, entries] of batches ?? []) {
      for (const [entryId, flat] of entries) {
        positions[streams.indexOf(stream)] = entryId;
        const event = Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]));
        if (event.subject !== orderId) continue;
        console.log(`${stream.padEnd(24)} ${entryId.padEnd(17)} ${event.type.padEnd(18)} ${event.deadreason ?? event.data}`);
        if (event.type === 'notification.sent') return ends[JSON.parse(event.data).kind] ?? 1;
      }
    }
  }
  console.error(`${orderId} has no end after ${options.timeout} s. Does a Shop run on ${options.redis}?`);
  return 3;
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        redis: { type: 'string', default: '127.0.0.1:6379' },
        sku: { type: 'string', default: 'tea' },
        quantity: { type: 'string', default: '2' },
        timeout: { type: 'string', default: '30' },
      },
    });
    const [quantity, timeout] = [Number(values.quantity), Number(values.timeout)];
    if (!Number.isInteger(quantity) || quantity < 1) throw new Error(`--quantity: '${values.quantity}' is not a whole number above 0.`);
    if (!(timeout > 0)) throw new Error(`--timeout: '${values.timeout}' is not a number of seconds.`);
    return { ...values, quantity, timeout };
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}
